"""The LoRa inlet on a real pty, with a modem's line at the other end."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from gateway_harness import soon
from test_serial_inlet import Port

from kerbgate.errors import InletError
from kerbgate.inlets import Route, open_inlet
from kerbgate.inlets import lora as lora_inlet
from kerbgate.inlets.lora import LoraInlet
from kerbwire import line, modem

FRAME = bytes([0x00, 7, 1]) + bytes(20)
FINE = (868_100, 869_525, 9, 14, 360_000, (0, 0, 0, 0, 0), "0.1.0 pico_w")


class Desk:
    """Collects frames with their ways back; can be full."""

    def __init__(self) -> None:
        self.taken: list[tuple[bytes, Route]] = []
        self.full = False
        self.space = asyncio.Event()

    def take(self, data: bytes, route: Route, /) -> None:
        self.taken.append((data, route))

    async def room(self) -> None:
        await self.space.wait()
        self.full = False


class Modem:
    """The other end of the line: says what a test wants, and keeps what it was told."""

    def __init__(self, port: Port, answer: bytes | None):
        self._port = port
        self._reader = line.Reader()
        self.answer = answer
        self.asked: list[modem.Ask] = []
        self.frames: list[bytes] = []
        asyncio.get_running_loop().add_reader(port.master, self._read)

    def say(self, *messages: bytes) -> None:
        for message in messages:
            os.write(self._port.master, line.encode(message))

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._port.master)

    def _read(self) -> None:
        for found in self._reader.feed(os.read(self._port.master, 4096)):
            message = modem.parse(found)
            if modem.is_frame(found):
                self.frames.append(found)
            elif isinstance(message, modem.Ask):
                self.asked.append(message)
                if self.answer:
                    self.say(self.answer)


Work = Callable[[LoraInlet, Desk, Modem], Awaitable[None]]


def with_inlet(tmp_path: Path, answer: bytes | None, work: Work, query: str = "") -> None:
    async def main() -> None:
        port, desk = Port(tmp_path), Desk()
        other = Modem(port, answer)
        inlet = open_inlet(f"lora:{port.path}{query}")
        assert isinstance(inlet, LoraInlet)
        task = asyncio.create_task(inlet.run(desk))
        try:
            await work(inlet, desk, other)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            other.stop()
            port.unplug()

    asyncio.run(main())


def fine(**changes: int) -> bytes:
    counts = tuple(changes.get(name, 0) for name in ("heard", "spoilt", "sent", "refused", "late"))
    assert len(counts) == 5
    return modem.State(changes.get("trouble", modem.FINE), *FINE[:5], counts, FINE[6]).encode()


def test_a_modem_is_told_its_channel_and_its_frames_come_with_their_signal(tmp_path: Path) -> None:
    async def work(inlet: LoraInlet, desk: Desk, other: Modem) -> None:
        await soon(lambda: inlet.counters.connected, "a modem that answers")
        asked = other.asked[0]
        told = asked.up_khz, asked.down_khz, asked.factor, asked.power_dbm, asked.spent_ms
        assert told == (868_300, 869_525, 11, 20, 0)
        other.say(modem.Heard(-121, -30, 1478, line.crc16(FRAME)).encode(), FRAME)
        other.say(modem.Heard(-90, 20, 100, 0x1234).encode(), FRAME + b"x")  # the frame that it told of was lost
        await soon(lambda: len(desk.taken) == 2, "two frames")
        (frame, way), (_, unknown) = desk.taken
        assert frame == FRAME and way.signal is not None and unknown.signal is None
        assert (way.signal.rssi_dbm, way.signal.snr_db, way.signal.airtime_ms) == (-121, -7.5, 1478)
        assert way.send(b"\x20answer") and inlet.counters.sent == 1
        await soon(lambda: other.frames == [b"\x20answer"], "the answer")
        other.say(fine(spoilt=4), b"\xf7nothing that is known")  # at the opening it had spoilt none
        await soon(lambda: inlet.counters.noise == 5, "what was spoilt and what was strange")
        assert inlet.counters.last_error is None and inlet.counters.frames == 2

    with_inlet(tmp_path, fine(), work, "?mhz=868.3&sf=11&power=20")


def test_noise_is_counted_once(tmp_path: Path) -> None:
    """The modem counts since its own start, the inlet since its own: whoever opens the port again adds nothing."""

    async def main() -> None:
        port, desk = Port(tmp_path), Desk()
        other = Modem(port, fine(spoilt=40))
        inlet = open_inlet(f"lora:{port.path}")
        task = asyncio.create_task(inlet.run(desk))
        await soon(lambda: inlet.counters.connected, "the modem")
        other.say(fine(spoilt=43), FRAME)
        await soon(lambda: len(desk.taken) == 1, "what it said")
        assert inlet.counters.noise == 3
        other.stop()
        port.unplug()
        await soon(lambda: not inlet.counters.connected, "the loss")
        port.plug()
        other = Modem(port, fine(spoilt=50))
        await soon(lambda: inlet.counters.connected, "the modem again")
        other.say(fine(spoilt=52), fine(spoilt=1), FRAME)  # it starts anew meanwhile, without the port noticing
        await soon(lambda: len(desk.taken) == 2, "what it said")
        assert inlet.counters.noise == 3 + 2 + 1
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        other.stop()
        port.unplug()

    asyncio.run(main())


def test_what_the_modem_could_not_send_is_told(tmp_path: Path) -> None:
    async def work(inlet: LoraInlet, desk: Desk, other: Modem) -> None:
        await soon(lambda: inlet.counters.connected, "a modem that answers")
        other.say(modem.Done(modem.SENT, 300, 1).encode(), modem.Done(modem.LATE, 0, 2).encode())
        other.say(modem.Done(modem.REFUSED, 0, 3).encode())
        await soon(lambda: inlet.counters.unsent == 2, "two that did not go")
        assert inlet.counters.last_error is not None and "duty cycle" in inlet.counters.last_error

    with_inlet(tmp_path, fine(), work)


def test_a_modem_that_was_plugged_in_anew_is_told_what_it_has_sent_in_this_hour(tmp_path: Path) -> None:
    async def main() -> None:
        port, desk = Port(tmp_path), Desk()
        other = Modem(port, fine())
        inlet = open_inlet(f"lora:{port.path}")
        task = asyncio.create_task(inlet.run(desk))
        await soon(lambda: inlet.counters.connected, "the modem")
        other.say(modem.Done(modem.SENT, 12_345, 1).encode(), FRAME)
        await soon(lambda: len(desk.taken) == 1, "what it said")
        other.stop()
        port.unplug()
        await soon(lambda: not inlet.counters.connected, "the loss")
        assert inlet.counters.last_error is not None and "plugged in" in inlet.counters.last_error
        port.plug()
        other = Modem(port, fine())
        await soon(lambda: inlet.counters.connected, "the modem again")
        assert other.asked[0].spent_ms == 12_345 and inlet.counters.opened == 2
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        other.stop()
        port.unplug()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, ("no radio modem answers", "kerb flash --role modem --port")),
        (b"\x81\x02another version", ("speaks version 2", "kerb flash --role modem")),
        (b"\x30\x07a node's frame", ("no radio modem answers",)),
    ],
)
def test_a_board_that_is_no_modem_is_told_plainly(
    tmp_path: Path, answer: bytes | None, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora_inlet, "ANSWER_S", 0.1)

    async def work(inlet: LoraInlet, desk: Desk, other: Modem) -> None:
        await soon(lambda: inlet.counters.last_error is not None, "an error")
        told = inlet.counters.last_error or ""
        assert all(word in told for word in words), told
        assert not inlet.counters.connected and not inlet.send(FRAME) and inlet.counters.unsent == 1

    with_inlet(tmp_path, answer, work)


def test_a_modem_whose_radio_is_silent_is_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lora_inlet, "ANSWER_S", 0.1)

    async def work(inlet: LoraInlet, desk: Desk, other: Modem) -> None:
        await soon(lambda: inlet.counters.last_error is not None, "an error")
        told = inlet.counters.last_error or ""
        assert "no radio answers" in told and "WIRING" in told and not inlet.counters.connected
        other.answer = fine()
        await soon(lambda: inlet.counters.connected, "mended: it is asked again without a new start")
        other.say(fine(trouble=modem.DEAF))
        await soon(lambda: not inlet.counters.connected, "the radio failed later")
        assert inlet.counters.last_error is not None and "fails" in inlet.counters.last_error

    with_inlet(tmp_path, fine(trouble=modem.NO_RADIO), work)


@pytest.mark.parametrize(("again_s", "asks"), [(0.0, 2), (3600.0, 1)])
def test_a_modem_that_has_started_anew_is_told_its_channel_at_once_and_not_without_end(
    tmp_path: Path, again_s: float, asks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lora_inlet, "AGAIN_S", again_s)

    async def work(inlet: LoraInlet, desk: Desk, other: Modem) -> None:
        await soon(lambda: inlet.counters.connected, "a modem that answers")
        other.say(fine(trouble=modem.UNSET), FRAME)
        await soon(lambda: len(desk.taken) == 1, "what it said behind that")
        await soon(lambda: inlet.counters.connected is (asks == 2), "whether it is told")
        assert len(other.asked) == asks

    with_inlet(tmp_path, fine(), work)


def test_while_the_intake_is_full_nothing_is_read_and_nothing_is_lost(tmp_path: Path) -> None:
    async def work(inlet: LoraInlet, desk: Desk, other: Modem) -> None:
        await soon(lambda: inlet.counters.connected, "a modem that answers")
        desk.full = True
        other.say(FRAME)
        await soon(lambda: len(desk.taken) == 1, "the frame that filled it")
        other.say(FRAME, FRAME)
        await asyncio.sleep(0)
        desk.space.set()
        await soon(lambda: len(desk.taken) == 3, "the others")

    with_inlet(tmp_path, fine(), work)


@pytest.mark.parametrize(
    "url",
    [
        "lora:868.1", "lora:/dev/ttyACM0?sf=6", "lora:/dev/ttyACM0?mhz=869.3", "lora:/dev/ttyACM0?power=23",
        "lora:/dev/ttyACM0?down=868.1&power=20", "lora:/dev/ttyACM0?kettle=1",
    ],
)  # fmt: skip
def test_a_link_string_that_is_not_understood_is_refused(url: str) -> None:
    with pytest.raises(InletError) as failed:
        open_inlet(url)
    assert failed.value.hint


def test_who_only_listens_sends_nothing(tmp_path: Path) -> None:
    inlet = open_inlet("lora:/dev/ttyACM0", silent=True)
    assert isinstance(inlet, LoraInlet) and not inlet.send(FRAME) and not inlet.counters.unsent
