"""Sparkplug B payloads, written by hand: the few protobuf fields of `sparkplug_b.proto` that telemetry needs.

A metric of the newest record is current, all before it are historical (`is_historical`), as the specification asks.
Datatypes stand in birth messages only, as it also asks, so a series starts cheaper than libraries usually make it.
"""

import struct

from kerbtools.bench.workload import FIELDS, Field, Series

_PAYLOAD_TIMESTAMP, _PAYLOAD_METRICS, _PAYLOAD_SEQ = 1, 2, 3
_NAME, _ALIAS, _TIMESTAMP, _HISTORICAL = 1, 2, 3, 5
_INT, _FLOAT, _STRING, _DATASET = 10, 12, 15, 17
_COLUMNS_COUNT, _COLUMNS, _TYPES, _ROWS, _ELEMENTS = 1, 2, 3, 4, 1
_CELL_INT, _CELL_LONG, _CELL_FLOAT = 1, 2, 3
_UINT32, _UINT64, _FLOAT_TYPE, _DATASET_TYPE = 7, 8, 9, 16


def by_name(series: Series) -> bytes:
    """One metric a value, under its name: needs nothing known before."""
    return _metrics(series, named=True)


def by_alias(series: Series) -> bytes:
    """One metric a value, under the alias that a birth message gave it."""
    return _metrics(series, named=False)


def as_dataset(series: Series) -> bytes:
    """One DataSet metric under an alias: a row a record, time in its first column; what comes once is a metric."""
    names = list(series.columns)
    table = _number(_COLUMNS_COUNT, len(names) + 1)
    table += b"".join(_blob(_COLUMNS, title.encode()) for title in ("t", *(FIELDS[name].name for name in names)))
    kinds = [_UINT64, *(_FLOAT_TYPE if FIELDS[name].denominator > 1 else _UINT32 for name in names)]
    table += b"".join(_number(_TYPES, kind) for kind in kinds)
    for i, time in enumerate(series.times):
        row = _blob(_ELEMENTS, _number(_CELL_LONG, time * 1000))
        for name in names:
            field, raw = FIELDS[name], series.columns[name][i]
            row += _blob(
                _ELEMENTS,
                _float(_CELL_FLOAT, raw / field.denominator) if field.denominator > 1 else _number(_CELL_INT, raw),
            )
        table += _blob(_ROWS, row)
    metric = _number(_ALIAS, 30) + _number(_TIMESTAMP, series.times[-1] * 1000) + _blob(_DATASET, table)
    once = [_metric(FIELDS[name], raw, series.times[0], False, False) for name, raw in series.once.items()]
    return _payload(series, [*once, metric])


def _metrics(series: Series, named: bool) -> bytes:
    metrics: list[bytes] = []
    last = len(series.times) - 1
    for i, time in enumerate(series.times):
        values = [(name, column[i]) for name, column in series.columns.items()]
        values += series.once.items() if i == 0 else ()
        for name, raw in values:
            metrics.append(_metric(FIELDS[name], raw, time, i < last and name in series.columns, named))
    return _payload(series, metrics)


def _metric(field: Field, raw: int, time: int, historical: bool, named: bool) -> bytes:
    metric = _blob(_NAME, field.name.encode()) if named else _number(_ALIAS, field.key)
    metric += _number(_TIMESTAMP, time * 1000)
    if historical:
        metric += _number(_HISTORICAL, 1)
    if field.words:
        return metric + _blob(_STRING, field.words[raw].encode())
    return metric + (_float(_FLOAT, raw / field.denominator) if field.denominator > 1 else _number(_INT, raw))


def _payload(series: Series, metrics: list[bytes]) -> bytes:
    head = _number(_PAYLOAD_TIMESTAMP, series.times[-1] * 1000)
    body = b"".join(_blob(_PAYLOAD_METRICS, metric) for metric in metrics)
    return head + body + _number(_PAYLOAD_SEQ, series.seq & 255)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _blob(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
