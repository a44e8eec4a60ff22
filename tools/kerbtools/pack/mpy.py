"""A .mpy file of bytecode, written again with its names in the order of their use.

An instruction names one of the first 128 names of its file in one byte, all others in two; mpy-cross numbers them as it
comes upon them. Form of the file: version 6.3, as MicroPython's tools/mpy-tool.py and py/bc.h describe it.
"""

from collections import Counter
from dataclasses import dataclass, field

VERSION = b"M\x06"
_TUPLE, _WITH_END = 10, (5, 6)  # objects: a tuple holds others; text and bytes end in a zero that is not counted
_PLAIN = (1, 2, 3, 4)  # None, False, True, ...: no content
_QSTR, _NUMBER, _JUMP = 1, 2, 3  # what follows an instruction
_FORMATS = 0x000003A4  # of the instructions below 0x80: two bits for each sixteen
_NO_EXTRA = 0x9E  # bits of an instruction below 0x80 of which none stands in those that another byte ends
_SIGNED = 0x44  # jumps up to this one go both ways


class MpyError(Exception):
    """A file of another form than this module reads."""


@dataclass
class _Step:
    """An instruction: its byte, what follows it, and where it stood."""

    at: int
    code: int
    kind: int
    operand: bytes | int = b""  # of a name its number, of a jump its target
    extra: bytes = b""


@dataclass
class _Code:
    """One function. signature: the bytes of its prelude before its sizes; names: its own, then its parameters'."""

    signature: bytes
    names: list[int]
    rest: bytes  # of the prelude, after its names
    cells: bytes
    steps: list[_Step]
    end: int
    children: "list[_Code]" = field(default_factory=list["_Code"])


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1]

    def number(self) -> int:
        number = 0
        while True:
            byte = self.byte()
            number = number << 7 | byte & 127
            if byte < 128:
                return number

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]


def tighten(data: bytes) -> bytes:
    """The same file, smaller or as large. MpyError."""
    try:
        return _tightened(data)
    except IndexError:
        raise MpyError("the file ends inside an item") from None


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of a file by what they are. rest: heads and preludes, parameters' numbers among them."""

    names: int
    constants: int
    instructions: int
    rest: int
    functions: int


def measure(data: bytes) -> Sizes:
    """MpyError."""
    try:
        reader = _Reader(data)
        reader.take(4)
        names_count, objects_count = reader.number(), reader.number()
        marks = [reader.at]
        for _ in range(names_count):
            _name(reader)
        marks.append(reader.at)
        for _ in range(objects_count):
            _skip_object(reader)
        marks.append(reader.at)
        todo = [_code(reader)]
    except IndexError:
        raise MpyError("the file ends inside an item") from None
    instructions = functions = 0
    while todo:
        code = todo.pop()
        functions += 1
        instructions += code.end - code.steps[0].at if code.steps else 0
        todo += code.children
    names, constants = marks[1] - marks[0], marks[2] - marks[1]
    return Sizes(names, constants, instructions, len(data) - names - constants - instructions, functions)


def _tightened(data: bytes) -> bytes:
    reader = _Reader(data)
    head = reader.take(4)
    if head[:2] != VERSION or head[2] >> 2:
        raise MpyError("no bytecode of mpy version 6")
    names_count, objects_count = reader.number(), reader.number()
    names = [_name(reader) for _ in range(names_count)]
    start = reader.at
    for _ in range(objects_count):
        _skip_object(reader)
    objects = data[start : reader.at]
    root = _code(reader)
    if reader.at != len(data):
        raise MpyError("more follows the code")
    counts: Counter[int] = Counter()
    _count(root, counts)
    order = sorted((number for number in counts if number), key=lambda number: (-counts[number], number))
    places = {number: place for place, number in enumerate([0, *order])}  # the first is the file's own
    out = head + _number(len(places)) + _number(objects_count)
    out += b"".join(names[number] for number in places) + objects
    return out + _written(root, places)


def _name(reader: _Reader) -> bytes:
    start = reader.at
    size = reader.number()
    if not size & 1:  # else it is one that every MicroPython knows, by its number
        reader.take((size >> 1) + 1)
    return reader.data[start : reader.at]


def _skip_object(reader: _Reader) -> None:
    kind = reader.byte()
    if kind == _TUPLE:
        for _ in range(reader.number()):
            _skip_object(reader)
    elif kind not in _PLAIN:
        reader.take(reader.number() + (kind in _WITH_END))


def _code(reader: _Reader) -> _Code:
    size = reader.number()
    if size & 3:
        raise MpyError("native code")
    end = reader.at + (size >> 3)
    signature = bytearray([reader.byte()])
    parameters, shift = signature[0] & 3, 0
    while signature[-1] & 0x80:
        signature.append(reader.byte())
        parameters += ((signature[-1] & 4) << shift) + ((signature[-1] & 8) >> 3 << shift)
        shift += 1
    info = cells = shift = 0
    more = True
    while more:
        byte = reader.byte()
        info |= (byte & 0x7E) >> 1 << 6 * shift
        cells |= (byte & 1) << shift
        shift += 1
        more = bool(byte & 0x80)
    start = reader.at
    names = [reader.number() for _ in range(1 + parameters)]
    rest = reader.take(start + info - reader.at)
    cell_bytes = reader.take(cells)
    steps: list[_Step] = []
    while reader.at < end:
        steps.append(_step(reader))
    code = _Code(bytes(signature), names, rest, cell_bytes, steps, end)
    if size & 4:
        code.children = [_code(reader) for _ in range(reader.number())]
    return code


def _step(reader: _Reader) -> _Step:
    at, code = reader.at, reader.byte()
    kind = _FORMATS >> 2 * (code >> 4) & 3 if code < 0x80 else 0
    step = _Step(at, code, kind)
    start = reader.at
    if kind == _QSTR:
        step.operand = reader.number()
    elif kind == _NUMBER:
        reader.number()
        step.operand = reader.data[start : reader.at]
    elif kind == _JUMP:
        first = reader.byte()
        if first & 0x80:
            jump = (first & 0x7F | reader.byte() << 7) - (0x4000 if code <= _SIGNED else 0)
        else:
            jump = first - (0x40 if code <= _SIGNED else 0)
        step.operand = reader.at + jump
    if code < 0x80 and not code & _NO_EXTRA:
        step.extra = reader.take(1)
    return step


def _count(code: _Code, counts: Counter[int]) -> None:
    counts.update(code.names)
    counts.update(step.operand for step in code.steps if step.kind == _QSTR and isinstance(step.operand, int))
    for child in code.children:
        _count(child, counts)


def _written(code: _Code, places: dict[int, int]) -> bytes:
    info = b"".join(_number(places[name]) for name in code.names) + code.rest
    body = code.signature + _sizes(len(info), len(code.cells)) + info + code.cells + _steps(code, places)
    out = _number(len(body) << 3 | (4 if code.children else 0)) + body
    if code.children:
        out += _number(len(code.children)) + b"".join(_written(child, places) for child in code.children)
    return out


def _steps(code: _Code, places: dict[int, int]) -> bytes:
    """The instructions, each jump as short as it can be: all long at first, and shorter as long as that helps."""
    plain = [
        _number(places[step.operand]) if step.kind == _QSTR and isinstance(step.operand, int) else step.operand
        for step in code.steps
    ]
    widths = [2] * len(plain)
    while True:
        offsets: dict[int, int] = {}
        at = 0
        for step, operand, width in zip(code.steps, plain, widths, strict=True):
            offsets[step.at] = at
            at += 1 + (width if isinstance(operand, int) else len(operand)) + len(step.extra)
        offsets[code.end] = at
        jumps = [
            offsets[operand] - offsets[step.at] - 1 - width if isinstance(operand, int) else 0
            for step, operand, width in zip(code.steps, plain, widths, strict=True)
        ]
        narrower = [
            1 if width == 2 and isinstance(operand, int) and _fits(step.code, jump + (jump < 0)) else width
            for step, operand, width, jump in zip(code.steps, plain, widths, jumps, strict=True)
        ]
        if narrower == widths:
            break
        widths = narrower
    out = bytearray()
    for step, operand, width, jump in zip(code.steps, plain, widths, jumps, strict=True):
        out.append(step.code)
        out += _jump(step.code, jump, width) if isinstance(operand, int) else operand
        out += step.extra
    return bytes(out)


def _fits(code: int, jump: int) -> bool:
    """Whether one byte says a jump. A jump back grows by no byte that is saved later, one ahead only shrinks."""
    return -64 <= jump <= 63 if code <= _SIGNED else 0 <= jump <= 127


def _jump(code: int, jump: int, width: int) -> bytes:
    if width == 1:
        return bytes([jump + (0x40 if code <= _SIGNED else 0)])
    jump += 0x4000 if code <= _SIGNED else 0
    if not 0 <= jump < 1 << 15:
        raise MpyError("a jump over more than an instruction can say")
    return bytes([jump & 0x7F | 0x80, jump >> 7])


def _number(number: int) -> bytes:
    out = bytearray([number & 127])
    while number := number >> 7:
        out.insert(0, number & 127 | 128)
    return bytes(out)


def _sizes(info: int, cells: int) -> bytes:
    out = bytearray()
    while True:
        byte = (info & 0x3F) << 1 | cells & 1
        info >>= 6
        cells >>= 1
        out.append(byte | (0x80 if info or cells else 0))
        if not info and not cells:
            return bytes(out)
