"""What every part on a board has: whether it is there, its fault, and what it tells of its current."""

from collections.abc import Callable


class Part:
    """A part of a board. present: whether anything answers at its place. fault: one of FAULTS, or None."""

    FAULTS: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.present = True
        self._fault: str | None = None
        self.draws: Callable[[bool, int], None] = _nobody_counts  # (active or standby, since), set by the wiring

    def begin(self, now_us: int) -> None:
        """The board starts: the part is fitted and has power, or what this kind of part does then."""
        self.draws(False, now_us)

    @property
    def fault(self) -> str | None:
        return self._fault

    @fault.setter
    def fault(self, fault: str | None) -> None:
        if fault is not None and fault not in self.FAULTS:
            known = ", ".join(self.FAULTS) or "none"
            raise ValueError(f"{type(self).__name__} knows no fault {fault!r}; it knows: {known}")
        self._fault = fault


def _nobody_counts(active: bool, now_us: int) -> None:
    pass
