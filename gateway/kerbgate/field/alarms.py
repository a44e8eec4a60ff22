"""The alarms of a gateway that has stopped, as its control socket would have listed them."""

from pathlib import Path
from typing import Any

from kerbgate.alarms import kinds, listing
from kerbgate.alarms.places import Place, Places
from kerbgate.config import Config
from kerbgate.field.sight import Sight

_PLACES = "SELECT address, site, role, asset, latitude, longitude, supply, feeder FROM known"


def alarms(sight: Sight, config: Config, request: dict[str, Any]) -> dict[str, Any]:
    """The answer to the operation `alarms`. ControlError for a filter that is none."""
    path: Path = sight.store
    limit: int = request.get("limit", 200)
    if request.get("maintenance"):
        return {"maintenance": listing.maintenance(path, limit)}
    places = Places(
        config.gateway.site,
        {
            row[0]: Place(row[0], row[1], row[2], row[3] or "", *row[4:], street=sight.streets.get(row[0], ""))
            for row in sight.db.execute(_PLACES)
        },
    )
    table = kinds.with_routes(kinds.parse_routes(config.alarms.routes))
    wanted: dict[str, Any] = request.get("filter", {})
    past: bool = request.get("past", False)
    return {"alarms": listing.alarms(path, table, places, wanted, limit, past=past)}
