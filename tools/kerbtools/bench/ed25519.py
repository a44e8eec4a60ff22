"""Ed25519 verification on MicroPython: time as a share of the reference loop of the same run, heap, longest slice."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import kerbwire

MANIFEST_BYTES = 300  # an update manifest of some ten files
BOARD_FACTOR = 160  # an RP2040's time over the unix port's, for plain code
_TIMEOUT_S = 60

# min of RUNS for each figure; `live` is what stays reachable between slices, `allocated` what one check asks for.
_PROGRAM = """
import gc, json, sys, time
from kerbwire import ed25519
public, signature = [bytes.fromhex(word) for word in sys.argv[1:3]]
message = bytes(int(sys.argv[3]))
RUNS = 5
def since(start): return time.ticks_diff(time.ticks_us(), start)
def reference():
    x = 0
    start = time.ticks_us()
    for _ in range(100000): x += 1
    return since(start)
def check(): return ed25519.check(public, signature, (message,))
loop = min([reference() for _ in range(RUNS)])
whole, slices = 1 << 30, []
for run in range(RUNS):
    start = time.ticks_us()
    for _ in check(): pass
    whole = min(whole, since(start))
    at = 0
    start = time.ticks_us()
    for _ in check():
        took = since(start)
        if run: slices[at] = min(slices[at], took)
        else: slices.append(took)
        at += 1
        start = time.ticks_us()
gc.collect()
before = gc.mem_alloc()
live = 0
for _ in check():
    gc.collect()
    live = max(live, gc.mem_alloc() - before)
gc.collect()
gc.disable()
before = gc.mem_alloc()
for _ in check(): pass
print(json.dumps({"loop": loop, "whole": whole, "slices": len(slices), "longest": max(slices), "live": live,
                  "allocated": gc.mem_alloc() - before}))
"""


def rows() -> Iterator[dict[str, object]]:
    """One row, or one that says why there is none."""
    from kerbtools.emulator import interpreter

    try:
        command = interpreter.command()
    except interpreter.InterpreterError as error:
        yield {"skipped": str(error), "hint": error.hint}
        return
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    words = (key.public_key().public_bytes_raw().hex(), key.sign(bytes(MANIFEST_BYTES)).hex(), str(MANIFEST_BYTES))
    done = subprocess.run(
        [*command, "-X", "heapsize=4M", "-c", _PROGRAM, *words],
        env={"MICROPYPATH": f"{Path(kerbwire.__file__).parents[1]}:.frozen", "PATH": os.environ.get("PATH", "")},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        yield {"skipped": done.stderr.strip()[-200:], "hint": "check what MICROPYTHON names"}
        return
    found = json.loads(done.stdout)
    yield {
        "operation": f"Ed25519 check of {MANIFEST_BYTES} bytes, MicroPython",
        "share_of_reference": found["whole"] / found["loop"],
        "slices": found["slices"],
        "longest_slice_us": found["longest"],
        "longest_slice_ms_at_160": found["longest"] * BOARD_FACTOR / 1000,
        "live_bytes_64_bit": found["live"],
        "allocated_bytes_64_bit": found["allocated"],
    }
