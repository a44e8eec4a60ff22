"""What is wrong with a board.

BoardError    unknown board, missing folder, or a board.toml or parts.toml that is not usable
"""


class BoardError(Exception):
    """`hint` says what to do next."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} ({hint})")
        self.hint = hint
