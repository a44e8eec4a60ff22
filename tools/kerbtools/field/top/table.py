"""A table that is drawn line by line: rows cost what is seen of them. The cursor stays with its row's key."""

from typing import ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from kerbtools.field.screen import Screen
from kerbtools.field.top import model

_STYLES = {"red": Style(color="red"), "yellow": Style(color="yellow"), "dim": Style(dim=True), "": Style()}
_HEAD, _CURSOR = Style(bold=True), Style(reverse=True)


class Table(ScrollView, can_focus=True):
    """Rows of one kind. The heads stay while the rows scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "open"),
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home,g", "edge(0)", show=False),
        Binding("end,G", "edge(1)", show=False),
    ]

    class Chosen(Message):
        """Enter, or a second click, on a row."""

        def __init__(self, kind: str, key: str):
            super().__init__()
            self.kind, self.key = kind, key

    def __init__(self, kind: str):
        super().__init__(id=kind, classes="pane")
        self._kind = kind
        self._table = model.Table(kind, (), ())
        self._lines: list[str] = []
        self._cursor = 0

    @property
    def key(self) -> str | None:
        """Of the row under the cursor."""
        rows = self._table.rows
        return rows[self._cursor].key if rows else None

    def show(self, table: model.Table) -> None:
        """Other rows; the cursor stays on its row, or in its place where that has gone. On the first it stays first."""
        if table == self._table:
            return
        key = self.key
        self._table = table
        self.border_title = table.label + (f", {table.note}" if table.note else "")
        place = next((at for at, row in enumerate(table.rows) if row.key == key), self._cursor) if self._cursor else 0
        self._cursor = max(min(place, len(table.rows) - 1), 0)
        self._lay_out()
        self._follow()

    def on_resize(self, event: events.Resize) -> None:
        self._lay_out()
        self._follow()

    def _lay_out(self) -> None:
        table, width = self._table, self.size.width
        if table.rows:
            self._lines = Screen(colour=False, width=width, utf=True).table(
                [row.cells for row in table.rows], table.heads, table.right
            )
        else:
            self._lines = ["", *(f"  {line}" for line in table.empty)]
        self.virtual_size = Size(width, len(self._lines))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        at = y if y == 0 else y + self.scroll_offset.y
        text = self._lines[at] if at < len(self._lines) else ""
        style = self.rich_style
        rows = self._table.rows
        if rows and at == 0:
            style += _HEAD
        elif rows and at <= len(rows):
            style += _STYLES.get(rows[at - 1].colour, _STYLES[""])
            if at - 1 == self._cursor and self.has_focus:
                style += _CURSOR
        return Strip([Segment(set_cell_size(text, width), style)], width)

    def _follow(self) -> None:
        """Scroll to where the cursor is seen."""
        seen = max(self.size.height - 1, 1)
        top = self.scroll_offset.y
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False, force=True)
        elif self._cursor >= top + seen:
            self.scroll_to(y=self._cursor - seen + 1, animate=False, force=True)

    def _go(self, place: int) -> None:
        self._cursor = max(min(place, len(self._table.rows) - 1), 0)
        self._follow()
        self.refresh()

    def action_move(self, by: int) -> None:
        self._go(self._cursor + by)

    def action_page(self, by: int) -> None:
        self._go(self._cursor + by * max(self.size.height - 1, 1))

    def action_edge(self, end: int) -> None:
        self._go(len(self._table.rows) if end else 0)

    def action_choose(self) -> None:
        key = self.key
        if key is not None:
            self.post_message(self.Chosen(self._kind, key))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None or offset.y == 0:
            return
        place = self.scroll_offset.y + offset.y - 1
        if place == self._cursor and self.has_focus:
            self.action_choose()
        elif place < len(self._table.rows):
            self._go(place)
