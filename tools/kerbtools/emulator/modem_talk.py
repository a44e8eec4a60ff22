"""How long time runs at real pace while a board that is a gateway's modem and a real gateway talk over USB."""

from kerbtools.emulator.console import Console
from kerbtools.emulator.usb import TALK_S
from kerbtools.emulator.world import World
from kerbwire import line, modem

ANSWER_S = 1.0  # real seconds that a gateway may take to answer a frame: what it does not answer costs that much
AFTER_ANSWER_S = 0.02  # and after its first bytes, so that what follows is in time too


class ModemTalk:
    """A frame that the modem hands to the gateway begins such a time, and the answer ends it soon. At the REPL, where
    people and tools talk, it is as with any board."""

    def __init__(self, world: World, console: Console) -> None:
        self._world = world
        self._console = console
        self._reader = line.Reader()
        console.on_print = self._said

    def talk_s(self) -> float:
        """How long after an input."""
        return AFTER_ANSWER_S if self._console.binary else TALK_S

    def _said(self, data: bytes) -> None:
        if not self._console.binary:
            return
        frames = self._reader.feed(data)
        usb = self._console.usb
        if usb is not None and usb.is_open() and any(modem.is_frame(frame) for frame in frames):
            self._world.hold(self._console)
            usb.expect(ANSWER_S)
