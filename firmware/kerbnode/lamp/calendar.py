"""A lamp's calendar, /node/calendar.json: {"zone": [...], "rules": [[...], ...]}, as of kerbnode.lamp.schedule."""

import json

from kerbnode import flash
from kerbnode.lamp.schedule import MAX_RULES

MAX_TEXT = 2048  # characters: sixteen rules of seven numbers take 600
_RULE = ((1, 127), (101, 1231), (101, 1231), (0, 1440), (0, 1440), (0, 100), (0, 100))
_CHANGE = ((1, 12), (1, 5), (0, 6), (-1440, 1440))


def read(path, complain):
    """(rules, zone). A file that is not understood is complained about, and no rule holds: then the settings do."""
    data = flash.read(path)
    if data is None:
        return [], [0]
    try:
        given = json.loads(data.decode()) if len(data) <= MAX_TEXT else None
    except ValueError:  # no JSON, or not UTF-8
        given = None
    if not isinstance(given, dict) or not _is_zone(given.get("zone", [0])):
        complain("calendar.json: no JSON object with a zone, of at most %d characters: no rule holds" % MAX_TEXT)
        return [], [0]
    rules = given.get("rules", [])
    if not isinstance(rules, list) or len(rules) > MAX_RULES or not all(_fits(rule, _RULE) for rule in rules):
        complain("calendar.json: at most %d rules of 7 numbers in their bounds: no rule holds" % MAX_RULES)
        rules = []
    return rules, given.get("zone", [0])


def _is_zone(zone):
    if not isinstance(zone, list) or len(zone) not in (1, 4):
        return False
    if not _fits(zone[:2], ((-840, 840),) * len(zone[:2])):
        return False
    return all(_fits(change, _CHANGE) for change in zone[2:])


def _fits(numbers, bounds):
    if not isinstance(numbers, list) or len(numbers) != len(bounds):
        return False
    for number, (low, high) in zip(numbers, bounds):
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
            return False
    return True
