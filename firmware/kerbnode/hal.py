"""What differs between boards, driven by the board's facts (board.json); everything else gets its hardware handed in.

retained.kind  rtc_memory   machine.RTC().memory(): kept over deep sleep only, any other reset wipes it (esp32)
               mem_backup   machine.mem_backup(): kept over any reset but power-off (rp2)
port           esp32        says which reset it was; calibrated ADC
               rp2          knows power-on and watchdog only, and a wake from deep sleep is one of the latter
"""

from kerbnode.retained import SIZE

TYPE_CHECKING = False

POWER_ON, HARD, WATCHDOG, DEEP_SLEEP, SOFT = 0, 1, 2, 3, 4  # as in kerbwire.messages, which most wakes need not load
CAUSES = ("power_on", "hard", "watchdog", "deep_sleep", "soft")

WATCHDOG_MS = 30000  # the longest step between two feeds is a listen window or a sample: 10 s, and what lies around it
FED_EARLY_MS = 1000  # before it would bite, where it runs on in a sleep
LONGEST_SLEEP_MS = 86400000  # a day, where the port itself has no limit

watchdog_armed = False  # since the last start of the interpreter; tools on USB ask, and feed it
_NAMES = ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET")  # in the order of CAUSES


class Hal:
    """One board. machine and time are the modules, urandom(n) gives random bytes, board is board.json's content."""

    if TYPE_CHECKING:  # the module is handed in; so each board's stubs check what is done with it
        import machine as _machine

    def __init__(self, machine, time, urandom, board):
        self._machine = self.machine = machine
        self._rp2 = board["port"] == "rp2"
        self._backup = board["retained"]["kind"] == "mem_backup"
        self._longest_sleep_ms = board["longest_sleep_ms"] or LONGEST_SLEEP_MS
        self._watchdog = None
        self._watchdog_in_sleep = board["watchdog"]["in_deepsleep"]
        self._fed_ms = 0
        self._watchdog_ms = min(WATCHDOG_MS, board["watchdog"]["longest_ms"] or WATCHDOG_MS)
        self.time = lambda: int(time.time())  # its own clock, which runs on in deep sleep (esp32)
        self.radio_off = None  # kerbnode.link.radios.Radios once one was switched on: none may draw through a sleep
        self.early_s = 0  # how long before the planned moment a pin has woken it
        self.ticks_ms = time.ticks_ms
        self.ticks_add, self.ticks_diff = time.ticks_add, time.ticks_diff
        self.sleep_ms = time.sleep_ms
        self.sleep_us = time.sleep_us
        self.random = urandom

    def start_watchdog(self):
        """From now on 30 s without `feed` reset the board; of a port that can less, so long without a wait too."""
        global watchdog_armed
        if self._watchdog:
            return
        watchdog_armed = True
        self._watchdog = dog = self._machine.WDT(timeout=self._watchdog_ms)
        self.feed()
        if self._watchdog_ms < WATCHDOG_MS:
            wait_ms = self.sleep_ms

            def sleep_ms(ms):
                if self.ticks_diff(self.ticks_ms(), self._fed_ms) < WATCHDOG_MS:
                    dog.feed()
                wait_ms(ms)

            self.sleep_ms = sleep_ms

    @property
    def watchdog_ms(self):
        """How long it waits for `feed`."""
        return self._watchdog_ms

    def feed(self):
        if self._watchdog:
            self._fed_ms = self.ticks_ms()
            self._watchdog.feed()

    def reset_cause(self):
        """The hardware's cause, as a number of kerbwire.messages. On rp2 WATCHDOG may be the end of a deep sleep."""
        cause = self._machine.reset_cause()
        for number in range(len(_NAMES)):
            if getattr(self._machine, _NAMES[number], None) == cause:
                return number
        return HARD

    def may_be_wake(self):
        """Whether this start can be the end of a deep sleep."""
        return self.reset_cause() == (WATCHDOG if self._rp2 else DEEP_SLEEP)

    def take_retained(self):
        """The retained bytes, wiped before this returns: they serve one wake only."""
        if not self._backup:
            memory = self._machine.RTC()
            data = memory.memory()
            memory.memory(b"")
            if len(data) == SIZE + 4:
                self.early_s = max(0, int.from_bytes(data[SIZE:], "big") - self.time())
            return data[:SIZE]
        data = b""
        for view in self._machine.mem_backup(-1):
            data += bytes(view)
            for place in range(len(view)):
                view[place] = 0
        return data[:SIZE]

    def keep_retained(self, data, span_ms=0):
        """Write the retained bytes; right before `deep_sleep` of so long only."""
        if not self._backup:
            self._machine.RTC().memory(data + (self.time() + (span_ms + 500) // 1000).to_bytes(4, "big"))
            return
        at = 0  # several register files of 32-bit words, none of them as large as the state
        for view in self._machine.mem_backup(-1):
            width = len(bytes(view)) // len(view)
            for place in range(len(view)):
                view[place] = int.from_bytes(data[at : at + width], "little")
                at += width

    def sleep_span_ms(self, wanted_ms):
        """How much of a sleep one deep sleep of this port can do."""
        return max(1, min(wanted_ms, self._longest_sleep_ms))

    def wake_on(self, pins):
        """End the next deep sleep early when one of these pins goes high. Not on rp2, where no pin does for certain."""
        if pins and not self._rp2:
            import esp32  # pyright: ignore[reportMissingImports]  # not on rp2

            pins = tuple([self._machine.Pin(number, self._machine.Pin.IN) for number in pins])
            getattr(esp32, "wake_on_ext1", esp32.wake_on_gpio)(pins, esp32.WAKEUP_ANY_HIGH)

    def light_sleep_ms(self, ms):
        """Wait at little current; outputs keep their levels, and a UART may miss what comes."""
        self._machine.lightsleep(ms)

    def reset(self):
        """Does not return on a board."""
        self._machine.reset()

    def deep_sleep(self, ms):
        """Does not return on a board. A watchdog that runs on in it (rp2) is fed in between, from light sleeps."""
        if self.radio_off:
            try:
                self.radio_off()
            except Exception as error:  # the sleep comes whatever a radio does, or memory lacks
                print("note radio", type(error).__name__, error)
        start, left_ms, most_ms = self.ticks_ms(), ms, self._watchdog_ms - FED_EARLY_MS
        while self._watchdog and self._watchdog_in_sleep and left_ms > 0:
            self._watchdog.feed()
            if left_ms <= most_ms:
                break
            self._machine.lightsleep(most_ms)
            left_ms = ms - self.ticks_diff(self.ticks_ms(), start)
        ms = max(1, left_ms)
        try:
            self._machine.deepsleep(ms)
        except ValueError:  # a pin that cannot wake this chip: better no pin than no sleep
            if self._rp2:
                raise
            import esp32  # pyright: ignore[reportMissingImports]  # rp2 went above

            esp32.wake_on_gpio(None, esp32.WAKEUP_ANY_HIGH)
            self._machine.deepsleep(ms)

    def uart(self, facts, rxbuf):
        """The UART of a link or sensor entry in board.json. Nothing of it blocks."""
        tx, rx = self.pin(facts["tx"]), self.pin(facts["rx"])
        return self._machine.UART(facts["uart"], facts["baud"], tx=tx, rx=rx, timeout=0, timeout_char=0, rxbuf=rxbuf)

    def dali(self, facts):
        """The line of a DALI bus: send(frame), take(spans)."""
        if self._rp2:
            from kerbnode.drivers.dali_pio import Line
        else:
            from kerbnode.drivers.dali_rmt import Line as RmtLine

            return RmtLine(self, facts)
        return Line(self, facts)

    def bell(self, uart):
        """What a lamp's loop waits on: kerbnode.bell."""
        from kerbnode.bell import Bell

        return Bell(uart)

    def i2c(self, facts):
        """The I2C bus of a sensor entry."""
        sda, scl = self.pin(facts["sda"]), self.pin(facts["scl"])
        return self._machine.I2C(facts["i2c"], sda=sda, scl=scl, freq=facts["frequency_hz"])

    def power(self, facts):
        """switch(on) of the load switch of a sensor entry; one without a power_pin is always on."""
        number = facts.get("power_pin")
        if number is None:
            return lambda on: None
        pin = self._machine.Pin(number, self._machine.Pin.OUT, value=0)
        return lambda on: pin.value(1 if on else 0)

    def pin(self, number):
        return self._machine.Pin(number)

    def chip_celsius(self):
        """The chip's own temperature in degrees C: some degrees above the air around it, and good to some."""
        if self._rp2:
            # RP2040 data sheet, section 4.9.5: 27 degrees at 0.706 V, 1.721 mV less for each degree more; in 10 uV.
            return 27 - (self._machine.ADC(4).read_u16() * 3300 // 65535 * 100 - 70600) // 172
        import esp32  # pyright: ignore[reportMissingImports]  # rp2 went above

        return esp32.mcu_temperature()

    def adc_mv(self, facts):
        """read() of the millivolts at an ADC pin."""
        adc = self._machine.ADC(self._machine.Pin(facts["pin"]))
        if self._rp2:
            full_scale_mv = facts["full_scale_mv"]
            return lambda: adc.read_u16() * full_scale_mv // 65535
        adc.atten(self._machine.ADC.ATTN_11DB)
        return lambda: adc.read_uv() // 1000  # pyright: ignore[reportAttributeAccessIssue]  # rp2 went above
