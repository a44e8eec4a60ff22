"""`onewire` as the board builds freeze it in, with the bus on the host: the official calls, names and errors."""

from kerb_rpc import WIRE_READ, WIRE_RESET, WIRE_SCAN, WIRE_WRITE, call, fetch


class OneWireError(Exception):
    pass


class OneWire:
    SEARCH_ROM = 0xF0
    MATCH_ROM = 0x55
    SKIP_ROM = 0xCC

    def __init__(self, pin):
        self.pin = pin

    def reset(self, required=False):
        present = bool(call(WIRE_RESET, self.pin.id)[0])
        if required and not present:
            raise OneWireError
        return present

    def readbyte(self):
        return call(WIRE_READ, self.pin.id)[0]

    def readinto(self, buffer):
        for i in range(len(buffer)):
            buffer[i] = self.readbyte()

    def writebyte(self, value):
        call(WIRE_WRITE, self.pin.id, value)

    def write(self, data):
        for value in data:
            self.writebyte(value)

    def select_rom(self, rom):
        self.reset()
        self.writebyte(self.MATCH_ROM)
        self.write(rom)

    def scan(self):
        found = fetch(WIRE_SCAN, self.pin.id)
        return [bytearray(found[i : i + 8]) for i in range(0, len(found), 8)]

    def crc8(self, data):
        crc = 0
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ 0x8C if crc & 1 else crc >> 1
        return crc
