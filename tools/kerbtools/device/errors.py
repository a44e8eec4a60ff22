"""What can go wrong with a board on a port. Each is one sentence of cause, and `hint`: one of what to do.

    DeviceError
        NoPort              nothing is plugged in there
        PortBusy            another program holds the port
        NoPermission        the operating system refuses the port to this user
        PortGone            it was there, and went away: cable pulled, board reset
        NotAnswering        the port is open and no REPL answers: asleep, hung, or no MicroPython
        BoardRaised         code on the board ended in an error; `last_line` is that of its traceback
        FlashFull           the board's flash has no room
        FlashRefused        the board's file system refused an operation; `errno` says why
        NotVerified         what was read back is not what was written
        WrongBoard          it is another board than it should be
        WrongMicroPython    its MicroPython is too old, or none that the firmware runs on

Callers branch on the class or on `errno`, never on text.
"""


class DeviceError(Exception):
    """A cause in one sentence, and `hint`: what to do next. Neither ever holds key material."""

    may_pass = False  # whether waiting alone may cure it: somebody plugs the board in or presses its reset button

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NoPort(DeviceError):
    may_pass = True

    def __init__(self, port: str) -> None:
        super().__init__(
            f"There is no port {port}.", "Plug the board in, and run `kerb info` without a port to see what is there."
        )


class PortBusy(DeviceError):
    def __init__(self, port: str) -> None:
        super().__init__(
            f"Another program holds the port {port}.",
            "Close the terminal, editor or other kerb that has it open, and try again.",
        )


class NoPermission(DeviceError):
    def __init__(self, port: str) -> None:
        super().__init__(
            f"This user may not open the port {port}.",
            "On Linux run `sudo usermod -aG dialout $USER` (`uucp` on Arch), log in again, and try again.",
        )


class PortGone(DeviceError):
    may_pass = True

    def __init__(self, port: str) -> None:
        super().__init__(
            f"The board on {port} went away: its cable was pulled or it lost power.",
            "Plug it in again and run the same command again: it takes up where this one stopped.",
        )


class NotAnswering(DeviceError):
    may_pass = True

    def __init__(self, port: str, waited_s: float) -> None:
        super().__init__(
            f"The board on {port} gave no answer in {waited_s:.0f} s.",
            "If it sleeps, press its reset button now, or run again with `--wait 60` and press it then; "
            "if that does not help, MicroPython may not be on it.",
        )


class BoardRaised(DeviceError):
    def __init__(self, port: str, traceback: str) -> None:
        self.last_line = printable(traceback.strip().rpartition("\n")[2])
        super().__init__(
            f"The board on {port} ended in an error: {self.last_line}.",
            "Run `kerb flash` to put the whole firmware on it again; `kerb logs` shows what it said before.",
        )


class FlashFull(DeviceError):
    def __init__(self, port: str, needed: int | None = None, free: int | None = None) -> None:
        figures = f": {needed:,} bytes are needed and {free:,} are free" if needed and free is not None else ""
        super().__init__(
            f"The flash of the board on {port} is full{figures}.",
            "Remove files that are not the firmware's with `mpremote rm`, or run `kerb erase` and flash it again.",
        )


class FlashRefused(DeviceError):
    def __init__(self, port: str, errno: int, text: str) -> None:
        self.errno = errno
        super().__init__(
            f"The file system of the board on {port} refused: {printable(text)} (errno {errno}).",
            "Run `kerb info` to see whether it is mounted and has room; `kerb erase` makes it anew.",
        )


class NotVerified(DeviceError):
    def __init__(self, port: str, path: str) -> None:
        super().__init__(
            f"The board on {port} read {path} back differently from what was sent.",
            "Run the same command again; if it happens again, the board's flash is worn or its cable is bad.",
        )


class WrongBoard(DeviceError):
    """It is another board than it should be."""


class WrongMicroPython(DeviceError):
    """Its MicroPython is too old, or none that the firmware runs on."""


def printable(text: str, most: int = 200) -> str:
    """What a board says, made safe for a terminal: printable ASCII, and no more than `most` characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text)[:most]
