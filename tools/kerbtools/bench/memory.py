"""What a process had resident at most, as the kernel counts it since its program began.

`ru_maxrss` is no use here: it begins with what the parent had when it forked.
"""

from pathlib import Path


def peak_mb(process: "int | str") -> float:
    """Of a process by number, or of "self". MB of 2^20 bytes."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
