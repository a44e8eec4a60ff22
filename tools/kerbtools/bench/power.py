"""The tables of firmware/POWER.md: what each board draws a day by its board.toml, how long its cells last, and why."""

from collections.abc import Iterator

from kerbtools import boards
from kerbtools.bench import cells

DETAILED = "esp32_c3"


def rows() -> Iterator[dict[str, object]]:
    """Boards, the causes of one of them, with and without looks at the temperature, and the sources of all figures."""
    for name in boards.names():
        mah = cells.budget(name)["all"]
        yield {"board": name, "mah_a_day": mah, "years_on_two_d_cells": cells.CELLS.years(mah)}
    without = cells.budget(DETAILED, heat_s=0)
    for cause, mah in cells.budget(DETAILED).items():
        yield {"board": DETAILED, "cause": cause, "mah_a_day": mah, "without_looks": without[cause]}
    yield {"ten_years_allow_mah_a_day": cells.CELLS.may_draw(10)}
    for figure, source, sure in cells.SOURCES:
        yield {"figure": figure, "source": source, "known_by": sure}
