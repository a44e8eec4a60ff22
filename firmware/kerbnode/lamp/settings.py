"""Settings of a lamp: rows as of kerbnode.config, with numbers of their own on the wire. firmware/SETTINGS.md."""

from kerbnode import config

UNKNOWN_PLACE = 2000000  # of latitude and longitude: beyond every place

ROWS = (  # name, default, lowest, highest. A row keeps its place for ever.
    ("tries", 2, 1, 4),
    ("ack_timeout_ms", 3000, 100, 10000),
    ("outbox_segments", 128, 8, 256),
    ("index_block", 64, 32, 64),
    ("seq_block", 64, 16, 64),
    ("reports_per_wake", 8, 1, 64),
    ("report_s", 3600, 900, 86400),
    ("spread_s", 120, 0, 3600),
    ("look_s", 2, 1, 60),
    ("latitude", UNKNOWN_PLACE, -900000, UNKNOWN_PLACE),
    ("longitude", UNKNOWN_PLACE, -1800000, UNKNOWN_PLACE),
    ("dusk_sun", -20, -120, 60),
    ("dawn_sun", -30, -120, 60),
    ("dusk_lux", 70, 1, 10000),
    ("dawn_lux", 35, 1, 10000),
    ("supply_switched", 0, 0, 1),
    ("high", 100, 1, 100),
    ("middle", 75, 1, 100),
    ("low", 20, 0, 100),
    ("floor", 20, 1, 100),
    ("exempt", 0, 0, 1),
    ("some_percent", 20, 0, 100),
    ("busy_percent", 48, 0, 100),
    ("hold_ms", 30000, 1000, 600000),
    ("ramp_up_ms", 500, 0, 10000),
    ("ramp_down_ms", 8000, 0, 60000),
    ("wave_s", 40, 1, 600),
    ("hops", 0, 0, 15),
    ("spacing_dm", 350, 50, 2000),
    ("burn_h", 0, 0, 1000),
    ("ahead", 2, 1, 2),
)


def digest(settings):
    """What a configuration is known by: of all settings in effect."""
    return config.digest(settings, ROWS)
