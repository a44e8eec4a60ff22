"""What a running gateway remembers of the last hour, for those who look: pace and noise of links, refusals, boots.

Memory only, and bounded: counters tell how much there ever was, this tells how much there is now, and of whom. It runs
on a steady clock, so a clock that is set forward or back changes nothing.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

from kerbgate.inlets.base import Counters, Inlet, Signal
from kerbwire.messages import RESET_CAUSES, Hello

KEPT_S = 3600.0  # what did not happen again for so long is forgotten
WINDOW_S = 900.0  # over which the pace of a link is told
SAMPLE_S = 15.0
MAX_SAMPLES = 64
MAX_REFUSED = 1000  # (node, reason)s; the one that was longest ago goes first
MAX_NODES = 20_000  # whose boots are remembered: twice a full district
BOOTS = 16  # of one node


class Refused:
    """Frames of one address that were refused for one reason."""

    __slots__ = ("count", "first_s", "inlet", "last_s")

    def __init__(self, now: float):
        self.count = 0
        self.first_s = self.last_s = now
        self.inlet = ""


class Watcher:
    """mono: seconds of a steady clock. The intake tells `refused` and `hello`; `sample` is called now and then."""

    def __init__(self, mono: Callable[[], float]):
        self._mono = mono
        self._samples: dict[str, deque[tuple[float, int, int, int, int]]] = {}
        self._refused: OrderedDict[tuple[int, str], Refused] = OrderedDict()
        self._boots: OrderedDict[int, deque[tuple[float, int, int]]] = OrderedDict()
        self._signals: OrderedDict[int, tuple[float, Signal]] = OrderedDict()
        self._names: dict[int, str] = {}  # of inlets, by their counters

    def begin(self, inlets: Iterable[Inlet]) -> None:
        """These are the links."""
        self._names = {id(inlet.counters): inlet.name for inlet in inlets}

    def refused(self, address: int, reason: str, counters: Counters) -> None:
        """A frame was refused. address 0: it says none."""
        now, key = self._mono(), (address, reason)
        row = self._refused.pop(key, None)
        if row is None or now - row.last_s > KEPT_S:
            row = Refused(now)
        row.count += 1
        row.last_s = now
        row.inlet = self._names.get(id(counters), "")
        self._refused[key] = row
        if len(self._refused) > MAX_REFUSED:
            self._refused.popitem(last=False)

    def hello(self, address: int, hello: Hello) -> None:
        """A node's hello was committed; one that is repeated is no boot."""
        boots = self._boots.pop(address, None) or deque[tuple[float, int, int]](maxlen=BOOTS)
        if not boots or boots[-1][1] != hello.boot_count:
            boots.append((self._mono(), hello.boot_count, hello.reset_cause))
        self._boots[address] = boots
        if len(self._boots) > MAX_NODES:
            self._boots.popitem(last=False)

    def heard(self, address: int, signal: Signal) -> None:
        """How a radio heard a node's frame, which was accepted."""
        self._signals.pop(address, None)
        self._signals[address] = (self._mono(), signal)
        if len(self._signals) > MAX_NODES:
            self._signals.popitem(last=False)

    def signal(self, node: int) -> dict[str, Any] | None:
        """How a node was heard last; None on a wire, and where the link does not say."""
        found = self._signals.get(node)
        if found is None:
            return None
        at, signal = found
        return {"rssi_dbm": signal.rssi_dbm, "snr_db": signal.snr_db, "s_ago": round(self._mono() - at)}

    def sample(self, inlets: Iterable[Inlet]) -> None:
        """Note how far each link's counters have come."""
        now = self._mono()
        for inlet in inlets:
            samples = self._samples.setdefault(inlet.name, deque(maxlen=MAX_SAMPLES))
            if not samples or now - samples[-1][0] >= SAMPLE_S:
                samples.append((now, *_counts(inlet.counters)))

    def links(self, inlets: Iterable[Inlet]) -> dict[str, dict[str, Any]]:
        """What came over each link in the last WINDOW_S, or since the start where that is less."""
        now = self._mono()
        out: dict[str, dict[str, Any]] = {}
        for inlet in inlets:
            samples = self._samples.get(inlet.name, ())
            before = next((row for row in samples if now - row[0] <= WINDOW_S), (now, 0, 0, 0, 0))
            if len(samples) < MAX_SAMPLES and samples and before is samples[0]:
                before = (before[0], 0, 0, 0, 0)  # nothing is older: all of it came in this time
            frames, noise, committed, refused = (
                new - old for new, old in zip(_counts(inlet.counters), before[1:], strict=True)
            )
            out[inlet.name] = {
                "span_s": round(now - before[0]), "frames": frames, "noise": noise, "committed": committed,
                "refused": refused,
            }  # fmt: skip
        return out

    def refusals(self, node: int | None = None) -> list[dict[str, Any]]:
        """Who was refused in the last hour, and why; the most often first."""
        now = self._mono()
        rows = [
            {
                "node": address, "reason": reason, "count": row.count, "inlet": row.inlet,
                "first_s_ago": round(now - row.first_s), "last_s_ago": round(now - row.last_s),
            }
            for (address, reason), row in self._refused.copy().items()
            if now - row.last_s <= KEPT_S and (node is None or address == node)
        ]  # fmt: skip
        return sorted(rows, key=lambda row: (-row["count"], row["node"], row["reason"]))

    def boots(self, node: int | None = None, least: int = 1) -> list[dict[str, Any]]:
        """Nodes that booted in the last hour, at least so often; the most often first."""
        now = self._mono()
        out: list[dict[str, Any]] = []
        for address, rows in self._boots.copy().items():
            if node is not None and address != node:
                continue
            recent = [row for row in rows if now - row[0] <= KEPT_S]
            if len(recent) < least:
                continue
            causes: dict[str, int] = {}
            for _, _, cause in recent:
                name = RESET_CAUSES[cause] if cause < len(RESET_CAUSES) else f"cause {cause}"
                causes[name] = causes.get(name, 0) + 1
            times = max(len(recent), recent[-1][1] - recent[0][1] + 1)  # those whose hello did not come, too
            span_s = recent[-1][0] - recent[0][0]
            out.append(
                {"node": address, "boots": times, "span_s": round(span_s), "causes": causes, "count": recent[-1][1]}
            )
        return sorted(out, key=lambda row: (-row["boots"], row["node"]))


def _counts(counters: Counters) -> tuple[int, int, int, int]:
    return counters.frames, counters.noise, counters.committed, counters.refused.total()
