"""SX1261 and SX1262 LoRa radios on SPI. Sections are those of the data sheet DS.SX1261-2 (from memory, not tried).

A command goes only while BUSY is low (8.3.1). After a reset, and after each deep sleep of the board, nothing that the
radio once knew is relied on: `Radio` resets it by its pin and tells it all anew. The entry of board.json: spi, sck,
mosi, miso, cs, busy, dio1, reset, frequency_hz; tcxo_mv (0: a crystal), dio2_switch and dcdc (0 or 1), chip (1261 or
1262); rxen, a pin that is high to receive, where the module has one.
"""

from kerbwire.lora import BANDWIDTH_HZ, CODING, PREAMBLE, air_us

TX_DONE, RX_DONE, HEADER_VALID, HEADER_ERROR, CRC_ERROR, CAD_DONE, CAD_DETECTED, TIMEOUT = (
    1, 2, 16, 32, 64, 128, 256, 512,
)  # fmt: skip  # 13.3.1
FOREVER = 0xFFFFFF  # of a receive window: until told otherwise (13.1.5)
TRUE_SYNC = b"\x14\x24"  # a private network; so it is after a reset, too (12.1)
BUSY_MS = 100  # a cold start takes 3.5 ms, calibration as much again (8.3.1)
TCXO_MS = 5
MARGIN_MS = 50  # beyond the time that a packet takes
MAX_PACKET = 255
_IRQS, _TOLD = 0x3F3, 0x3E3  # counted; and those that DIO1 tells of: a header is only asked for
_TCXO_MV = (1600, 1700, 1800, 2200, 2400, 2700, 3000, 3300)  # 13.3.6
# (most dBm, paDutyCycle, hpMax) of an SX1262 with SetTxParams at 22 dBm: table 13-21. An SX1261 does 14 dBm.
_PA = ((22, 4, 7), (20, 3, 5), (17, 2, 3), (14, 2, 2))
# (symbols as a power of 2, peak) by spreading factor from 7 on: AN1200.48, table 1.
_CAD = ((1, 22), (1, 22), (2, 23), (2, 24), (2, 25), (2, 28))


class Radio:
    """hal: sleep_ms, ticks_ms, ticks_diff and machine. OSError(text) where no radio answers, in `start` and all else.
    rssi, snr: of the packet heard last, in dBm and quarters of a dB."""

    def __init__(self, hal, facts):
        machine = hal.machine
        pin = machine.Pin
        self._hal = hal
        self._facts = facts
        self._select = pin(facts["cs"], pin.OUT, value=1)
        self._busy = pin(facts["busy"], pin.IN)
        self.dio1 = pin(facts["dio1"], pin.IN)
        self._reset = pin(facts["reset"], pin.OUT, value=1)
        self._rxen = pin(facts["rxen"], pin.OUT, value=0) if "rxen" in facts else None
        self._spi = machine.SPI(
            facts["spi"], baudrate=facts["frequency_hz"], sck=pin(facts["sck"]), mosi=pin(facts["mosi"]),
            miso=pin(facts["miso"])
        )  # fmt: skip
        self._factor = 7
        self.rssi = self.snr = 0

    def start(self, factor, power_dbm):
        """From its reset pin to standby, with all that a LoRa packet needs but its frequency."""
        self._factor = factor
        facts = self._facts
        self._reset.value(0)
        self._hal.sleep_ms(1)  # 100 us at least (8.1)
        self._reset.value(1)
        self._wait()
        self._do(0x80, 0)  # SetStandby, on the RC oscillator (13.1.2)
        if self._fetch(0x0740, 2) != TRUE_SYNC:
            raise OSError("the LoRa radio does not answer: check its supply, wires and chip select")
        if facts["tcxo_mv"]:
            ticks = TCXO_MS * 64  # of 15.625 us
            self._do(0x97, _TCXO_MV.index(facts["tcxo_mv"]), 0, ticks >> 8, ticks & 255)
            self._do(0x07, 0, 0)  # ClearDeviceErrors: the crystal that is not there did not start (13.3.6)
            self._do(0x89, 0x7F)  # Calibrate all (13.1.12)
        self._do(0x96, facts["dcdc"])  # SetRegulatorMode (13.1.11)
        self._do(0x9D, facts["dio2_switch"])  # SetDIO2AsRfSwitchCtrl (13.3.5)
        self._do(0x98, 0xD7, 0xDB)  # CalibrateImage, 863 to 870 MHz (9.2.1)
        self._do(0x8A, 1)  # SetPacketType: LoRa (13.4.2)
        self._power(power_dbm)
        self._store(0x08D8, self._fetch(0x08D8, 1)[0] | 0x1E)  # a mismatched antenna (15.2)
        self._store(0x08AC, 0x96)  # boosted gain: 0.7 mA for 2 dB (9.6)
        self._do(0x8B, factor, 4, CODING, 1 if factor >= 11 else 0)  # SetModulationParams: 125 kHz (13.4.5)
        self._store(0x0889, self._fetch(0x0889, 1)[0] | 4)  # modulation at less than 500 kHz (15.1)
        self._store(0x0736, self._fetch(0x0736, 1)[0] | 4)  # standard IQ (15.4)
        exponent, peak = _CAD[factor - 7]
        self._do(0x88, exponent, peak, 10, 0, 0, 0, 0)  # SetCadParams (13.4.7)
        self._do(0x8F, 0, 0)  # SetBufferBaseAddress: one packet at a time (13.4.9)
        self._do(0x08, _IRQS >> 8, _IRQS & 255, _TOLD >> 8, _TOLD & 255, 0, 0, 0, 0)  # SetDioIrqParams (13.3.1)

    def tune(self, khz):
        """The frequency of what follows. 13.4.1: it counts 32 MHz / 2**25."""
        number = (khz << 22) // 4000
        self._do(0x80, 0)
        self._do(0x86, number >> 24, number >> 16 & 255, number >> 8 & 255, number & 255)

    def send(self, data, rest):
        """Send a packet, and wait in rest(ms) until it is out. False: the radio did not say that it is."""
        self.begin_send(data)
        air_ms = air_us(len(data), self._factor) // 1000
        rest(air_ms)
        return self._await(MARGIN_MS + air_ms // 16) & TX_DONE != 0

    def begin_send(self, data):
        """Start to send: `irqs` says TX_DONE when it is out."""
        self._packet(len(data))
        self._switch(0)
        self._do(0x02, 255, 255)  # ClearIrqStatus (13.3.4)
        self._exchange(b"\x0e\x00" + data)  # WriteBuffer (13.2.3)
        self._do(0x83, 0, 0, 0)  # SetTx: no timeout of its own (13.1.4)

    def begin_check(self):
        """Look whether a LoRa packet of this spreading factor is on the air here: `irqs` says CAD_DONE when it is over,
        and CAD_DETECTED where there is one (6.1.5)."""
        self._switch(1)
        self._do(0x02, 255, 255)
        self._do(0xC5)  # SetCad

    def is_busy(self):
        """The same, at once."""
        self.begin_check()
        symbols = (1 << _CAD[self._factor - 7][0]) + 2
        return self._await(MARGIN_MS + ((symbols * 1000) << self._factor) // BANDWIDTH_HZ) & CAD_DETECTED != 0

    def listen(self, window_ms=None):
        """Start to receive: one packet that begins within the window, or all of them, without an end."""
        ticks = FOREVER if window_ms is None else max(1, min(window_ms * 64, FOREVER - 1))
        self._packet(MAX_PACKET)
        self._switch(1)
        self._do(0x02, 255, 255)
        self._do(0x82, ticks >> 16, ticks >> 8 & 255, ticks & 255)  # SetRx (13.1.5)

    def irqs(self):
        """What has happened since the last time, as bits; 0: nothing. DIO1 says so without a command."""
        if not self.dio1.value():
            return 0
        found = self._ask(0x12, 2)  # GetIrqStatus (13.3.3)
        self._do(0x02, found[0], found[1])
        return found[0] << 8 | found[1]

    def is_receiving(self):
        """Whether a packet is being received just now, as far as its header has shown."""
        found = self._ask(0x12, 2)
        return found[1] & (HEADER_VALID | RX_DONE) == HEADER_VALID

    def packet(self):
        """The packet that RX_DONE told of."""
        size, start = self._ask(0x13, 2)  # GetRxBufferStatus (13.5.2)
        state = self._ask(0x14, 3)  # GetPacketStatus (13.5.3)
        self.rssi, self.snr = -state[0] // 2, state[1] - (state[1] << 1 & 256)
        return bytes(self._exchange(b"\x1e" + bytes([start, 0]) + bytes(size))[3:])  # ReadBuffer (13.2.4)

    def sleep(self):
        """Least current, and nothing remembered: `start` comes first after that (13.1.1)."""
        self._do(0x80, 0)
        self._switch(0)
        self._do(0x84, 0)

    def _power(self, dbm):
        if self._facts["chip"] == 1261:
            self._do(0x95, 4, 0, 1, 1)  # SetPaConfig: 14 dBm (13.1.14)
            top = out = 14
        else:
            top, duty, most = _PA[0]
            for row in _PA:
                if dbm <= row[0]:
                    top, duty, most = row
            self._do(0x95, duty, most, 0, 1)
            out = 22
        self._do(0x8E, out - (top - min(dbm, top)) & 255, 4)  # SetTxParams, ramp of 200 us (13.4.4)

    def _packet(self, size):
        # SetPacketParams: preamble, explicit header, length, CRC on, standard IQ (13.4.6).
        self._do(0x8C, 0, PREAMBLE, 0, size, 1, 0)

    def _switch(self, receives):
        if self._rxen:
            self._rxen.value(receives)

    def _await(self, ms):
        """The next interrupt's bits, or 0 when so much time is over."""
        hal = self._hal
        start = hal.ticks_ms()
        while True:
            found = self.irqs()
            if found or hal.ticks_diff(hal.ticks_ms(), start) > ms:
                return found
            hal.sleep_ms(1)

    def _wait(self):
        hal = self._hal
        start = hal.ticks_ms()
        while self._busy.value():
            if hal.ticks_diff(hal.ticks_ms(), start) > BUSY_MS:
                raise OSError("the LoRa radio stays busy: check its supply, crystal and BUSY wire")
            hal.sleep_ms(1)

    def _do(self, *command):
        self._exchange(bytes(command))

    def _ask(self, command, count):
        """The answer behind the byte of status."""
        return self._exchange(bytes([command, 0]) + bytes(count))[2:]

    def _store(self, register, value):
        self._exchange(bytes([0x0D, register >> 8, register & 255, value]))  # WriteRegister (13.2.1)

    def _fetch(self, register, count):
        return bytes(self._exchange(bytes([0x1D, register >> 8, register & 255, 0]) + bytes(count))[4:])

    def _exchange(self, data):
        self._wait()
        answer = bytearray(len(data))
        self._select.value(0)
        self._spi.write_readinto(data, answer)
        self._select.value(1)
        return answer
