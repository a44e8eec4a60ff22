"""Byte errors on a line, seeded: some bytes change, some are lost, some come from nowhere."""

import random


class LineNoise:
    """per_byte: chance that something happens to a byte, 0..1."""

    def __init__(self, seed: str, per_byte: float) -> None:
        if not 0.0 <= per_byte <= 1.0:
            raise ValueError("per_byte must be from 0 to 1")
        self.per_byte = per_byte
        self.spoilt = 0
        self._random = random.Random(seed)  # noqa: S311  noise, not a secret

    def spoil(self, data: bytes) -> bytes:
        out = bytearray()
        for value in data:
            if self._random.random() >= self.per_byte:
                out.append(value)
                continue
            self.spoilt += 1
            kind = self._random.random()
            if kind < 0.7:  # a bit flips
                out.append(value ^ 1 << self._random.randrange(8))
            elif kind > 0.85:  # one is added; between the two, one is lost
                out += bytes((value, self._random.randrange(256)))
        return bytes(out)
