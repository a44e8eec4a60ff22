"""The screens: all tables, one row in full, and the help."""

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from kerbtools.field.screen import Screen as Page
from kerbtools.field.top import details
from kerbtools.field.top.looks import ALARMS, FACTS, MAX_NODES, NODES, QUEUES, STORY, Look
from kerbtools.field.top.model import View
from kerbtools.field.top.table import Table

if TYPE_CHECKING:
    from kerbtools.field.top.app import Top

PANES = (NODES, FACTS, QUEUES, ALARMS)
SORTS = ("state", "node", "age", "place", "link")
MAX_TEXT = 60  # letters of a filter
_STYLES = {"red": "bold red", "yellow": "yellow"}
HELP = """\
kerb top: the gateway live; it only looks, and changes nothing

 1 2 3 4, Tab       nodes, links from nodes, queues to the council, alarms
 arrows, PgUp PgDn  up and down; also j and k, Home and End
 Enter              the row in full: a node's story, a link, a queue, an alarm
 Escape             back; on the tables: no filter any more
 /                  filter: words that a row has, such as: silent lamp, or 17
 s                  sort nodes: by state (the worst first), number, age (the
                    longest unheard first), place, link (the worst first)
 ?                  this help
 q, Ctrl-C          leave

heard, delivered    messages a second over the last ten seconds, with a mark
                    for each second of the last minute
noise, refused      of all links, over the last quarter of an hour
LINK                of a node: how many of its last frames arrived

What is wrong, and what to do about it: kerb doctor
"""


class Paned(Screen[None]):
    """A screen that knows its app."""

    @property
    def top(self) -> "Top":
        return cast("Top", self.app)  # pyright: ignore[reportUnknownMemberType]


class Tables(Paned):
    """Nodes, links, queues and alarms: one of them where there is little room, else all."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(place + 1), f"pane({place})", show=False) for place in range(len(PANES))),
        Binding("tab,right", "next(1)", "next", key_display="Tab"),
        Binding("shift+tab,left", "next(-1)", show=False),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("s", "sort", "sort"),
        Binding("escape", "clear", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._pane = 0
        self._sort = 0
        self._labels = ["nodes", "links", "queues", "alarms"]

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield Static(id="trouble", markup=False)
        yield Static(id="tabs", markup=False)
        with Container(id="panes"):
            for kind in (NODES, ALARMS, FACTS, QUEUES):
                yield Table(kind)
        yield Input(
            id="filter", placeholder="words that a row has; Enter keeps it, Escape drops it", max_length=MAX_TEXT
        )
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self.query_one("#filter").display = self.query_one("#trouble").display = False
        self.action_pane(0)

    def show(self, view: View) -> None:
        """Draw what has changed."""
        bars = Page(colour=False, utf=True).spark(view.history, 0, max([1.0, *view.history]))
        head = Text("\n").join(
            [Text(view.head[0], "bold"), Text(f"{view.head[1]}  {bars}" if bars else view.head[1]), Text(view.head[2])]
        )
        self._put("#head", head)
        trouble = self.query_one("#trouble", Static)
        trouble.display = bool(view.trouble)
        self._put("#trouble", Text(view.trouble, _STYLES.get(view.colour, "")))
        for kind, table in view.tables.items():
            self.query_one(f"#{kind}", Table).show(table)
        self._labels = [view.tables[kind].label for kind in PANES]
        self._note = view.tables[PANES[self._pane]].note
        self._tabs()

    _note = ""

    def _put(self, selector: str, text: Text) -> None:
        static = self.query_one(selector, Static)
        if getattr(static, "told", None) != text:
            static.told = text  # pyright: ignore[reportAttributeAccessIssue]
            static.update(text)

    def _tabs(self) -> None:
        line = Text(no_wrap=True, overflow="ellipsis")
        for place, label in enumerate(self._labels):
            line.append(f" {place + 1} {label} ", "reverse" if place == self._pane else "")
        line.append(f"  by {SORTS[self._sort]}")
        if self.text:
            line.append(f"  with {self.text!r}", "bold")
        if self._note and self.has_class("-narrow"):
            line.append(f"  {self._note}", "dim")
        self._put("#tabs", line)

    def _ask(self) -> None:
        """The nodes that are wanted now are others."""
        fields: dict[str, object] = {"sort": SORTS[self._sort], "limit": MAX_NODES}
        self.top.want(NODES, fields | ({"text": self.text} if self.text else {}))

    def action_pane(self, place: int) -> None:
        self._pane = place
        for kind in PANES:
            self.query_one(f"#{kind}").set_class(kind == PANES[place], "-shown")
        self.query_one(f"#{PANES[place]}").focus()
        self._tabs()

    def action_next(self, by: int) -> None:
        self.action_pane((self._pane + by) % len(PANES))

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click may have chosen another table."""
        if event.widget.id in PANES and PANES[self._pane] != event.widget.id:
            self.action_pane(PANES.index(event.widget.id))

    def action_sort(self) -> None:
        self._sort = (self._sort + 1) % len(SORTS)
        self._tabs()
        self._ask()

    def action_filter(self) -> None:
        line = self.query_one("#filter", Input)
        line.display = True
        line.value = self.text
        line.focus()

    def action_clear(self) -> None:
        line = self.query_one("#filter", Input)
        line.value = ""
        self._look_for("")
        self._leave()

    def _leave(self) -> None:
        self.query_one("#filter").display = False
        self.action_pane(self._pane)

    def _look_for(self, text: str) -> None:
        if text == self.text:
            return
        self.text = text
        self._ask()
        self.top.draw()

    @on(Input.Changed, "#filter")
    def _typed(self, event: Input.Changed) -> None:
        if event.input.display:
            self._look_for(event.value.strip())

    @on(Input.Submitted, "#filter")
    def _entered(self) -> None:
        self._leave()

    @on(Table.Chosen)
    def _open(self, event: Table.Chosen) -> None:
        self.top.push_screen(Detail(event.kind, event.key))


class Detail(Paned):
    """One row in full, as it goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "back"),
        Binding("enter", "node", "its node"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
    ]

    def __init__(self, kind: str, key: str):
        super().__init__()
        self._kind, self._key = kind, key
        self._look: Look | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="trouble", markup=False)
        with VerticalScroll(id="body"):
            yield Static(id="lines", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        if self._kind == NODES:
            self.top.want(STORY, {"node": int(self._key)})
        self.query_one("#trouble").display = False
        self.query_one("#body").focus()
        self.top.draw()

    def on_unmount(self) -> None:
        if self._kind == NODES:
            self.top.want(STORY, None)

    def show(self, look: Look, view: View) -> None:
        """Draw it as it now is."""
        self._look = look
        trouble = self.query_one("#trouble", Static)
        trouble.display = bool(view.trouble)
        trouble.update(Text(view.trouble, _STYLES.get(view.colour, "")))
        lines = details.lines(look, self._kind, self._key, max(self.size.width - 2, 20))
        self.query_one("#lines", Static).update(Text("\n".join(lines), no_wrap=True))

    def on_resize(self) -> None:
        self.top.draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self._kind == ALARMS if action == "node" else True

    def action_back(self) -> None:
        self.dismiss()

    def action_scroll(self, by: int) -> None:
        self.query_one("#body").scroll_relative(y=by, animate=False)

    def action_node(self) -> None:
        node = None if self._look is None else details.node_of(self._look, self._key)
        if node is not None:
            self.top.push_screen(Detail(NODES, str(node)))


class Help(Paned):
    """Which key does what, and what the figures are."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,enter", "back", "back", key_display="Escape")
    ]

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(HELP, markup=False)
        yield Footer(show_command_palette=False)

    def action_back(self) -> None:
        self.dismiss()
