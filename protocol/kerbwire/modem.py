"""What a gateway and its radio modem say to each other on the modem's serial line, framed by kerbwire.line.

Sealed frames go over the line as they are, in both directions. What the two say themselves begins with a byte that no
sealed frame begins with (its highest bit, the frame's version, is set there):

    gateway to modem   80  version 1, up kHz 4, down kHz 4, spreading factor 1, dBm 1, ms sent in the last hour 4
    modem to gateway   81  version 1, trouble 1, up kHz 4, down kHz 4, spreading factor 1, dBm 1, ms left 4,
                           heard 4, spoilt 4, sent 4, refused 4, late 4, then its firmware's version and board as text
                       82  RSSI in dBm + 200 1, SNR in quarter dB + 128 1, air time in ms 2, CRC-16 of the frame 2:
                           how the frame was heard that comes next
                       83  what became of a frame 1, air time in ms 2, CRC-16 of the frame 2

The line's own CRC guards each; a message of another length or version is no message. Big-endian.
"""

import struct

from kerbwire.line import crc16

VERSION = 1
ASK, STATE, HEARD, DONE = 0x80, 0x81, 0x82, 0x83
FINE, NO_RADIO, DEAF, UNSET = 0, 1, 2, 3  # trouble: nothing answers on SPI; the radio does not do what it is told
TROUBLES = ("none", "no radio answers", "the radio fails", "not told its frequency yet")
SENT, REFUSED, LATE, FAILED = 0, 1, 2, 3  # what becomes of a frame: 1 no air time left, 2 it waited too long
MAX_TEXT = 40  # bytes of version and board

_ASK = ">BBIIBBI"
_STATE = ">BBBIIBBIIIIII"
_HEARD = ">BBBHH"
_DONE = ">BBHH"


class Ask:
    """What a modem is to be: kerbwire.lora's numbers. spent_ms: what the gateway knows it has sent in this hour."""

    def __init__(self, up_khz: int, down_khz: int, factor: int, power_dbm: int, spent_ms: int):
        self.up_khz = up_khz
        self.down_khz = down_khz
        self.factor = factor
        self.power_dbm = power_dbm
        self.spent_ms = spent_ms

    def encode(self) -> bytes:
        return struct.pack(
            _ASK, ASK, VERSION, self.up_khz, self.down_khz, self.factor, self.power_dbm, self.spent_ms
        )  # fmt: skip


class State:
    """What a modem is and has done: trouble, the settings in effect (0: none), left_ms of its budget, counts, name."""

    def __init__(
        self,
        trouble: int,
        up_khz: int,
        down_khz: int,
        factor: int,
        power_dbm: int,
        left_ms: int,
        counts: "tuple[int, int, int, int, int]",
        name: str,
    ):
        self.trouble = trouble
        self.up_khz = up_khz
        self.down_khz = down_khz
        self.factor = factor
        self.power_dbm = power_dbm
        self.left_ms = left_ms
        self.counts = counts
        self.heard, self.spoilt, self.sent, self.refused, self.late = counts
        self.name = name

    def encode(self) -> bytes:
        return struct.pack(
            _STATE, STATE, VERSION, self.trouble, self.up_khz, self.down_khz, self.factor, self.power_dbm,
            self.left_ms, *self.counts
        ) + self.name.encode()[:MAX_TEXT]  # fmt: skip


class Heard:
    """How the frame with this CRC was heard: dBm, quarters of a dB, ms."""

    def __init__(self, rssi_dbm: int, snr_quarters: int, air_ms: int, crc: int):
        self.rssi_dbm = rssi_dbm
        self.snr_quarters = snr_quarters
        self.air_ms = air_ms
        self.crc = crc

    def encode(self) -> bytes:
        rssi = min(max(self.rssi_dbm + 200, 0), 255)
        snr = min(max(self.snr_quarters + 128, 0), 255)
        return struct.pack(_HEARD, HEARD, rssi, snr, min(self.air_ms, 65535), self.crc)

    def is_of(self, frame: bytes) -> bool:
        return crc16(frame) == self.crc


class Done:
    """What became of the frame with this CRC."""

    def __init__(self, result: int, air_ms: int, crc: int):
        self.result = result
        self.air_ms = air_ms
        self.crc = crc

    def encode(self) -> bytes:
        return struct.pack(_DONE, DONE, self.result, min(self.air_ms, 65535), self.crc)


def is_frame(data: bytes) -> bool:
    """Whether this is a sealed frame, or what ought to be one: no message of ours."""
    return not data[0] & 0x80


def parse(data: bytes) -> "Ask | State | Heard | Done | None":
    """The Ask, State, Heard or Done; None for anything else. Never raises."""
    kind = data[0] if data else 0
    if kind == ASK and len(data) == struct.calcsize(_ASK) and data[1] == VERSION:
        return Ask(*struct.unpack(_ASK, data)[2:])
    if kind == HEARD and len(data) == struct.calcsize(_HEARD):
        rssi, snr, air_ms, crc = struct.unpack(_HEARD, data)[1:]
        return Heard(rssi - 200, snr - 128, air_ms, crc)
    if kind == DONE and len(data) == struct.calcsize(_DONE) and data[1] <= FAILED:
        return Done(*struct.unpack(_DONE, data)[1:])
    size = struct.calcsize(_STATE)
    if kind == STATE and size <= len(data) <= size + MAX_TEXT and data[1] == VERSION and data[2] <= UNSET:
        try:
            name = str(data[size:], "ascii")
        except ValueError:  # UnicodeError
            return None
        fields = struct.unpack(_STATE, data[:size])
        return State(*fields[2:8], fields[8:13], name)  # type: ignore
    return None
