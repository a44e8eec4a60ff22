"""A sealed frame, rewritten as a standard COSE_Encrypt0, opens with an independent COSE library.

The library pins an older cbor2, so it has an environment of its own, `.venv-oracle`, which `make test` prepares.
"""

import json
import subprocess
from pathlib import Path

import pytest

from kerbwire import frame

HERE = Path(__file__).parent
ORACLE = HERE.parents[1] / ".venv-oracle" / "bin" / "python"


def bstr(data: bytes) -> bytes:
    return bytes((0x40 | len(data),)) + data if len(data) < 24 else bytes((0x58, len(data))) + data


def as_cose_encrypt0(sealed: bytes, nonce: bytes) -> bytes:
    """Tag 16 of [protected {1: 10}, unprotected {5: nonce}, ciphertext] (RFC 9052 section 5.2)."""
    header = frame.parse(sealed)
    return b"\xd0\x83" + bstr(b"\xa1\x01\x0a") + b"\xa1\x05" + bstr(nonce) + bstr(sealed[header.size :])


@pytest.mark.skipif(not ORACLE.exists(), reason=f"{ORACLE.parent.parent.name} is absent: run `make test`")
def test_frames_open_with_an_independent_library() -> None:
    rows = json.loads((HERE.parent / "vectors" / "frames.json").read_text())["vectors"]
    work = [
        {
            "key": row["key"],
            "external_aad": row["header"],
            "cose": as_cose_encrypt0(bytes.fromhex(row["frame"]), bytes.fromhex(row["nonce"])).hex(),
            "plaintext": row["message"],
        }
        for row in rows
    ]
    done = subprocess.run(
        [str(ORACLE), str(HERE / "cose_oracle.py")],
        input=json.dumps(work),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == f"{len(rows)} opened, {2 * len(rows)} refused", done.stderr
