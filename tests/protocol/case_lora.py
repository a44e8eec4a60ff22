"""LoRa's numbers and the modem's messages, on both runtimes."""

from kerbwire import line, lora, modem


def refused(work, *arguments):
    try:
        work(*arguments)
    except ValueError as error:
        return str(error)
    raise AssertionError("taken")


def test_air_time_is_the_data_sheets():
    # SX1261/2 data sheet, section 6.1.4, by hand: 8 + 4.25 + 8 symbols, and 5 a group of 4 (SF - 2 DE) bits.
    assert lora.air_us(51, 7) == (8 + 4.25 + 8 + 16 * 5) * 1024 == 102656
    assert lora.air_us(51, 12) == (8 + 4.25 + 8 + 11 * 5) * 32768 == 2465792
    assert lora.air_us(13, 9) == (8 + 4.25 + 8 + 4 * 5) * 4096 == 164864
    assert lora.air_us(0, 12) == (8 + 4.25 + 8) * 32768  # what remains is never negative
    for factor in range(7, 12):
        assert lora.air_us(60, factor) < lora.air_us(60, factor + 1)
        assert lora.air_us(60, factor) <= lora.air_us(61, factor)


def test_settings_of_both_ends_come_from_the_same_texts():
    found = lora.settings("", {})
    assert (found.up_khz, found.down_khz, found.factor, found.power_dbm) == (868100, 869525, 9, 14)
    found = lora.settings("868.3", {"down": "868.3", "sf": "12", "power": "2", "spread": "5"})
    assert (found.up_khz, found.down_khz, found.factor, found.power_dbm) == (868300, 868300, 12, 2)
    assert [lora.khz(text) for text in ("868", "868.1", "869.525")] == [868000, 868100, 869525]


def test_a_setting_that_nobody_may_use_is_refused_in_words():
    for text in ("868,1", "86.81", "868.", "868.1234", "8681", "x"):
        if text != "868.":
            assert "MHz" in refused(lora.settings, text, {})
    for text in ("868.65", "868.55", "864.0", "433.0", "869.3"):
        assert "no band" in refused(lora.settings, text, {})
    assert "sf" in refused(lora.settings, "868.1", {"sf": "6"})
    assert "sf" in refused(lora.settings, "868.1", {"sf": "13"})
    assert "sf" in refused(lora.settings, "868.1", {"sf": "-9"})
    assert "power" in refused(lora.settings, "868.1", {"power": "23"})


def test_a_band_says_what_may_be_sent_there():
    assert [lora.band(khz)[0] for khz in (865100, 868100, 868500, 868900, 869525, 869850)] == [10, 10, 10, 1, 100, 10]
    assert lora.band(869525)[1] == 27 and lora.band(868100)[1] == 14


def test_no_hour_ever_holds_more_than_the_budget():
    budget = lora.Budget(10)
    sent = []
    now_s = 7
    seed = 1
    while now_s < 6 * 3600:
        seed = seed * 1103515245 + 12345 & 0x7FFFFFFF
        air_ms = 200 + seed % 2600
        if budget.left_ms(now_s) >= air_ms:
            budget.spend(air_ms, now_s)
            sent.append((now_s, air_ms))
        else:
            wait_s = budget.wait_s(air_ms, now_s)
            later = lora.Budget(10)
            assert later.unpack(budget.pack(), now_s)
            assert 0 < wait_s <= 3900 and later.left_ms(now_s + wait_s - 1) < air_ms <= later.left_ms(now_s + wait_s)
        now_s += 1 + seed % 40
    for since_s, _ in sent:
        assert sum([air_ms for at_s, air_ms in sent if since_s <= at_s < since_s + 3600]) <= 36000
    assert sum([air_ms for _, air_ms in sent]) > 4 * 36000


def test_a_budget_outlasts_sleep_and_counts_no_time_over_a_reset():
    budget = lora.Budget(10)
    budget.spend(30000, 5000)
    kept = lora.Budget(10)
    assert kept.unpack(budget.pack(), 5100) and kept.left_ms(5100) == 6000
    assert kept.left_ms(5000 + 3600 + 300) == 36000
    again = lora.Budget(10)
    assert again.unpack(budget.pack(), 20) and again.left_ms(3599) == 6000  # the seconds began anew
    assert again.left_ms(20 + 3900) == 36000
    for wrong in (None, [], [1] * 13, [-1] + [0] * 13, [0] * 13 + ["x"], "text"):
        assert not lora.Budget(10).unpack(wrong, 5)
    budget.spend(-20000, 5000)
    assert budget.spent_ms(5000) == 10000 and budget.wait_s(1000, 5000) == 0


def messages():
    return [
        modem.Ask(868100, 869525, 9, 14, 123456),
        modem.State(modem.FINE, 868100, 869525, 12, 22, 360000, (1, 2, 3, 4, 5), "0.1.0 pico_w"),
        modem.State(modem.UNSET, 0, 0, 0, 0, 0, (0, 0, 0, 0, 0), ""),
        modem.Heard(-137, -80, 2500, 0xBEEF),
        modem.Done(modem.REFUSED, 0, 1),
    ]


def test_each_message_comes_back_as_it_was_and_is_never_a_frame():
    for message in messages():
        data = message.encode()
        found = modem.parse(data)
        assert type(found) is type(message) and found.encode() == data and not modem.is_frame(data)
        assert line.Reader().feed(line.encode(data)) == [data]
    heard = modem.parse(messages()[3].encode())
    assert (heard.rssi_dbm, heard.snr_quarters, heard.air_ms) == (-137, -80, 2500)
    assert modem.Heard(0, 0, 1, line.crc16(b"frame")).is_of(b"frame")
    assert modem.parse(modem.Heard(-300, 200, 70000, 0).encode()).air_ms == 65535


def test_whatever_comes_is_a_message_or_nothing():
    for message in messages():
        data = message.encode()
        for size in range(len(data)):
            found = modem.parse(data[:size])
            assert found is None or isinstance(found, modem.State)  # whose text may be shorter
        for at in range(len(data)):
            for value in (0, 1, 127, 128, 255):
                modem.parse(data[:at] + bytes([value]) + data[at + 1 :])
        assert modem.parse(data + bytes(modem.MAX_TEXT + 1)) is None
    other = bytearray(messages()[1].encode())
    other[1] = 2
    assert modem.parse(bytes(other)) is None
    assert modem.parse(b"") is None and modem.parse(b"\x7f") is None


def test_nothing_that_a_gateway_sends_begins_as_a_tool_does():
    """CR and Ctrl-C: of a chunk of COBS these are a group of 12 bytes that begins with 03, and no frame down does."""
    for first in (0x20, 0x3F, 0x40, 0x5F, 0x60, 0x7F, 0x80, 0xFF):
        assert line.encode(bytes([first]) + b"x" * 30)[1] == first != 3
