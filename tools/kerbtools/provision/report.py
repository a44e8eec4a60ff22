"""What the inventory says beside what the gateway's store holds: missing, foreign, and of another wattage."""

import itertools
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kerbgate import decoding
from kerbgate.registry import Card, Registry, inventory
from kerbgate.store import Reader
from kerbwire.channels import CHANNELS, LEVEL, POWER
from kerbwire.messages import Report

VERSION = 1
HEARD_WITHIN_H = 48  # by default: a bin reports once a day, and may miss one day
FULL_PERCENT = 100
MIN_READINGS = 3  # at full level, below which nothing is said of a lamp's power
TOLERANCE = 0.1  # of the wattage: drivers are held to 10 % of their rating
LEAST_W = 2.0  # below which a difference is not told: metering chips are no better
ENOUGH_READINGS = 50  # of a lamp, after which no more are read
MAX_REPORTS = 200_000  # that are read in all: 20 nights of a district

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Rows for a table or for JSON. assets: how many the inventory has, with how many of them all is well."""

    assets: int
    well: int
    missing: list[Row]
    foreign: list[Row]
    wattage: list[Row]

    def as_json(self) -> Row:
        return {
            "v": VERSION,
            "assets": self.assets,
            "well": self.well,
            "missing": self.missing,
            "foreign": self.foreign,
            "wattage": self.wattage,
        }


def compare(
    registry: Registry, reader: Reader | None, now_ms: int, *, site: str | None = None, within_h: float = HEARD_WITHIN_H
) -> Comparison:
    """Compare an inventory with what was heard. reader: None where no gateway has run, so nothing was heard."""
    heard = {row["node"]: row for row in (reader.nodes() if reader else [])}
    cards = {card.address: card for card in registry.cards()}
    at = {card.asset: card for card in cards.values() if card.asset is not None}
    places = {item.asset: item for item in inventory.assets(registry) if item.inventory}
    lamps = {card.address for card in cards.values() if card.asset in places and places[card.asset].wattage_w}
    power = full_power_w(reader, lamps) if reader else {}
    missing: list[Row] = []
    wattage: list[Row] = []
    listed = [item for item in places.values() if site in (None, item.site)]
    for item in listed:
        card = at.get(item.asset)
        why = _why_missing(card, heard, now_ms, within_h)
        seen_ms = heard.get(card.address, {}).get("seen_ms") if card else None
        node = card.address if card else None
        if why is not None:
            missing.append({"asset": item.asset, "site": item.site, "node": node, "seen_ms": seen_ms, "why": why})
        if card and item.wattage_w and (measured := power.get(card.address)):
            watts, readings = measured
            if abs(watts - item.wattage_w) > max(item.wattage_w * TOLERANCE, LEAST_W):
                wattage.append(
                    {
                        "asset": item.asset,
                        "node": node,
                        "luminaire": item.luminaire,
                        "inventory_w": item.wattage_w,
                        "measured_w": watts,
                        "readings": readings,
                    }
                )
    foreign = [
        {"node": node, "site": row["site"], "seen_ms": row["seen_ms"], "why": why}
        for node, row in sorted(heard.items())
        if site in (None, row["site"]) and (why := _why_foreign(cards.get(node), places)) is not None
    ]
    unwell = {row["asset"] for row in missing} | {row["asset"] for row in wattage}
    return Comparison(len(listed), len(listed) - len(unwell), missing, foreign, wattage)


def full_power_w(reader: Reader, lamps: set[int]) -> dict[int, tuple[float, int]]:
    """(median watts, number of readings) at full level of each of these lamps that has enough of them."""
    channel = CHANNELS[POWER]
    found: dict[int, list[float]] = {node: [] for node in lamps}
    wanted = set(lamps)
    for stored in itertools.islice(reader.backwards("lamp"), MAX_REPORTS):
        if not wanted:
            break
        if stored.node not in wanted:
            continue
        report = decoding.read(stored.message, stored.near)
        watts = found[stored.node]
        if isinstance(report, Report):
            for record in report.records:
                raw = record.values.get(POWER, -1)
                if record.values.get(LEVEL) == FULL_PERCENT and channel.low <= raw <= channel.high:
                    watts.append(raw * channel.numerator / channel.denominator)
        if len(watts) >= ENOUGH_READINGS:
            wanted.discard(stored.node)
    return {
        node: (round(statistics.median(watts), 1), len(watts))
        for node, watts in found.items()
        if len(watts) >= MIN_READINGS
    }


def _why_missing(card: Card | None, heard: Mapping[int, Row], now_ms: int, within_h: float) -> str | None:
    if card is None:
        return "no node"
    if card.state != "bound":
        return f"its node is {card.state}"
    seen_ms = heard.get(card.address, {}).get("seen_ms")
    if seen_ms is None:
        return "never heard"
    hours = (now_ms - seen_ms) / 3_600_000
    return f"last heard {hours:.0f} h ago" if hours > within_h else None


def _why_foreign(card: Card | None, places: Mapping[str, object]) -> str | None:
    if card is None:
        return "not in the registry"
    if card.asset is None:
        return f"{card.state}, at no asset"
    return None if card.asset in places else f"at asset {card.asset}, which the inventory does not have"
