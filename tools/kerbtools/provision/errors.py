"""What can go wrong in commissioning, besides RegistryError and DeviceError.

ProvisionError
+-- OrderError     what was asked for cannot be: an option, a field, a setting
+-- SheetError     a CSV file; `problems` has every line that is wrong
+-- NotReady       the board cannot be provisioned as it is: no firmware, another role, a failed self-test
"""


class ProvisionError(Exception):
    """A cause in one sentence, and `hint`: what to check or run next. Neither ever holds key material."""

    def __init__(self, cause: str, hint: str):
        super().__init__(cause)
        self.cause = cause
        self.hint = hint


class OrderError(ProvisionError):
    """What was asked for cannot be."""


class SheetError(ProvisionError):
    """Lines of a CSV file are wrong; nothing of it was taken in."""

    def __init__(self, cause: str, hint: str, problems: "list[tuple[int, str]] | None" = None):
        super().__init__(cause, hint)
        self.problems = problems or []  # (line number, what is wrong)


class NotReady(ProvisionError):
    """The board cannot be provisioned as it is."""
