"""Runs in an environment of its own: opens COSE_Encrypt0 objects with the independent library `cwt`.

Reads one JSON array of {key, external_aad, cose, plaintext} (hex) from standard input; prints "N opened, N refused".
"""

import json
import sys

from cwt import COSE, COSEKey

opened = refused = 0
for row in json.load(sys.stdin):
    key = COSEKey.new({1: 4, 3: 10, -1: bytes.fromhex(row["key"])})
    cose, aad = bytes.fromhex(row["cose"]), bytes.fromhex(row["external_aad"])
    assert COSE.new().decode(cose, key, external_aad=aad) == bytes.fromhex(row["plaintext"])
    opened += 1
    for wrong in (aad[:-1] + bytes((aad[-1] ^ 1,)), b""):
        try:
            COSE.new().decode(cose, key, external_aad=wrong)
        except Exception:
            refused += 1
print(f"{opened} opened, {refused} refused")
