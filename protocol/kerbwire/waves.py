"""Group messages among the lamps of a street. The sender is a member number, in the header's place of the node (law 8).

A group message can only raise light, for a bounded time, whatever its order: there is no field that lowers it.
"""

from kerbwire.messages import BRIGHTEN, REQUIRED, UINT, WAVE, Message

MAX_HOPS = 15
MAX_SPEED = 600  # 0.1 m/s: 216 km/h
MAX_LIFETIME_S = 600  # of a wave: a walker is past a hundred columns by then
MAX_BRIGHTEN_S = 4 * 3600  # of an emergency; a longer one is told again
MAX_SCOPE = 65535

BOTH, UPWARDS, DOWNWARDS = 0, 1, 2  # along the street's chain: both ways, to higher and to lower member numbers
DIRECTIONS = ("both", "upwards", "downwards")
EVERYONE = 0  # scope: every lamp that holds the group's key; else the number of a street


class Wave(Message):
    """Light goes ahead of somebody.

    level: percent, at least. hop: 0 from the column that saw them, one more from each that passes it on.
    speed: 0.1 m/s, 0 unknown. lifetime: seconds from now.
    """

    KIND = WAVE
    ROWS = (
        (1, "level", UINT, 1, 100, REQUIRED),
        (2, "hop", UINT, 0, MAX_HOPS, REQUIRED),
        (3, "direction", UINT, BOTH, DOWNWARDS, REQUIRED),
        (4, "speed", UINT, 0, MAX_SPEED, REQUIRED),
        (5, "lifetime", UINT, 1, MAX_LIFETIME_S, REQUIRED),
    )

    def __init__(self, level: int, hop: int, direction: int, speed: int, lifetime: int):
        self.level = level
        self.hop = hop
        self.direction = direction
        self.speed = speed
        self.lifetime = lifetime


class Brighten(Message):
    """Light for an emergency. level: percent, at least. seconds: from now. scope: EVERYONE or a street's number."""

    KIND = BRIGHTEN
    ROWS = (
        (1, "level", UINT, 1, 100, REQUIRED),
        (2, "seconds", UINT, 1, MAX_BRIGHTEN_S, REQUIRED),
        (3, "scope", UINT, 0, MAX_SCOPE, REQUIRED),
    )

    def __init__(self, level: int, seconds: int, scope: int = EVERYONE):
        self.level = level
        self.seconds = seconds
        self.scope = scope


MESSAGES = (Wave, Brighten)
