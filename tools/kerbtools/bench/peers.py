"""What the same records take in the formats that a council would pick today, each as a well-made integration writes it.

In every format the quality flags of a bin stay out where all are zero, so the peers carry one channel less than we do.
Text formats name the device; maps carry node and sequence number; Sparkplug B has the device in its topic.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

import cbor2
import msgpack

from kerbtools.bench import sparkplug
from kerbtools.bench.workload import FIELDS, Field, Series, lux_code

SEAL = 13  # bytes of a sealed frame beside its message, the same for all

# SenML labels in CBOR, RFC 8428 section 6.
_LABELS = {"bn": -2, "bt": -3, "bu": -4, "bv": -5, "n": 0, "u": 1, "v": 2, "vs": 3, "t": 6}
_KEYS = {"node": 0, "seq": 1, "time": 2, "step": 3, "times": 9}  # of maps with integer keys; columns have their own


@dataclass(frozen=True)
class Peer:
    """One format: its name in tables, what its row contains, and its encoder."""

    name: str
    contains: str
    encode: Callable[[Series], bytes]


def fair(series: Series) -> Series:
    """The series as peers send it: quality flags left out where all are zero."""
    if any(series.columns.get("quality", [1])):
        return series
    columns = {name: values for name, values in series.columns.items() if name != "quality"}
    return replace(series, columns=columns)


def gateway_json(series: Series) -> bytes:
    """ThingsBoard gateway telemetry: {device: [{"ts": ms, "values": {...}}]}."""
    rows: list[dict[str, object]] = []
    for i, time in enumerate(series.times):
        values = {name: _physical(FIELDS[name], column[i]) for name, column in series.columns.items()}
        if i == 0:
            values |= {name: _physical(FIELDS[name], raw) for name, raw in series.once.items()}
        rows.append({"ts": time * 1000, "values": {FIELDS[name].name: value for name, value in values.items()}})
    return _json({series.device: rows})


def senml_json(series: Series) -> bytes:
    """RFC 8428 JSON: base name, time, unit and value changed inside the pack, so a record is {"t", "v"}."""
    return _json(_senml(series))


def senml_cbor(series: Series) -> bytes:
    """The same pack in CBOR: integer labels, half floats where they resolve the sensor's step."""
    pack: list[dict[int, object]] = []
    for record in _senml(series):
        pack.append({_LABELS[name]: _short(value) for name, value in record.items()})
    return cbor2.dumps(pack, canonical=True)


def cbor_text(series: Series) -> bytes:
    """A map of columns under words, scaled integers."""
    return cbor2.dumps(_map(series, scaled=True, text=True), canonical=True)


def cbor_int(series: Series) -> bytes:
    """A map of columns under integers, scaled integers, lux in 1/8 octaves, words as numbers."""
    return cbor2.dumps(_map(series, scaled=True, text=False), canonical=True)


def msgpack_text(series: Series) -> bytes:
    """A map of columns under words, single-precision floats."""
    return _packb(_map(series, scaled=False, text=True))


def msgpack_int(series: Series) -> bytes:
    """A map of columns under integers, scaled integers, lux in 1/8 octaves, words as numbers."""
    return _packb(_map(series, scaled=True, text=False))


PEERS = (
    Peer("gateway JSON", "ThingsBoard gateway: device, ts in ms and values of each record", gateway_json),
    Peer("SenML-JSON", "RFC 8428: base name, time and unit once a column, then t and v; counters on bv", senml_json),
    Peer("SenML-CBOR", "the same with integer labels and half floats", senml_cbor),
    Peer("Sparkplug B, names", "a metric a value: name, time, historical flag, value", sparkplug.by_name),
    Peer("Sparkplug B, aliases", "the same by alias; needs a birth message before", sparkplug.by_alias),
    Peer("Sparkplug B, DataSet", "a row a record, time and values; needs a birth message before", sparkplug.as_dataset),
    Peer("CBOR, string keys", "node, seq, time, step and columns of scaled integers", cbor_text),
    Peer("CBOR, int keys", "the same under integer keys, lux in 1/8 octaves", cbor_int),
    Peer("MessagePack, string keys", "node, seq, time, step and columns of float32", msgpack_text),
    Peer("MessagePack, int keys", "scaled integers under integer keys, lux in 1/8 octaves", msgpack_int),
)


def _senml(series: Series) -> list[dict[str, object]]:
    base = series.device + "/"  # a URN of RFC 9039 would cost some 20 bytes a column more
    start = series.times[0]
    if len(series.times) == 1:
        pack = [_named(name, column[0]) for name, column in series.columns.items()]
        pack += [_named(name, raw) for name, raw in series.once.items()]
        return [{"bn": base, "bt": start, **pack[0]}, *pack[1:]]
    pack: list[dict[str, object]] = []
    for name, column in series.columns.items():
        field = FIELDS[name]
        head: dict[str, object] = {"bn": base + field.name}
        if not pack:
            head["bt"] = start
        head["bu"] = field.unit
        offset = column[0] if field.counts_up else 0
        if field.counts_up:
            head["bv"] = offset
        elif pack and any(FIELDS[other].counts_up for other in series.columns):
            head["bv"] = 0
        for i, raw in enumerate(column):
            record: dict[str, object] = {"t": series.times[i] - start} if i else {}
            value = _physical(field, raw - offset)
            record["vs" if isinstance(value, str) else "v"] = value
            pack.append(head | record if i == 0 else record)
    for name, raw in series.once.items():
        field = FIELDS[name]
        pack.append({"bn": base + field.name, "bu": field.unit, "v": _physical(field, raw)})
    return pack


def _named(name: str, raw: int) -> dict[str, object]:
    field = FIELDS[name]
    value = _physical(field, raw)
    unit = {"u": field.unit} if field.unit else {}
    return {"n": field.name, **unit, "vs" if isinstance(value, str) else "v": value}


def _map(series: Series, *, scaled: bool, text: bool) -> dict[str | int, object]:
    def key(name: str) -> str | int:
        if text:
            return FIELDS[name].name if name in FIELDS else name
        return FIELDS[name].key if name in FIELDS else _KEYS[name]

    def value(name: str, raw: int) -> object:
        if text and FIELDS[name].words:
            return FIELDS[name].words[raw]
        if name == "lux" and not text:
            return lux_code(raw)
        return raw if scaled else _physical(FIELDS[name], raw)

    times, step = series.times, series.step
    out: dict[str | int, object] = {key("node"): series.node, key("seq"): series.seq, key("time"): times[0]}
    if len(times) > 1 and step is not None:
        out[key("step")] = step
    elif len(times) > 1:
        out[key("times")] = [after - before for before, after in pairwise(times)]
    for name, column in series.columns.items():
        values = [value(name, raw) for raw in column]
        out[key(name)] = values if len(values) > 1 else values[0]
    for name, raw in series.once.items():
        out[key(name)] = value(name, raw)
    return out


def _packb(value: object) -> bytes:
    pack = cast(Callable[..., bytes], msgpack.packb)  # pyright: ignore[reportUnknownMemberType]  # it has no types
    return pack(value, use_single_float=True)


def _physical(field: Field, raw: int) -> int | float | str:
    if field.words:
        return field.words[raw]
    if field.denominator == 1 or raw % field.denominator == 0:
        return raw // field.denominator
    return raw / field.denominator


def _short(value: object) -> object:
    """A float as the half or single that still resolves a hundredth (or the sensor's tenth), for canonical CBOR."""
    if not isinstance(value, float):
        return value
    step = 0.1 if round(value, 1) == value else 0.01
    for code in ("e", "f"):
        short: float = struct.unpack(code, struct.pack(code, value))[0]
        if abs(short - value) < step / 2:
            return short
    return value


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
