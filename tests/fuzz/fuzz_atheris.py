"""Coverage-guided fuzzing of one reader. Needs `pip install atheris`, which the tests do not:

    python tests/fuzz/seeds.py FOLDER && mkdir -p CORPUS
    KERB_SEEDS=FOLDER python tests/fuzz/fuzz_atheris.py report CORPUS -max_total_time=600

The words after READER are libFuzzer's. CORPUS is filled with the seeds first, and keeps what found new paths.
"""

import contextlib
import os
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["kerbwire", "kerbnode.link.lookup"]):
    import fuzzing

    from kerbnode.link import lookup  # noqa: F401
    from kerbwire import (  # noqa: F401  a reader imports its own on first use, which is too late to instrument
        capture,
        cbor,
        columns,
        controls,
        events,
        fragment,
        frame,
        line,
        messages,
        plain,
        seal,
        unpacked,
        updates,
        waves,
    )
    from kerbwire.errors import WireError


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] not in fuzzing.READERS:
        sys.exit(f"usage: fuzz_atheris.py READER CORPUS [libFuzzer options]\nreaders: {', '.join(fuzzing.READERS)}")
    name = sys.argv.pop(1)
    read = fuzzing.READERS[name]()
    if os.environ.get("KERB_SEEDS"):
        for i, data in enumerate(fuzzing.seeds_of(name)):
            Path(sys.argv[1], f"seed-{i:03}").write_bytes(data)

    def one(data: bytes) -> None:
        with contextlib.suppress(WireError):
            read(data)

    atheris.Setup([sys.argv[0], "-max_len=300", *sys.argv[1:]], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
