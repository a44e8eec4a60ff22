"""The app: looks come from a thread of their own, and are drawn on whichever screen is up."""

import os
from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message

from kerbtools.field.top.looks import Look, Looker, Watch
from kerbtools.field.top.model import Model, View
from kerbtools.field.top.screens import Detail, Help, Tables

WIDE = 140  # columns from which all tables stand side by side


class Looked(Message):
    """A look came back."""

    def __init__(self, look: Look):
        super().__init__()
        self.look = look


class Top(App[None]):
    """One gateway, until q."""

    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012  # not declared as one of the class there
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "help", key_display="?"),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]
    CSS = """
    Screen { background: ansi_default; color: ansi_default; }
    #head { height: 3; text-wrap: nowrap; text-overflow: ellipsis; }
    #trouble { height: auto; max-height: 4; }
    #tabs { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #panes { height: 1fr; }
    #filter { height: 1; border: none; padding: 0; }
    #body { height: 1fr; }
    Table { height: 1fr; width: 1fr; overflow-x: hidden; scrollbar-size-vertical: 1; }
    .-narrow .pane { display: none; }
    .-narrow .pane.-shown { display: block; }
    .-wide #panes { layout: grid; grid-size: 2 3; grid-columns: 3fr 2fr; grid-gutter: 0 2; }
    .-wide Table { border-top: solid ansi_bright_black; }
    .-wide Table:focus { border-top: heavy ansi_default; }
    .-wide #nodes { row-span: 3; }
    """

    def __init__(self, site: str, looker: Looker):
        super().__init__(ansi_color=True)
        self.animation_level = "none"  # over a slow line each frame counts
        self.theme = "ansi-dark"
        self._looker = looker
        self._model = Model(site)
        self._tables = Tables()
        self._look = Look(0.0, {})
        self._server_pid = os.getppid()
        self._watch = Watch(looker, lambda look: self.post_message(Looked(look)))
        self.view: View | None = None

    def on_mount(self) -> None:
        self.push_screen(self._tables)
        self._watch.start()

    def on_unmount(self) -> None:
        self._watch.stop()

    def on_looked(self, message: Looked) -> None:
        if self.is_web and os.getppid() != self._server_pid:  # nobody serves this page any more
            self.exit()
            return
        self._look = message.look
        self.draw()

    def draw(self) -> None:
        """Show the newest look on the screen that is up."""
        self.view = self._model.take(self._look, self._tables.text)
        if not self._tables.is_mounted or not self._look.at_s:
            return
        screen = self.screen
        if isinstance(screen, Detail):
            screen.show(self._look, self.view)
        elif screen is self._tables:
            self._tables.show(self.view)

    def want(self, question: str, fields: Mapping[str, Any] | None) -> None:
        """Ask this from now on; None: no longer."""
        if fields is None:
            self._looker.wanted.pop(question, None)
            return
        self._looker.wanted[question] = fields
        self._watch.hurry()

    def action_help(self) -> None:
        if not isinstance(self.screen, Help):
            self.push_screen(Help())
