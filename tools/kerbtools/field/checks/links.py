"""Links from nodes: serial ports, radio modems, the Bluetooth adapter as the host shows them; what inlets hear."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerbgate.inlets.base import LinkUrl, parse_url
from kerbtools.field.checks import host
from kerbtools.field.checks.files import gateway_user, user_name
from kerbtools.field.findings import FAIL, OK, SKIPPED, WARN, Finding
from kerbtools.field.screen import clean, span
from kerbtools.field.subject import RUNNING, Subject

PIECES = 20  # frames and noise of a while, before anything is said of their ratio
NOISY, VERY_NOISY = 0.02, 0.25  # of what was heard: no frame
DEAF_PIECES = 5  # pieces of noise without one frame: another speed, or another device
QUIET_S = 26 * 3600  # without a frame: longer than a street of bins is silent
_ON_PORTS = ("serial", "lora")  # schemes of inlets on a serial port
_FOLLOWS = ("inlets", "nodes", "supply", "problems")
# Where noise comes from, and what to do, by the kind of link.
_NOISE = {
    "serial": (
        (
            "noise on the line: termination, shield or ground",
            "a cable that is too long for its speed, or damaged",
            "two devices that speak at once",
        ),
        (
            "check the 120 ohm at both ends, shield and ground; a lower ?baud= at both ends",
            "kerb doctor --watch --only inlets",
        ),
    ),
    "ble": (
        (
            "fragments are lost: nodes are too far away, or much else is on 2.4 GHz",
            "somebody is near who plays a node",
        ),
        ("move the adapter out of the cabinet, on a cable; see the nodes' signal: kerb show NODE",),
    ),
    "lora": (
        ("packets that arrive damaged: nodes are too far away, or others use this channel",),
        ("see the nodes' signal: kerb show NODE; put the antenna higher, or take another mhz= at both ends",),
    ),
    "mqtt": (
        ("somebody publishes there who is no node of ours",),
        ("let only nodes write kerb/1/SITE/up/# in the broker's access list",),
    ),
    "udp": (
        ("somebody sends there who is no node of ours",),
        ("let only the operator's private network reach this port, by the host's firewall",),
    ),
    "replay": (("pieces of the file are damaged",), ("kerb decode FILE",)),
}
# The same of a link that is down, where no other check looks at it.
_DOWN = {
    "udp": (
        ("another program has the port", "the address is none of this host's"),
        ("sudo ss -ulpn", "ip address"),
    ),
    "replay": (("the file is not there, or none that kerb capture wrote",), ("ls -l FILE", "kerb decode FILE")),
}


def serial(subject: Subject) -> Iterator[Finding]:
    """Each port of an inlet: is it there, may the gateway open it, does another program hold it?"""
    urls = [url for url in _urls(subject) if url.scheme in _ON_PORTS]
    if not urls:
        yield Finding("serial", SKIPPED, "no inlet uses a port")
        return
    for url in urls:
        yield _port(subject, url)


def _urls(subject: Subject) -> list[LinkUrl]:
    given = [inlet.url for inlet in subject.config.inlets]
    return [parse_url(url) for url in given]


def _inlet(subject: Subject, name: str) -> dict[str, Any] | None:
    facts = subject.facts
    return None if facts is None else next((row for row in facts["inlets"] if row["name"] == name), None)


def _port(subject: Subject, url: LinkUrl) -> Finding:
    path, name = Path(url.rest), f"inlet {url.scheme}:{url.rest}"
    inlet = _inlet(subject, f"{url.scheme}:{url.rest}")
    if inlet is not None and inlet["connected"]:
        return Finding("serial", OK, f"{path} is open", subject=name)
    others = [str(port) for port in ports() if port.resolve() != path.resolve()]
    if not path.exists():
        there = f"; others are there: {', '.join(others[:4])}" if others else "; no other port is there"
        causes = ("the cable is unplugged, or the device at its end has no power",)
        if others:
            causes += ("it came back under another name: name it by /dev/serial/by-id in the configuration",)
        return Finding(
            "serial",
            FAIL,
            f"{path} is not there{there}",
            (*causes, "the device or its USB hub is broken"),
            (
                "plug the cable in; the gateway opens it by itself within 5 s",
                "ls -l /dev/serial/by-id",
                "dmesg | grep -i tty | tail",
            ),
            subject=name,
            explains=_FOLLOWS,
        )
    about = path.stat()
    if not stat.S_ISCHR(about.st_mode):
        return Finding(
            "serial",
            FAIL,
            f"{path} is no serial port",
            ("a wrong path in the configuration",),
            ("ls -l /dev/serial/by-id",),
            subject=name,
            explains=_FOLLOWS,
        )
    uid = gateway_user(subject)
    if uid is not None and not _may(uid, about):
        user, group = user_name(uid), _group(about.st_gid)
        return Finding(
            "serial",
            FAIL,
            f"{user} may not open {path} (mode {stat.S_IMODE(about.st_mode):o}, group {group})",
            (f"{user} is not in the group {group}", "a rule of udev or somebody changed the port's mode"),
            (f"sudo usermod -aG {group} {user} && sudo systemctl restart kerbstone", f"sudo chmod 660 {path}"),
            subject=name,
            explains=_FOLLOWS,
        )
    taken = holders(path)
    if taken:
        pid, program = taken[0]
        return Finding(
            "serial",
            FAIL,
            f"{path} is held by process {pid} ({program})",
            (f"{program} was left running on the port",),
            (f"sudo kill {pid}",),
            subject=name,
            explains=_FOLLOWS,
        )
    if subject.mode != RUNNING or inlet is None:
        return Finding("serial", OK, f"{path} is there and may be opened", subject=name)
    if url.scheme == "lora":
        cause, _, step = clean(inlet["last_error"] or "it was not open yet").partition("; ")
        return Finding(
            "serial",
            FAIL,
            f"{path} is there, and works as no radio modem: {cause}",
            ("the board there has another firmware, or hangs", "its radio does not answer it"),
            (step or "unplug the modem and plug it in again", "kerb flash --role modem"),
            subject=name,
            explains=_FOLLOWS,
        )
    return Finding(
        "serial",
        FAIL,
        f"{path} is there, and the gateway cannot open it: {clean(inlet['last_error'])}",
        ("the device at its end does not answer", "another program holds it"),
        (f"sudo fuser -v {path}", "dmesg | grep -i tty | tail"),
        subject=name,
        explains=_FOLLOWS,
    )


def ports() -> list[Path]:
    """Serial ports that are there, by the name that stays where there is one."""
    root = host.ROOT / "dev"
    named = sorted((root / "serial/by-id").glob("*"))
    known = {port.resolve() for port in named}
    return named + [
        port for kind in ("ttyACM*", "ttyUSB*", "ttyAMA*") for port in sorted(root.glob(kind)) if port not in known
    ]


def holders(path: Path) -> list[tuple[int, str]]:
    """(process, program) of those who have a device open, as far as this user may see."""
    device = str(path.resolve())
    found: list[tuple[int, str]] = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            if any(os.readlink(link) == device for link in (folder / "fd").iterdir()):  # noqa: PTH115
                found.append((int(folder.name), (folder / "comm").read_text("utf-8").strip()))
        except OSError:  # ended, or another user's
            continue
    return found


def _may(uid: int, about: os.stat_result) -> bool:
    """Whether a user may read and write a file, by its mode."""
    if uid == 0:
        return True
    if uid == about.st_uid:
        return about.st_mode & 0o600 == 0o600
    if about.st_gid in _groups(uid):
        return about.st_mode & 0o060 == 0o060
    return about.st_mode & 0o006 == 0o006


def _groups(uid: int) -> list[int]:
    import pwd

    try:
        row = pwd.getpwuid(uid)
    except KeyError:
        return []
    return os.getgrouplist(row.pw_name, row.pw_gid)


def _group(gid: int) -> str:
    import grp  # POSIX only, as the gateway is

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def ble(subject: Subject) -> Iterator[Finding]:
    """The adapters that inlets of BLE need, and what the gateway says of them."""
    urls = [url for url in _urls(subject) if url.scheme == "ble"]
    if not urls:
        yield Finding("ble", SKIPPED, "no inlet uses Bluetooth")
        return
    for url in urls:
        if "radio" in url.options:  # not the host's
            yield _told(subject, url) or Finding("ble", OK, f"the radio {url.options['radio']}", subject=_named(url))
        else:
            yield _adapter(subject, url)


def _named(url: LinkUrl) -> str:
    return f"inlet ble:{url.rest}"


def _adapter(subject: Subject, url: LinkUrl) -> Finding:
    there = [path.name for path in sorted((host.ROOT / "sys/class/bluetooth").glob("hci*"))]
    wanted = url.rest or (there[0] if there else "")
    if wanted not in there:
        others = f"; {', '.join(there)} is" if there else ""
        return Finding(
            "ble",
            FAIL,
            f"{wanted} is not there{others}" if wanted else "there is no Bluetooth adapter",
            ("it is unplugged, or switched off in the firmware's settings",)
            + (("it came back under another number: name that in the configuration",) if there else ()),
            ("lsusb", "dmesg | grep -i bluetooth"),
            subject=_named(url),
            explains=_FOLLOWS,
        )
    for switch in sorted((host.ROOT / "sys/class/rfkill").glob("rfkill*")):
        kind, hard, soft = ((switch / name).read_text("ascii").strip() for name in ("type", "hard", "soft"))
        if kind == "bluetooth" and "1" in (hard, soft):
            return Finding(
                "ble",
                FAIL,
                f"{wanted} is blocked",
                ("the radio is switched off",),
                ("sudo rfkill unblock bluetooth",),
                subject=_named(url),
                explains=_FOLLOWS,
            )
    return _told(subject, url) or Finding("ble", OK, wanted, subject=_named(url))


def _told(subject: Subject, url: LinkUrl) -> Finding | None:
    """What the running gateway says is wrong with the adapter of an inlet; None: nothing."""
    row = _inlet(subject, f"ble:{url.rest}")
    if subject.mode != RUNNING or row is None or row["connected"] or not row["last_error"]:
        return None
    return Finding(
        "ble",
        FAIL,
        clean(row["last_error"]),  # it ends with what to do
        ("the adapter hangs, or its antenna or place is bad", "BlueZ does not run, or may not be used by the gateway"),
        ("sudo systemctl restart bluetooth", "bluetoothctl show", "journalctl -u bluetooth -n 20"),
        subject=_named(url),
        explains=_FOLLOWS,
    )


def inlets(subject: Subject) -> Iterator[Finding]:
    """Links that are down, deaf, or noisy, over the last quarter hour."""
    facts = subject.facts
    if facts is None:
        yield Finding("inlets", SKIPPED, "the gateway does not run")
        return
    if not facts["inlets"]:
        yield Finding("inlets", WARN, "none is configured: no node can be heard", (), ("kerb gateway settings",))
        return
    for row in facts["inlets"]:
        yield _heard(subject, row)


def _heard(subject: Subject, row: dict[str, Any]) -> Finding:
    name, recent = f"inlet {row['name']}", row["recent"]
    frames, noise = recent["frames"], recent["noise"]
    scheme = row["name"].partition(":")[0]
    if not row["connected"]:
        where = "ble" if scheme == "ble" else "serial" if scheme in _ON_PORTS else "broker,tls"
        above = (f"see {where.replace(',', ' and ')} above",), (f"kerb doctor --only {where}",)
        return Finding(
            "inlets",
            FAIL,
            f"it is down: {clean(row['last_error'] or 'not open yet')}",
            *_DOWN.get(scheme, above),
            subject=name,
            explains=("nodes", "problems", "supply"),
        )
    if frames == 0 and noise >= DEAF_PIECES and scheme == "serial":
        baud = next(
            (url.options.get("baud", "115200") for url in _urls(subject) if f"serial:{url.rest}" == row["name"]), ""
        )
        return Finding(
            "inlets",
            FAIL,
            f"{noise} pieces in {span(recent['span_s'])}, and not one of them a frame (baud={baud})",
            (
                "another baud rate than the device at the other end",
                "that device is no node and no modem of ours",
                "A and B of the line are swapped",
            ),
            (f"set ?baud= of its url in {subject.path} as the device has it, then: sudo systemctl restart kerbstone",),
            subject=name,
            explains=("nodes",),
        )
    heard = frames + noise
    if heard >= PIECES and noise / heard >= NOISY:
        share = noise / heard
        return Finding(
            "inlets",
            FAIL if share >= VERY_NOISY else WARN,
            f"{100 * share:.0f} % of what it hears is noise ({noise} of {heard} in {span(recent['span_s'])})",
            *_NOISE.get(scheme, _NOISE["mqtt"]),
            subject=name,
            explains=("nodes",),
        )
    said = f"{frames} frames and {noise} pieces of noise in {span(recent['span_s'])}"
    return Finding("inlets", OK, said, subject=name)
