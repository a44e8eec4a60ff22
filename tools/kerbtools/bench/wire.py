"""Bytes of a bin's day, sealed, before link framing: over seeds 1 to 1,000 of the fixed workload."""

from collections.abc import Iterator

from kerbtools.bench import workload
from kerbwire import frame, messages, seal

KEY = seal.uplink_key(bytes(16), 417, bytes(8))


def rows() -> Iterator[dict[str, object]]:
    """One row: mean, 99th percentile and largest size in bytes."""
    sizes = sorted(sealed_size(workload.bin_report(seed)) for seed in workload.SEEDS)
    yield {
        "report": "bin day, 24 records, plain coder, sealed",
        "seeds": len(sizes),
        "mean_bytes": sum(sizes) / len(sizes),
        "p99_bytes": sizes[len(sizes) * 99 // 100],
        "max_bytes": sizes[-1],
    }


def sealed_size(report: messages.Report) -> int:
    """Bytes of the frame with a 2-byte address and a 2-byte sequence number."""
    return len(KEY.seal(frame.UP, 0, 417, 20533, messages.encode(report)))
