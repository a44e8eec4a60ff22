"""Ed25519 and SHA-512: published vectors, every refusal, and slices that stay small."""

import hashlib
import json
import os
from binascii import unhexlify

from kerbwire import ed25519, errors, sha512
from kerbwire.errors import WireError

ORDER = (1 << 252) + 27742317777372353535851937790883648493
P = (1 << 255) - 19


def rows():
    with open(os.getenv("KERB_VECTORS") + "/ed25519.json") as file:
        found = json.load(file)["vectors"]
    assert len(found) == 31
    return found


def fields(row):
    return unhexlify(row["public"]), unhexlify(row["sig"]), unhexlify(row["msg"])


def good(public, signature, message):
    try:
        ed25519.verify(public, signature, message)
    except WireError as error:
        assert error.code == errors.UNSEALED
        return False
    return True


def result(steps):
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value, count
        count += 1


def test_published_vectors():
    for row in rows():
        public, signature, message = fields(row)
        assert row["valid"] and good(public, signature, message), row["id"]
        flipped = signature[:32] + bytes((signature[32] ^ 1,)) + signature[33:]
        assert not good(public, flipped, message), row["id"]


def test_sha512_vectors():
    # FIPS 180-4 examples; each length around the padding's edges follows on CPython, where hashlib has it.
    for message, expected in (
        (b"", "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
              "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"),
        (b"abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                 "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"),
        (b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018"
         "501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"),
    ):  # fmt: skip
        assert result(sha512.digest((message,)))[0] == unhexlify(expected)
    if hasattr(hashlib, "sha512"):
        for size in range(0, 300):
            message = bytes((i * 7 + size) & 255 for i in range(size))
            assert result(sha512.digest((message,)))[0] == hashlib.sha512(message).digest(), size


def test_sha512_does_not_care_how_a_message_is_cut():
    message = bytes(range(256)) + b"tail"
    whole, slices = result(sha512.digest((message,)))
    assert slices == 3 * 80 // sha512.ROUNDS_A_SLICE
    assert result(sha512.digest([message[i : i + 1] for i in range(len(message))]))[0] == whole
    assert result(sha512.digest((b"", message[:128], b"", message[128:])))[0] == whole


def test_every_changed_byte_is_refused():
    public, signature, message = fields(rows()[2])
    for at in range(0, 64, 7):
        changed = signature[:at] + bytes((signature[at] ^ 4,)) + signature[at + 1 :]
        assert not good(public, changed, message), at
    for at in (0, 13, 31):
        assert not good(public[:at] + bytes((public[at] ^ 1,)) + public[at + 1 :], signature, message), at
    assert not good(public, signature, message + b"\x00")
    assert not good(public, signature, message[:-1])


def test_sizes():
    public, signature, message = fields(rows()[0])
    for size in range(0, 64):
        assert not good(public, signature[:size], message)
    assert not good(public, signature + b"\x00", message)
    assert not good(public[:31], signature, message)
    assert not good(public + b"\x00", signature, message)


def test_one_encoding_only():
    public, signature, message = fields(rows()[1])
    s = int.from_bytes(signature[32:], "little")
    for more in (s + ORDER, ORDER, (1 << 256) - 1):
        assert not good(public, signature[:32] + more.to_bytes(32, "little"), message)
    for y in (P, P + 1, (1 << 255) - 1, P | 1 << 255):  # beyond the field
        assert not good(y.to_bytes(32, "little"), signature, message)
    assert not good((1 | 1 << 255).to_bytes(32, "little"), signature, message)  # x = 0 with its sign set
    assert not good((2).to_bytes(32, "little"), signature, message)  # no point has this y


def test_the_neutral_key_signs_what_its_equation_says():
    # The key y = 1 has order 1: R = [S]B holds for any message. Whoever gives out keys must not give out this one.
    neutral = (1).to_bytes(32, "little")
    assert good(neutral, neutral + bytes(32), b"anything")
    assert not good(neutral, neutral + (1).to_bytes(32, "little"), b"anything")
    base = unhexlify("5866666666666666666666666666666666666666666666666666666666666666")
    assert good(neutral, base + (1).to_bytes(32, "little"), b"anything")


def test_a_message_may_come_in_parts_and_the_check_in_slices():
    public, signature, message = fields(rows()[-1])
    parts = [message[i : i + 100] for i in range(0, len(message), 100)]
    _, slices = result(ed25519.check(public, signature, parts))
    assert slices > 160
    parts[3] = parts[3][:-1] + b"\x00"
    try:
        result(ed25519.check(public, signature, parts))
    except WireError as error:
        assert error.code == errors.UNSEALED
    else:
        raise AssertionError("a changed part passed")


def test_a_point_has_one_encoding_also_where_x_is_zero():
    for y in (1, P - 1):
        plain, signed = y.to_bytes(32, "little"), (y | 1 << 255).to_bytes(32, "little")
        message = b"m"
        # R = [S]B - [k]A with S = 0: for the neutral key any message fits; for y = -1 an even k is needed.
        tries = [bytes((i,)) for i in range(16)] if y != 1 else [message]
        fitting = [m for m in tries if good(plain, (1).to_bytes(32, "little") + bytes(32), m)]
        assert fitting, y
        assert not any(good(signed, (1).to_bytes(32, "little") + bytes(32), m) for m in tries), y
