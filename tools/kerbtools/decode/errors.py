"""What can go wrong in `kerb decode`. Frames that do not open or decode are results, not errors.

DecodeError    an input that is neither hex nor a capture file, a key that cannot be read
"""


class DecodeError(Exception):
    """A cause in one sentence, and `hint`: what to check or run next. Neither ever holds key material."""

    def __init__(self, cause: str, hint: str):
        super().__init__(cause)
        self.cause = cause
        self.hint = hint
