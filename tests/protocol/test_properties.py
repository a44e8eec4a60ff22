"""Properties over any input: readers raise WireError and nothing else; each value has one encoding."""

import contextlib
import itertools

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kerbwire import cbor, columns, frame, line, messages, seal
from kerbwire.ccm import Ccm
from kerbwire.channels import CHANNELS, FAULT, NO_ECHO, NOT_FITTED
from kerbwire.errors import WireError
from kerbwire.messages import Record, Report

LIFE = bytes(8)
KEY = seal.uplink_key(bytes(16), 417, LIFE)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 64), (1 << 64) - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.integers(0, 1 << 20), inner, max_size=5),
    max_leaves=12,
)


def depth(value: object) -> int:
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return 1 + max(map(depth, items), default=0) if isinstance(value, list | dict) else 0


@given(values)
def test_cbor_round_trip(value: object) -> None:
    if depth(value) > cbor.MAX_DEPTH:
        return
    try:
        data = cbor.encode(value)
    except WireError:
        assert "\\u" in ascii(value) or "\\ud" in ascii(value)  # text that UTF-8 cannot carry
        return
    assert cbor.decode(data) == value
    assert cbor.encode(cbor.decode(data)) == data


@given(st.binary(max_size=300))
@settings(max_examples=1000)
@example(b"\x82\x01\x45\x00\x00\x05\x31\x64")
def test_readers_raise_wire_error_only(data: bytes) -> None:
    with contextlib.suppress(WireError):
        value = cbor.decode(data)
        assert cbor.encode(value) == data
    for space in (frame.UP, frame.DOWN, frame.GROUP):
        with contextlib.suppress(WireError):
            messages.decode(data, space)
    with contextlib.suppress(WireError):
        header = frame.parse(data)
        assert frame.pack(header.space, header.epoch, header.node, header.seq, header.context) == data[: header.size]
    with contextlib.suppress(WireError):
        assert line.cobs_encode(line.cobs_decode(data)) == data
    line.Reader().feed(data)


@given(st.binary(min_size=1, max_size=200))
@settings(max_examples=500)
def test_a_report_body_has_one_form(body: bytes) -> None:
    data = cbor.encode([messages.REPORT, body])
    with contextlib.suppress(WireError):
        report = messages.decode(data, frame.UP)
        if report.skipped == 0:
            again = messages.encode(report)
            assert messages.decode(again, frame.UP) == report
            if report.coder == columns.PLAIN:  # of packed, as much is checked as is cheap: see test_packed.py
                assert again == data


@st.composite
def reports(draw: st.DrawFn) -> Report:
    count = draw(st.integers(1, 12))
    index, time = draw(st.integers(0, 1 << 20)), draw(st.integers(0, 1 << 31))
    records = []
    for i in range(count):
        chosen = draw(st.sets(st.sampled_from(sorted(CHANNELS)), max_size=4))
        read = {
            ident: draw(
                st.sampled_from((NO_ECHO, FAULT, NOT_FITTED)) | st.integers(CHANNELS[ident].low, CHANNELS[ident].high)
            )
            for ident in chosen
        }
        records.append(Record(index + i, time, read))
        time += draw(st.sampled_from((0, 60, 3600, 3601)))
    boot = draw(st.none() | st.integers(0, 1000))
    return Report(records, boot, None if boot is None else time)


@given(reports())
@settings(max_examples=300)
def test_any_report_round_trips(report: Report) -> None:
    try:
        data = messages.encode(report)
    except WireError as error:
        assert error.code == "too long"
        return
    again = messages.decode(data, frame.UP)
    assert again == report and messages.encode(again) == data


@given(st.binary(min_size=1, max_size=60), st.integers(0, frame.MAX_SEQ), st.data())
def test_a_changed_frame_never_opens(message: bytes, seq: int, data: st.DataObject) -> None:
    sealed = KEY.seal(frame.UP, 0, 417, seq, message)
    at = data.draw(st.integers(0, len(sealed) - 1))
    changed = bytearray(sealed)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        KEY.open(bytes(changed), frame.parse(bytes(changed)))
    except WireError:
        return
    raise AssertionError("opened")


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=6))
def test_the_line_reader_does_not_care_how_a_stream_is_cut(stream: bytes, cuts: list[int]) -> None:
    whole = line.Reader()
    expected = whole.feed(stream)
    parts = line.Reader()
    found: list[bytes] = []
    edges = [0, *sorted(cuts), len(stream)]
    for start, end in itertools.pairwise(edges):
        found += parts.feed(stream[start:end])
    assert (found, parts.noise) == (expected, whole.noise)


def _boards_ccm(key: bytes) -> Ccm:
    def ecb(blocks: bytearray) -> bytes:
        return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(blocks)

    def cbc(blocks: bytearray) -> bytes:
        return Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor().update(blocks)

    return Ccm(ecb, cbc)


@given(
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=13, max_size=13),
    st.binary(max_size=250),
    st.binary(min_size=1, max_size=60),
)
def test_the_boards_ccm_agrees_with_the_native_one(key: bytes, nonce: bytes, message: bytes, aad: bytes) -> None:
    sealed = AESCCM(key, tag_length=8).encrypt(nonce, message, aad)
    ours = _boards_ccm(key)
    assert ours.encrypt(nonce, message, aad) == sealed
    assert ours.decrypt(nonce, sealed, aad) == message
