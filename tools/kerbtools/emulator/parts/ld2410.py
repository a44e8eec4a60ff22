"""The HLK-LD2410 radar on a UART."""

import random
from collections.abc import Callable

from kerbtools.emulator.parts.part import Part


class Ld2410(Part):
    """A report of 23 bytes each 100 ms, unasked: HLK-LD2410 serial communication protocol V1.02, section 2.3.

    Of "garbled" the tail is wrong, of "out_of_range" somebody stands 30 m away, of "stuck" somebody always does.
    """

    FAULTS = ("silent", "garbled", "stuck", "out_of_range")
    REPORT_US = 100_000

    def __init__(self, seed: str, present_at: Callable[[int], bool]) -> None:
        super().__init__()
        self._seed = seed
        self._present_at = present_at
        self._since_us = 0

    def begin(self, now_us: int) -> None:
        self._since_us = now_us
        self.draws(True, now_us)

    def write(self, data: bytes, now_us: int) -> None:
        """Its commands are not modelled."""

    def sent(self, from_us: int, to_us: int, room: int) -> bytes:
        if not self.present or self.fault == "silent":
            return b""
        number = max(0, (from_us - self._since_us) // self.REPORT_US + 1)
        # A receive buffer keeps the first bytes: of a long silence of the board nothing newer than they is left.
        data = bytearray()
        while (at_us := self._since_us + number * self.REPORT_US) <= to_us and len(data) < room:
            data += self._report(at_us)
            number += 1
        return bytes(data[:room])

    def _report(self, at_us: int) -> bytes:
        own = random.Random(f"{self._seed}/{at_us}")  # noqa: S311
        seen = self.fault in ("stuck", "out_of_range") or self._present_at(at_us)
        far_cm = 3000 if self.fault == "out_of_range" else own.randrange(150, 500) if seen else 0
        moving, still = (
            (own.randrange(40, 100), own.randrange(30, 100)) if seen else (own.randrange(8), own.randrange(8))
        )
        body = bytes((0x02, 0xAA, 3 if seen else 0)) + far_cm.to_bytes(2, "little") + bytes((moving,))
        body += far_cm.to_bytes(2, "little") + bytes((still,)) + far_cm.to_bytes(2, "little") + b"\x55\x00"
        tail = b"\xf8\xf7\xf6\x05" if self.fault == "garbled" else b"\xf8\xf7\xf6\xf5"
        return b"\xf4\xf3\xf2\xf1" + len(body).to_bytes(2, "little") + body + tail
