"""JSN-SR04T and AJ-SR04M ultrasonic rangers: 10 us on the trigger, then the echo pin is high while the sound travels.

Without an echo the pulse lasts until the part gives up, some 38 ms and more. (JSN-SR04T-2.0 leaflet.)
"""

from kerbwire.channels import NO_ECHO, SILENT, STUCK

NEAREST_MM = 250  # of the leaflets' 200 to 250; nearer it shows anything
HIGHEST_MM = 4500
REFERENCE_C = 20  # the air for which _MM_10000US counts; 343.4 m/s, there and back
_MM_10000US = 1717
TRIGGER_US = 15
LONGEST_US = 80000  # until a pulse has begun and ended; the slowest version gives up after 66 ms
PAUSE_MS = 60  # leaflet: from one trigger to the next, or the last echo is taken for the new one's


def measure(hal, facts, count, timeout_ms):
    """Up to `count` readings within timeout_ms. raw: the level at which the echo pin stays."""
    machine = hal.machine
    trigger = machine.Pin(facts["trigger"], machine.Pin.OUT, value=0)
    echo = machine.Pin(facts["echo"], machine.Pin.IN)
    readings = []
    start = hal.ticks_ms()
    stays = 0
    for _ in range(count):
        if hal.ticks_diff(hal.ticks_ms(), start) >= timeout_ms:
            break
        if echo.value():
            stays = 1
        else:
            trigger.value(1)
            hal.sleep_us(TRIGGER_US)
            trigger.value(0)
            width_us = machine.time_pulse_us(echo, 1, LONGEST_US)
            if width_us > 0:
                range_mm = width_us * _MM_10000US // 10000
                readings.append(range_mm if range_mm <= HIGHEST_MM else NO_ECHO)
            else:
                stays = 2 + width_us  # -2: no pulse began, -1: it did not end
        hal.sleep_ms(PAUSE_MS)
    return readings, 0, 0 if readings else STUCK if stays else SILENT, stays
