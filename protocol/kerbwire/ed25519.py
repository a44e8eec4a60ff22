"""Ed25519 verification (RFC 8032 section 5.1.7) for update manifests, in whole numbers, in slices.

    for _ in ed25519.check(public, signature, parts):
        ...            # a board feeds its watchdog, a lamp runs its loop
    # here the signature is good; anything else has raised WireError("unsealed")

A slice is at most three point operations, FIELD_STEPS squarings, or eight rounds of SHA-512. It verifies only: it never
holds a secret, so nothing in it needs to run in constant time. It is strict: S below the group's order, both points
in their one encoding, and the equation without the cofactor, as OpenSSL has it.
"""

import hashlib

from kerbwire import sha512
from kerbwire.errors import UNSEALED, WireError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    Slices = Generator[None, None, None]
    Point = tuple[int, int, int, int]

PUBLIC_SIZE = 32
SIGNATURE_SIZE = 64
FIELD_STEPS = 16  # squarings of a power in one slice

_P = (1 << 255) - 19
_ORDER = (1 << 252) + 27742317777372353535851937790883648493
_D = 37095705934669439343138083508754565189542113879843219016388785533085940283555
_ROOT = 19681161376707505956807079304988542015446066515923890162744021073123829784752  # of -1
_BASE = (
    15112221349535400772501151409588531511454012693041857206046113283949847762202,
    46316835694926478169428394003475163141307993866256225615783033603165251855960,
)


def check(public: bytes, signature: bytes, parts: "Iterable[bytes]") -> "Slices":
    """Slices of the check that `signature` is `public`'s over the byte strings of `parts`, laid end to end.

    A generator: the signature is good when it ends. WireError("unsealed") and nothing else for any other bytes.
    """
    if len(public) != PUBLIC_SIZE or len(signature) != SIGNATURE_SIZE:
        raise WireError(UNSEALED, "size of a key or a signature")
    s = _little(signature[32:])
    if s >= _ORDER:
        raise WireError(UNSEALED, "signature")
    ax, ay = yield from _decode_point(public)
    digest = yield from _sha512(_chain(signature[:32], public, parts))
    k = _little(digest) % _ORDER
    table = yield from _table(_P - ax, ay)
    # [s]B - [k]A, two bits of each number at a time.
    x, y, z, t = 0, 1, 1, 0
    shift = 252
    while shift >= 0:
        x, y, z, t = _double(_double((x, y, z, t)))
        row = table[(s >> shift & 3) << 2 | k >> shift & 3]
        if row:
            x, y, z, t = _add((x, y, z, t), row)
        shift -= 2
        yield
    inverse = yield from _inverse(z)
    found = y * inverse % _P | (x * inverse % _P & 1) << 255
    if found != _little(signature[:32]):
        raise WireError(UNSEALED, "signature")


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    """The same without slices. WireError("unsealed") unless the signature is good."""
    for _ in check(public, signature, (message,)):
        pass


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _chain(first: bytes, second: bytes, parts: "Iterable[bytes]") -> "Iterable[bytes]":
    yield first
    yield second
    yield from parts


def _sha512(parts: "Iterable[bytes]") -> "Generator[None, None, bytes]":
    if not hasattr(hashlib, "sha512"):  # MicroPython
        return (yield from sha512.digest(parts))
    native = hashlib.sha512()  # pyright: ignore[reportAttributeAccessIssue]  # not in MicroPython's stubs
    for part in parts:
        native.update(part)
        yield
    return native.digest()


def _decode_point(data: bytes) -> "Generator[None, None, tuple[int, int]]":
    # RFC 8032 section 5.1.3.
    y = _little(data)
    sign = y >> 255
    y &= (1 << 255) - 1
    if y >= _P:
        raise WireError(UNSEALED, "public key")
    yy = y * y
    u, v = (yy - 1) % _P, (_D * yy + 1) % _P
    # Two squares of v fewer than the RFC writes: that changes at most the sign of x, which is set below.
    power = yield from _power_252_3(u * v * v * v % _P)
    x = u * v * power % _P
    vxx = v * x * x % _P
    if vxx != u:
        if vxx != -u % _P:
            raise WireError(UNSEALED, "public key")
        x = x * _ROOT % _P
    if x == 0 and sign:
        raise WireError(UNSEALED, "public key")
    return (_P - x if x & 1 != sign else x), y


def _inverse(z: int) -> "Generator[None, None, int]":
    power = yield from _power_252_3(z)
    return pow(power, 8, _P) * z * z * z % _P


def _power_252_3(z: int) -> "Generator[None, None, int]":
    """z to the power of 2^252 - 3: the root of a quotient needs it, and an inverse is this to the 8th times z^3."""
    z2 = z * z % _P
    z9 = z2 * z2 % _P
    z9 = z9 * z9 * z % _P
    ones = {5: (z9 * z2 % _P) ** 2 * z9 % _P}  # n: z to the power of 2^n - 1
    for n, by in ((10, 5), (20, 10), (40, 20), (50, 10), (100, 50), (200, 100), (250, 50)):
        power = ones[n - by]
        for i in range(by):
            power = power * power % _P
            if i % FIELD_STEPS == FIELD_STEPS - 1:
                yield
        ones[n] = power * ones[by] % _P
        yield
    return pow(ones[250], 4, _P) * z % _P


def _table(ax: int, ay: int) -> "Generator[None, None, list[Point | None]]":
    """Rows 4 * i + j: [i]B + [j]A', each as (Y - X, Y + X, 2dT, 2Z); None for the neutral element."""
    b1 = (_BASE[0], _BASE[1], 1, _BASE[0] * _BASE[1] % _P)
    a1 = (ax, ay, 1, ax * ay % _P)
    a2 = _double(a1)
    row_a = _row(a1)
    rows: "list[Point | None]" = [None, row_a, _row(a2), _row(_add(a2, row_a))]
    yield
    b2 = _double(b1)
    row_b = _row(b1)
    for point in (b1, b2, _add(b2, row_b)):
        rows.append(_row(point))
        for j in range(1, 4):
            row = rows[j]
            if row:
                rows.append(_row(_add(point, row)))
        yield
    return rows


def _row(point: "Point") -> "Point":
    x, y, z, t = point
    return (y - x, y + x, 2 * _D * t % _P, 2 * z)


def _add(point: "Point", row: "Point") -> "Point":
    # Hisil, Wong, Carter, Dawson 2008, section 3.1, for a = -1: complete, so no case needs a branch.
    x, y, z, t = point
    a = (y - x) * row[0]
    b = (y + x) * row[1]
    c = t * row[2]
    d = z * row[3]
    e, f, g, h = (b - a) % _P, (d - c) % _P, (d + c) % _P, (b + a) % _P
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: "Point") -> "Point":
    x, y, z, _ = point
    a, b = x * x, y * y
    h = a + b
    e = (h - (x + y) ** 2) % _P
    g = (a - b) % _P
    f = (2 * z * z + a - b) % _P
    h %= _P
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P
