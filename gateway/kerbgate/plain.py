"""Figures as people read them: spans of time and sizes, in their largest fitting unit."""


def span(seconds: float) -> str:
    """A duration; a negative one is none."""
    seconds = max(seconds, 0)
    for size_s, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size_s:
            return f"{seconds / size_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 10_000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.0f} TB"
