"""What the tests of flashing share."""


def runs(board, text, seconds=10):
    """The board's program runs for a while and says this."""
    after = board.lines
    board.world.advance(seconds)
    said = list(board.console)[-(board.lines - after) :]
    assert [line for line in said if text in line], said
