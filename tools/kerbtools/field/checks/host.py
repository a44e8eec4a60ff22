"""The host: disk, memory, temperature, the supply of a Raspberry Pi. All of it is read from the kernel's own files."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from kerbtools.field.findings import FAIL, OK, SKIPPED, UNKNOWN, WARN, Finding
from kerbtools.field.screen import size
from kerbtools.field.subject import Subject

ROOT = Path("/")  # of the kernel's files; a test lays out its own
MB = 1024 * 1024
DISK_LOW, DISK_FULL = 200 * MB, 16 * MB  # the first as kerbgate.alarms.health has it; below the second little works
MEMORY_LOW, MEMORY_OUT = 0.1, 0.03  # of all: available
HOT_C, TOO_HOT_C = 75, 85  # a Raspberry Pi slows down from 80 on, industrial boards end at 85
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"  # bit 0: now, bit 16: since the start


def disk(subject: Subject) -> Iterator[Finding]:
    """Free room on the disk of the state folder."""
    folder = next(path for path in (subject.state, *subject.state.parents) if path.exists())
    usage = shutil.disk_usage(folder)
    files = os.statvfs(folder)
    free = f"{size(usage.free)} of {size(usage.total)} free at {folder}"
    floor = min(DISK_FULL, usage.total // 50)
    facts = subject.facts
    failing = None if facts is None else facts["store"]["failing"]
    follows = ("store", "gateway", "problems", "inlets", "queues", "nodes")
    causes = ("logs or other programs filled it", "an outlet is away and documents wait", "the disk is too small")
    steps = (f"sudo du -xh {folder} | sort -h | tail", "sudo journalctl --vacuum-size=50M", "kerb queue")
    if usage.free < floor:
        said = f"{free}: frames are not stored, so not acknowledged; nodes keep them" if failing else f"{free}: full"
        yield Finding("disk", FAIL, said, causes, steps, explains=follows)
    elif files.f_files and files.f_favail < max(files.f_files // 100, 64):
        said = f"{files.f_favail} of {files.f_files} names left at {folder}"
        yield Finding("disk", FAIL, said, ("a great many small files",), steps[:1], explains=follows)
    elif usage.free < min(DISK_LOW, usage.total // 20):
        yield Finding("disk", WARN, free, causes, steps)
    elif not os.access(folder, os.W_OK) and files.f_flag & os.ST_RDONLY:
        yield Finding(
            "disk",
            FAIL,
            f"{folder} is mounted read-only",
            ("the card or disk is failing: the kernel protects it", "it was mounted so"),
            ("dmesg | grep -i -e ext4 -e mmc -e 'I/O error'", f"sudo mount -o remount,rw {folder}"),
            explains=follows,
        )
    else:
        yield Finding("disk", OK, free)


def memory(subject: Subject) -> Iterator[Finding]:
    """Available memory, and whether the kernel had to end a process."""
    try:
        rows = dict(line.split(":") for line in (ROOT / "proc/meminfo").read_text("ascii").splitlines() if ":" in line)
        total, available = (int(rows[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        yield Finding("memory", SKIPPED, "this system does not say how much memory is left")
        return
    said = f"{size(available)} of {size(total)} available"
    steps = ("ps aux --sort=-rss | head", "systemctl status kerbstone")
    if available < total * MEMORY_OUT:
        yield Finding("memory", FAIL, said, ("another program takes it", "too little for this district"), steps)
    elif available < total * MEMORY_LOW:
        yield Finding("memory", WARN, said, ("another program takes it", "too little for this district"), steps)
    else:
        yield Finding("memory", OK, said)


def temperature(subject: Subject) -> Iterator[Finding]:
    """The hottest of the kernel's thermal zones."""
    found: list[tuple[float, str]] = []
    for zone in sorted((ROOT / "sys/class/thermal").glob("thermal_zone*")):
        try:
            celsius = int((zone / "temp").read_text("ascii")) / 1000
            name = (zone / "type").read_text("ascii").strip()
        except (OSError, ValueError):
            continue
        if -40 < celsius < 150:  # others are zones that measure nothing
            found.append((celsius, name))
    if not found:
        yield Finding("temperature", SKIPPED, "this board measures none")
        return
    celsius, name = max(found)
    said = f"{celsius:.0f} degC ({name})"
    causes = ("the cabinet is closed up or in the sun", "a fan or a heat sink is gone", "a program that spins")
    steps = ("open the cabinet, clean its vents and fan", "top -b -n 1 | head -15")
    verdict = FAIL if celsius >= TOO_HOT_C else WARN if celsius >= HOT_C else OK
    yield Finding("temperature", verdict, said, causes if verdict != OK else (), steps if verdict != OK else ())


def undervoltage(subject: Subject) -> Iterator[Finding]:
    """Of a Raspberry Pi: what its firmware has noticed, else its voltage monitor."""
    now = before = None
    try:
        bits = int((ROOT / _THROTTLED).read_text("ascii"), 16)
        now, before = bool(bits & 1), bool(bits & 1 << 16)
    except (OSError, ValueError):
        for monitor in sorted((ROOT / "sys/class/hwmon").glob("hwmon*")):
            try:
                if (monitor / "name").read_text("ascii").strip() == "rpi_volt":
                    now = (monitor / "in0_lcrit_alarm").read_text("ascii").strip() == "1"
            except OSError:
                yield Finding("undervoltage", UNKNOWN, f"{monitor} cannot be read", (), ("run it as root",))
                return
    if now is None:
        yield Finding("undervoltage", SKIPPED, "no Raspberry Pi, or its firmware does not say")
        return
    causes = ("the power supply is too weak, or its cable too thin", "a USB device takes too much")
    steps = ("measure 5 V at the board under load; fit the supply that the maker names", "dmesg | grep -i voltage")
    if now:
        yield Finding("undervoltage", FAIL, "the supply is below 4.63 V now", causes, steps)
    elif before:
        yield Finding("undervoltage", WARN, "the supply was below 4.63 V since the start", causes, steps)
    else:
        yield Finding("undervoltage", OK, "none since the start")
