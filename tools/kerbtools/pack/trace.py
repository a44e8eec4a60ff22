"""A traceback of a packed board, with the names of the sources beside the short ones."""

import re
from collections.abc import Iterable, Iterator, Mapping

ATTRIBUTES = "attributes"  # among the names by file, those of the whole role
_FRAME = re.compile(r'File "([^"]+)", line \d+, in (\S+)$')
_QUOTED = re.compile(r"'(\w+)'")

Names = Mapping[str, Mapping[str, list[str]]]


def explained(lines: Iterable[str], names: Names) -> Iterator[str]:
    """The lines of a log or a crash record. names: of the bundle that lies on the board."""
    attributes = names.get(ATTRIBUTES, {})
    for line in lines:
        frame = _FRAME.search(line)
        if frame:
            meant = names.get(frame[1], {}).get(frame[2], [])
            yield f"{line}: {' or '.join(meant)}" if meant else line
        elif line.startswith(("AttributeError", "NameError", "TypeError", "ImportError")):
            meant = [f"{word}: {' or '.join(attributes[word])}" for word in _QUOTED.findall(line) if word in attributes]
            yield f"{line} ({', '.join(meant)})" if meant else line
        else:
            yield line
