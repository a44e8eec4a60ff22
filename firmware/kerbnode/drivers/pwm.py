"""Dimming by PWM: the LED of an opto-coupler across a 0-10 V driver's terminals, which filters it to its volts.

Open terminals are full light (IEC 60929 annex E), 1 V is the driver's least light, and no voltage puts it out: a relay
does. Nothing comes back over these two wires: what they do shows in the meter.
"""


class Driver:
    """goes_out: whether level 0 is dark without the help of a relay."""

    reason = raw = 0
    goes_out = False

    def __init__(self, hal, facts, fitted):
        machine = hal.machine
        self._full = 65535 if facts["full_light_duty"] else 0
        # Full light until somebody says otherwise.
        self._pwm = machine.PWM(machine.Pin(facts["pin"]), freq=facts["frequency_hz"], duty_u16=self._full)

    def poll(self, now_ms):
        """Nothing comes back."""

    def set(self, percent):
        """Show a level."""
        off = (100 - percent) * 65535 // 100
        self._pwm.duty_u16(self._full - off if self._full else off)
