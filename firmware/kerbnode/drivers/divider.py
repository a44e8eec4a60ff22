"""Battery voltage behind a divider on an ADC pin."""

READINGS = 4  # averaged: an ADC without a filter scatters by some mV


def millivolts(hal, facts):
    """The battery's voltage now."""
    read_mv = hal.adc_mv(facts)
    bottom_ohm = facts["divider_bottom_ohm"]
    total_mv = sum([read_mv() for _ in range(READINGS)])
    return total_mv * (facts["divider_top_ohm"] + bottom_ohm) // (READINGS * bottom_ohm)
