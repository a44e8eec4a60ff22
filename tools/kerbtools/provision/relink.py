"""New links for a node, or new secrets for those that it has, and nothing else: records, numbers and settings stay.

    1  board   what the links need, each file whole or not at all
    2  board   /node/links.json, likewise
    3  board   what no link uses any more goes, and what the node has learnt of its links: each is tried anew
    4  board   all of it hashed there and compared
    5  board   each link is opened once
    6  board   reset: its program runs

Cut before 4, some of its secrets are the new ones and some the former: the same command again mends it. Until then the
node keeps its records, as it does wherever no link works.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from kerbgate.registry import HEARD, Registry, provisioning
from kerbtools.device.errors import DeviceError
from kerbtools.device.selftest import Row
from kerbtools.provision import trial
from kerbtools.provision.errors import NotReady, OrderError
from kerbtools.provision.found import DRAFT, FOLDER, BoardPort, Found
from kerbtools.provision.links import LEARNT, LINKS, SECRETS, Access, check_board, check_site, read_links

_SERIAL = ("serial:",)  # of a board without links.json


@dataclass(frozen=True, slots=True)
class Present:
    """What a node has. paths: of the files of its links, drafts of a run that was cut among them."""

    links: tuple[str, ...]
    paths: frozenset[str]


@dataclass(frozen=True, slots=True)
class Relinked:
    """What became of it. changed, removed: names of files, `links.json` among them. tried: a row a link. untried: why
    they could not be tried, though they were to be; stopped: the board did not take its reset."""

    before: tuple[str, ...]
    links: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    tried: Sequence[Row] = ()
    untried: str | None = None
    stopped: bool = False


def present(device: BoardPort) -> Present:
    """The links of a board and their files. DeviceError."""
    known = {path + end for path in (LINKS, LEARNT, *SECRETS) for end in ("", DRAFT)}
    paths = frozenset(device.files(FOLDER)) & known
    return Present(_read(device) if LINKS in paths else _SERIAL, paths)


def check_node(port: str, found: Found, site: str | None, registry: Registry | None) -> None:
    """NotReady unless this is a node, of the site that is named, and one that the registry hears. RegistryError."""
    if found.node is None:
        raise NotReady(f"The board on {port} has no identity yet.", f"Make it a node: kerb provision --port {port}")
    if site is not None and found.site != site:
        raise NotReady(
            f"The board on {port} is node {found.node} of {found.site}, not of {site}.",
            "Plug in the right board, or name its site: --site",
        )
    if registry is None:
        return
    card = registry.card(found.node)
    own = provisioning.of_board(registry, found.unique_id)
    another = own is not None and own.address != found.node
    if another or card.site != found.site or card.unique_id not in (None, found.unique_id):
        raise NotReady(
            f"The board on {port} says that it is node {found.node} of {found.site}, and the registry knows another.",
            f"See which it is: kerb registry show {found.node}; then: kerb provision --port {port}",
        )
    if card.state not in HEARD or card.unfinished:
        what = "was begun and not finished" if card.unfinished else f"is {card.state}"
        raise NotReady(
            f"Node {found.node} {what}, and would not be heard whatever its links.",
            f"See kerb registry show {found.node}; to make it a node again: kerb provision --port {port}",
        )


def plan(port: str, found: Found, there: Present, access: Access) -> dict[str, bytes | None]:
    """What is to lie on the board, by path; None: nothing. What is not named stays. OrderError, NotReady."""
    assert found.node is not None and found.site is not None
    links = access.links or read_links(there.links)
    check_board(port, found.board, found.role, links)
    check_site(links, found.site)
    uses = {name.partition(":")[0] for name in links}
    if access.brings and not uses & {"mqtt", "mqtts"}:
        raise OrderError(
            f"node {found.node} has no link that uses a network or a broker: {' '.join(links)}",
            "name all its links: --link mqtt://10.0.0.2/SITE --link serial:",
        )
    if (access.authority or access.certificate or access.key) and "mqtts" not in uses:
        raise OrderError(
            f"node {found.node} has no link that uses TLS: {' '.join(links)}",
            "name all its links: --link mqtts://10.0.0.2/SITE?name=broker.example",
        )
    return access.files(found.node, links, there.paths)


def relink(
    device: BoardPort,
    there: Present,
    files: Mapping[str, bytes | None],
    *,
    tries: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> Relinked:
    """Write the files of a plan, try the links, and let the node go on. tries: open each link once.

    NotReady, DeviceError: run it again to mend. Once all is written and read back nothing of it is raised any more.
    """
    wanted = {path: data for path, data in files.items() if data is not None}
    former = device.digests(*wanted)
    changed = [path for path, data in wanted.items() if former.get(path) != _digest(data)]
    removed = [path for path, data in files.items() if data is None and path in there.paths]
    for path in sorted(changed, key=lambda path: path == LINKS):  # the links themselves last: what they need is there
        device.write(path, wanted[path])
    drafts = [path for path in there.paths if path.endswith(DRAFT)]
    for path in (*removed, *drafts, LEARNT):
        device.remove(path)
    _verify(device, wanted, removed)
    say("the files of its links are written and read back")
    tried: Sequence[Row] = ()
    untried, stopped = None, False
    try:
        tried = trial.run(device) if tries else ()
    except DeviceError as error:
        untried = str(error)
    try:
        device.reset()
    except DeviceError:
        stopped = True
    links = tuple(json.loads(wanted[LINKS]))
    return Relinked(there.links, links, _names(changed), _names(removed), tried, untried, stopped)


def _verify(device: BoardPort, wanted: Mapping[str, bytes], removed: Sequence[str]) -> None:
    found = device.digests(*wanted, *removed)
    wrong = [path for path, data in wanted.items() if found.get(path) != _digest(data)]
    wrong += [path for path in removed if path in found]
    if wrong:
        raise NotReady(
            f"The board on {device.port} does not hold what was written: {wrong[0]}.",
            "Run it again; if that fails too, its flash is worn: kerb selftest",
        )


def _read(device: BoardPort) -> tuple[str, ...]:
    """The strings of links.json; what is no list of texts is read as the node reads it."""
    try:
        found: object = json.loads(device.read(LINKS))
    except ValueError:
        return _SERIAL
    items = cast("list[object]", found) if isinstance(found, list) else []
    return tuple(name for name in items if isinstance(name, str)) or _SERIAL


def _names(paths: Sequence[str]) -> tuple[str, ...]:
    return tuple(path.rpartition("/")[2] for path in paths)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
