"""SHA-512 (FIPS 180-4) where the runtime has none, in slices: MicroPython's hashlib ends at SHA-256.

`digest(parts)` is a generator: it yields after every ROUNDS_A_SLICE rounds, so that a loop can run beside it, and its
return value is the 64-byte hash. On CPython use hashlib; this module is for boards, and is tested on both.
"""

from binascii import unhexlify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

BLOCK = 128
ROUNDS_A_SLICE = 8  # of the 80 in each block: a tenth of about 110 ms on an RP2040

_MASK = (1 << 64) - 1
# The constants lie as bytes: eighty big integers would take three times the memory for as long as the program runs.
_K = unhexlify(
    b"428a2f98d728ae227137449123ef65cdb5c0fbcfec4d3b2fe9b5dba58189dbbc3956c25bf348b53859f111f1b605d019"
    b"923f82a4af194f9bab1c5ed5da6d8118d807aa98a303024212835b0145706fbe243185be4ee4b28c550c7dc3d5ffb4e2"
    b"72be5d74f27b896f80deb1fe3b1696b19bdc06a725c71235c19bf174cf692694e49b69c19ef14ad2efbe4786384f25e3"
    b"0fc19dc68b8cd5b5240ca1cc77ac9c652de92c6f592b02754a7484aa6ea6e4835cb0a9dcbd41fbd476f988da831153b5"
    b"983e5152ee66dfaba831c66d2db43210b00327c898fb213fbf597fc7beef0ee4c6e00bf33da88fc2d5a79147930aa725"
    b"06ca6351e003826f142929670a0e6e7027b70a8546d22ffc2e1b21385c26c9264d2c6dfc5ac42aed53380d139d95b3df"
    b"650a73548baf63de766a0abb3c77b2a881c2c92e47edaee692722c851482353ba2bfe8a14cf10364a81a664bbc423001"
    b"c24b8b70d0f89791c76c51a30654be30d192e819d6ef5218d69906245565a910f40e35855771202a106aa07032bbd1b8"
    b"19a4c116b8d2d0c81e376c085141ab532748774cdf8eeb9934b0bcb5e19b48a8391c0cb3c5c95a634ed8aa4ae3418acb"
    b"5b9cca4f7763e373682e6ff3d6b2b8a3748f82ee5defb2fc78a5636f43172f6084c87814a1f0ab728cc702081a6439ec"
    b"90befffa23631e28a4506cebde82bde9bef9a3f7b2c67915c67178f2e372532bca273eceea26619cd186b8c721c0c207"
    b"eada7dd6cde0eb1ef57d4f7fee6ed17806f067aa72176fba0a637dc5a2c898a6113f9804bef90dae1b710b35131c471b"
    b"28db77f523047d8432caab7b40c724933c9ebe0a15c9bebc431d67c49c100d4c4cc5d4becb3e42b6597f299cfc657e2a"
    b"5fcb6fab3ad6faec6c44198c4a475817"
)
_START = unhexlify(
    b"6a09e667f3bcc908bb67ae8584caa73b3c6ef372fe94f82ba54ff53a5f1d36f1510e527fade682d19b05688c2b3e6c1f"
    b"1f83d9abfb41bd6b5be0cd19137e2179"
)


def digest(parts: "Iterable[bytes]") -> "Generator[None, None, bytes]":
    """The hash of byte strings laid end to end. Holds one block and one part at a time."""
    state = [_word(_START, i) for i in range(8)]
    size = 0
    rest = b""
    for part in parts:
        size += len(part)
        rest = rest + part
        at = 0
        while at + BLOCK <= len(rest):
            yield from _compress(state, rest[at : at + BLOCK])
            at += BLOCK
        rest = rest[at:]
    # FIPS 180-4 section 5.1.2: a one bit, zeros, and the length in bits as a 128-bit number.
    rest = rest + b"\x80" + bytes((111 - size) % BLOCK) + (8 * size).to_bytes(16, "big")
    for at in range(0, len(rest), BLOCK):
        yield from _compress(state, rest[at : at + BLOCK])
    return b"".join([word.to_bytes(8, "big") for word in state])


def _compress(state: "list[int]", block: bytes) -> "Generator[None, None, None]":
    w = [_word(block, i) for i in range(16)]
    a, b, c, d, e, f, g, h = state
    mask = _MASK
    for i in range(80):
        word = w[i & 15]
        if i > 15:
            # A word laid twice side by side turns each rotation into one shift.
            x = w[i + 1 & 15]
            y = w[i + 14 & 15]
            xx = x << 64 | x
            yy = y << 64 | y
            word += ((xx >> 1 ^ xx >> 8) & mask ^ x >> 7) + w[i + 9 & 15] + ((yy >> 19 ^ yy >> 61) & mask ^ y >> 6)
            word &= mask
            w[i & 15] = word
        ee = e << 64 | e
        aa = a << 64 | a
        t = h + ((ee >> 14 ^ ee >> 18 ^ ee >> 41) & mask) + (g ^ e & (f ^ g)) + _word(_K, i) + word
        h, g, f, e = g, f, e, d + t & mask
        d, c, b, a = c, b, a, t + ((aa >> 28 ^ aa >> 34 ^ aa >> 39) & mask) + (a & b | c & (a | b)) & mask
        if i % ROUNDS_A_SLICE == ROUNDS_A_SLICE - 1:
            yield
    for i, value in enumerate((a, b, c, d, e, f, g, h)):
        state[i] = state[i] + value & mask


def _word(data: bytes, i: int) -> int:
    return int.from_bytes(data[8 * i : 8 * i + 8], "big")
