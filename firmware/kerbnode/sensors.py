"""A bin's sensors as board.json names them, and one sample of all of them."""

from kerbnode import bin
from kerbnode.drivers import a02yyuw
from kerbwire.channels import BATTERY, CHANNELS, DISTANCE, FAULT, FILL, NOT_FITTED, QUALITY, SPECIAL, TEMPERATURE


class Sensors:
    """facts: board.json's "sensors". A sensor that is not there is NOT_FITTED; a driver that is unknown is an error.

    noise: bytes of the last sample's ranger that were no reading.
    """

    def __init__(self, hal, facts):
        self._hal = hal
        self._distance = _known(facts, "distance", "a02yyuw")
        self._temperature = _known(facts, "temperature", "ds18b20")
        self._battery = facts.get("battery")
        self.noise = 0

    def sample(self, settings, with_battery):
        """The values of one record by channel."""
        thermometer = self._thermometer()
        if thermometer:
            thermometer.start()
        start = self._hal.ticks_ms()
        readings = self._readings(settings)
        temperature = NOT_FITTED
        if thermometer:
            temperature = self._read_temperature(thermometer, start)
        values = {TEMPERATURE: temperature}
        self._add_level(values, readings, settings)
        if with_battery and self._battery:
            values[BATTERY] = self._volts()
        for ident in values:  # a report could not carry it, and one bad value must not cost the others
            channel = CHANNELS[ident]
            if values[ident] not in SPECIAL and not channel.low <= values[ident] <= channel.high:
                values[ident] = FAULT
        return values

    def _readings(self, settings):
        """Distance readings, or None where no ranger is fitted."""
        facts = self._distance
        if not facts:
            return None
        switch = self._hal.power(facts)
        uart = self._hal.uart(facts, a02yyuw.RECEIVE_BUFFER)
        parser = a02yyuw.Parser()
        try:
            switch(True)
            self._hal.sleep_ms(facts.get("warm_up_ms", 0))
            return a02yyuw.measure(uart, self._hal, settings["echoes"], settings["echo_timeout_ms"], parser)
        finally:
            switch(False)
            self.noise = parser.noise

    def _thermometer(self):
        if not self._temperature:
            return None
        import ds18x20
        import onewire

        from kerbnode.drivers.ds18b20 import Ds18b20

        return Ds18b20(ds18x20.DS18X20(onewire.OneWire(self._hal.pin(self._temperature["pin"]))))

    def _read_temperature(self, thermometer, start):
        from kerbnode.drivers.ds18b20 import CONVERSION_MS

        left_ms = CONVERSION_MS - self._hal.ticks_diff(self._hal.ticks_ms(), start)
        if left_ms > 0:
            self._hal.sleep_ms(left_ms)
        return thermometer.read()

    def _add_level(self, values, readings, settings):
        if readings is None:
            values[FILL], values[QUALITY] = NOT_FITTED, 0
            return
        values[FILL], distance_mm, values[QUALITY] = bin.level(
            readings, settings["echoes"], values[TEMPERATURE], self._distance.get("reference_c"),
            settings["empty_mm"], settings["full_mm"],
        )  # fmt: skip
        if settings["record_distance"]:
            values[DISTANCE] = distance_mm

    def _volts(self):
        from kerbnode.drivers.battery import volts_10mv

        facts = self._battery
        return volts_10mv(self._hal.adc_mv(facts), facts["divider_top_ohm"], facts["divider_bottom_ohm"])


def _known(facts, name, driver):
    """The facts of a sensor, None if it is not fitted. ValueError for a driver that this firmware does not have."""
    sensor = facts.get(name)
    if sensor and sensor["driver"] != driver:
        raise ValueError("board.json: no driver %s for %s" % (sensor["driver"], name))
    return sensor
