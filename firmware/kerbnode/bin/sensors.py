"""A bin's sensors as board.json names them, and one sample of all of them."""

from kerbnode import drivers
from kerbnode.bin.level import alike, level, posture
from kerbwire.channels import (
    AT_BATTERY,
    AT_DISTANCE,
    AT_TEMPERATURE,
    AT_TILT,
    BATTERY,
    BOUNDS,
    DISTANCE,
    FAULT,
    FAULTY_PART,
    FILL,
    NOT_FITTED,
    OUT_OF_RANGE,
    PASSIVATED,
    QUALITY,
    ROUGH_TEMPERATURE,
    SILENT,
    SPECIAL,
    TEMPERATURE,
)  # fmt: skip

PASSIVATED_MV = 200  # so much lower at the first load than under it a second later: a Li-SOCl2 cell that slept long
EMPTY_MV = 1000  # of no cell that runs a board: the divider is open


class Sensors:
    """facts: board.json's "sensors". A sensor that is not there is NOT_FITTED; a driver that is unknown is an error.

    Of the last sample: distance_mm and tilt_deg, or special values; moved: the accelerometer was knocked or tipped
    since the sample before; battery_mv: before the load, at its begin and end, or empty; troubles: (TROUBLE, RAW) of
    each part that is at fault, the ranger's first; noise: bytes that were no reading, of a ranger on a UART; still_mm:
    what each of its echoes was, to the millimetre, or None where they differ, as they do in the air.
    """

    def __init__(self, hal, facts):
        self._hal = hal
        self._facts = facts
        self._drivers = {}
        for slot in ("distance", "temperature", "tilt", "battery"):
            if facts.get(slot):
                self._drivers[slot] = _driver(facts[slot].get("driver", "divider"), slot)
        self.noise = 0

    def sample(self, settings, with_battery):
        """The values of one record by channel. with_battery: and try what takes a while, cells and self-test."""
        hal, drivers = self._hal, self._drivers
        self.noise = 0
        self.moved = False
        self.battery_mv = []
        self.distance_mm = self.tilt_deg = fill = half_c = rough_half_c = NOT_FITTED
        self.troubles = []
        self.still_mm = None
        flags = 0
        self._volts = with_battery and drivers.get("battery")
        self._note_volts()  # first of all: the board's own draw is a load already
        thermometer = drivers.get("temperature")
        started = thermometer and thermometer.start(hal, self._facts["temperature"])
        start = hal.ticks_ms()
        if "tilt" in drivers:
            self.tilt_deg = rough_half_c = FAULT
            found = self._ask("tilt", AT_TILT, drivers["tilt"].read, with_battery)
            if found:
                self.tilt_deg, self.moved, rough_half_c = found[:3]
            flags = posture(self.tilt_deg, settings["lid_deg"])
        readings, more = self._range(settings)
        if thermometer:
            left_ms = thermometer.CONVERSION_MS - hal.ticks_diff(hal.ticks_ms(), start)
            if left_ms > 0:
                hal.sleep_ms(left_ms)
            half_c, reason, raw = thermometer.read(started)
            self._trouble(AT_TEMPERATURE | reason, raw)
        if half_c in SPECIAL and rough_half_c not in SPECIAL:
            half_c = rough_half_c
            flags |= ROUGH_TEMPERATURE
        values = {TEMPERATURE: half_c}
        if "distance" in drivers:
            ranger = drivers["distance"]
            reference_c = self._facts["distance"].get("reference_c", ranger.REFERENCE_C)
            self.readings = readings
            self.still_mm = alike(readings)
            fill, self.distance_mm, flags = level(
                readings, half_c, reference_c, ranger.NEAREST_MM, flags | more, settings
            )
            if settings["record_distance"]:
                values[DISTANCE] = self.distance_mm
        if self.battery_mv:
            values[BATTERY] = self._cells()
        if self.troubles:
            self.troubles.sort()
            flags |= FAULTY_PART
        values[FILL], values[QUALITY] = fill, flags
        for ident in values:  # a report could not carry it, and one bad value must not cost the others
            low, high = BOUNDS[ident]
            if values[ident] not in SPECIAL and not low <= values[ident] <= high:
                values[ident] = FAULT
        return values

    def _range(self, settings):
        """(readings, quality flags) of the ranger, which is the load that the cells are tried with."""
        hal, facts = self._hal, self._facts.get("distance") or {}
        switch = hal.power(facts)
        found = None
        try:
            switch(True)
            self._note_volts()
            hal.sleep_ms(facts.get("warm_up_ms", 0))
            if facts:
                measure = self._drivers["distance"].measure
                found = self._ask("distance", AT_DISTANCE, measure, settings["echoes"], settings["echo_timeout_ms"])
            self._note_volts()
        finally:
            switch(False)
        if not found:
            return [], 0
        if "uart" in facts:
            self.noise = found[3]
        return found[:2]

    def _note_volts(self):
        if self._volts:
            self.battery_mv.append(self._volts.millivolts(self._hal, self._facts["battery"]))

    def _cells(self):
        """The battery in 10 mV, as it stands at the end of the load, or FAULT."""
        facts = self._facts["battery"]
        full_mv = facts["full_scale_mv"] * (facts["divider_top_ohm"] + facts["divider_bottom_ohm"])
        full_mv = full_mv // facts["divider_bottom_ohm"] * 99 // 100
        loaded_mv = self.battery_mv[2]
        if EMPTY_MV <= loaded_mv < full_mv:
            first_mv = min(self.battery_mv)
            if loaded_mv - first_mv > PASSIVATED_MV:
                self._trouble(AT_BATTERY | PASSIVATED, first_mv)
            return (loaded_mv + 5) // 10
        self._trouble(AT_BATTERY | (SILENT if loaded_mv < EMPTY_MV else OUT_OF_RANGE), loaded_mv)
        return FAULT

    def _ask(self, slot, at, method, *arguments):
        """What a driver's method returns; None where its bus gave no answer. Its last two values say what is wrong."""
        try:
            found = method(self._hal, self._facts[slot], *arguments)
        except OSError as error:
            self._trouble(at | SILENT, error.errno or 0)
            return None
        self._trouble(at | found[-2], found[-1])
        return found

    def _trouble(self, code, raw):
        if code & 15:
            self.troubles.append((code, raw))


def _driver(name, slot):
    """The module of a driver. ValueError for one that this firmware does not have."""
    try:
        return drivers.find(name)
    except ImportError:
        raise ValueError("board.json: no driver %s for %s" % (name, slot))
