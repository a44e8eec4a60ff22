"""Battery voltage behind a divider, in steps of 10 mV."""

READINGS = 4  # averaged: an ADC without a filter scatters by some mV


def volts_10mv(read_mv, top_ohm, bottom_ohm):
    """The battery's voltage in 10 mV; read_mv() gives the millivolts between the divider's two resistors."""
    total_mv = sum([read_mv() for _ in range(READINGS)])
    battery_mv = total_mv * (top_ohm + bottom_ohm) // (READINGS * bottom_ohm)
    return (battery_mv + 5) // 10
