"""`kerb provision`, `bind`, `revoke` and `rekey`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerbgate.registry import Card, inventory, provisioning, states
from kerbtools.provision import shell
from kerbtools.provision.errors import OrderError
from kerbtools.provision.order import asset_from, order_again, order_from, whole
from kerbtools.provision.shell import opened, show, table

if TYPE_CHECKING:
    from kerbtools.provision.commission import SelfTest
    from kerbtools.provision.links import Access
    from kerbtools.provision.street import Streets

_PLACE = (
    ("--asset", "ID", "the asset's id: a lamp column, a bin"),
    ("--site", "NAME", "the site that its gateway serves"),
    ("--role", "ROLE", "bin or lamp (default: that of the firmware on the board)"),
    ("--latitude", "DEG", "degrees, WGS 84"),
    ("--longitude", "DEG", "degrees, WGS 84"),
    ("--usrn", "NUMBER", "unique street reference number"),
    ("--supply", "KIND", "permanent, or switched at a cabinet (lamps)"),
    ("--wattage-w", "W", "of the luminaire at full level"),
    ("--luminaire", "NAME", "make and type"),
    ("--feeder", "NAME", "the circuit that feeds the lamp: those of one fail together"),
    ("--lamp-hours", "H", "hours that the luminaire has burned already (default: what its asset says)"),
)
REASONS = {
    "stolen": states.STEAL,
    "retired": states.RETIRE,
    "returned": states.RETURN,
    "quarantined": states.QUARANTINE,
}


def provision(arguments: Sequence[str]) -> int:
    """Give boards identity, keys and place."""
    parser = shell.parser(
        "provision",
        "Give a board its address, a fresh secret, settings and a place; write it into the registry; print its label.",
        epilog="A run that was cut is mended by the same command. No output holds a secret.",
    )
    parser.add_argument("--port", action="append", default=[], help="a board's port; several times with --csv")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="many nodes: a line each, columns named as the options"
    )
    parser.add_argument(
        "--address", metavar="N", help="node address 1 to 65535 (default: the board's own, or the next)"
    )
    _add_place(parser)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the role")
    add_links(parser)
    _add_street(parser)
    _add_discard(parser)
    parser.add_argument("--replace", metavar="OLD", help="take the place of this node, which goes back to the depot")
    parser.add_argument(
        "--no-self-test", "--no-selftest", action="store_true", help="do not run the node's self-test first"
    )
    parser.add_argument("--labels", type=Path, metavar="FOLDER", help="write each label there as text and PNG")
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="seconds to wait for a board that sleeps")
    return shell.run(_provision, parser.parse_args(arguments))


def bind(arguments: Sequence[str]) -> int:
    """Put a node from stock at an asset, without its board."""
    parser = shell.parser("bind", "Put a node at an asset; what is known of the asset needs not be repeated.")
    parser.add_argument("node", help="the node's address, as on its label")
    _add_place(parser)
    parser.add_argument("--unbind", action="store_true", help="take it from its asset, back into stock")
    return shell.run(_bind, parser.parse_args(arguments))


def revoke(arguments: Sequence[str]) -> int:
    """Refuse a node from now on."""
    parser = shell.parser(
        "revoke",
        "Refuse a node's frames from now on. All but `quarantined` forget its secret: it must be provisioned again.",
    )
    parser.add_argument("node", help="the node's address, as on its label")
    parser.add_argument("--because", choices=sorted(REASONS), default="stolen", help="default: stolen")
    return shell.run(_revoke, parser.parse_args(arguments))


def rekey(arguments: Sequence[str]) -> int:
    """Give nodes new secrets after a theft."""
    parser = shell.parser(
        "rekey",
        "After a theft: mark every node of a site as waiting for a new secret, and give one to each board that is "
        "connected. Run it again with the next boards, until none waits.",
    )
    parser.add_argument("--site", help="begin a round for this site, or go on with it")
    parser.add_argument("--port", action="append", default=[], help="a connected board; several times")
    parser.add_argument("--quarantine", action="store_true", help="refuse the others' frames until they have theirs")
    _add_street(parser)
    _add_discard(parser)
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="seconds to wait for a board that sleeps")
    return shell.run(_rekey, parser.parse_args(arguments))


def card_json(card: Card) -> dict[str, Any]:
    return asdict(card)


def place_fields(options: argparse.Namespace) -> dict[str, str]:
    """The options that describe an asset, as the columns of a CSV file."""
    names = [option.removeprefix("--").replace("-", "_") for option, _, _ in _PLACE]
    return {name: value for name in names if (value := getattr(options, name))}


def node_of(text: str) -> int:
    return whole("node", text, 65535)


def _add_place(parser: argparse.ArgumentParser) -> None:
    for option, shown, text in _PLACE:
        parser.add_argument(option, metavar=shown, help=text)


def add_links(parser: argparse.ArgumentParser) -> None:
    links = parser.add_argument_group("links", "how the node reaches its gateway; without --link what it has stays")
    links.add_argument(
        "--link",
        action="append",
        default=[],
        metavar="STRING",
        help="serial:, mqtt://10.0.0.2/SITE, ble: ...; in order",
    )
    links.add_argument("--wifi", type=Path, metavar="FILE", help="a network's name and, below it, its password")
    links.add_argument("--broker", type=Path, metavar="FILE", help="user:password, or ADDRESS user:password a line")
    links.add_argument("--authority", type=Path, metavar="FILE", help="who signs the broker's certificate")
    links.add_argument("--certificate", metavar="FILE", help="of the node; {node} stands for its address")
    links.add_argument("--key", metavar="FILE", help="of that certificate")


def _add_discard(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--discard-records",
        action="store_true",
        help="throw away what waits on the board and no gateway has acknowledged",
    )


def _add_street(parser: argparse.ArgumentParser) -> None:
    street = parser.add_argument_group("street", "of a lamp; without --street it lights for itself alone")
    street.add_argument(
        "--street", type=Path, metavar="FILE", help="the gateway's groups file, which says who stands where"
    )
    street.add_argument("--group-key", type=Path, metavar="FILE", help="group.key of that gateway's state folder")
    street.add_argument("--spacing", type=float, metavar="M", help="metres from column to column (default: 35)")


def _streets(options: argparse.Namespace) -> "Streets | None":
    from kerbtools.provision.street import Streets

    if options.street is None:
        if options.group_key or options.spacing:
            raise OrderError("no street is named", "name the groups file: --street FILE")
        return None
    if options.group_key is None:
        raise OrderError("the lamps of a street share a key", "name the gateway's: --group-key FILE")
    return Streets.load(options.street, options.group_key, options.registry, options.spacing)


def access_from(options: argparse.Namespace) -> "Access":
    from kerbtools.provision import links

    return links.Access(
        links=links.read_links(options.link) if options.link else None,
        wifi=links.read_wifi(options.wifi) if options.wifi else None,
        brokers=links.read_brokers(options.broker) if options.broker else {},
        authority=options.authority,
        certificate=options.certificate,
        key=options.key,
    )


def _provision(options: argparse.Namespace) -> int:
    from kerbtools.provision import many, sheet

    access, streets = access_from(options), _streets(options)

    if options.csv is None and len(options.port) > 1:
        raise OrderError("several ports take a list of nodes", "name it: --csv FILE")
    ports = options.port or found_ports(many=options.csv is not None)
    registry = opened(options)
    if options.csv is not None:
        if place_fields(options) or options.address or options.replace or options.set:
            raise OrderError("a list and options for one node", "put them into columns of the file")
        assign: many.Assign = many.assign_sheet(registry, sheet.read_orders(options.csv, registry))
    else:
        fields = place_fields(options) | {"settings": " ".join(options.set)}
        fields |= {name: value for name in ("address", "replace") if (value := getattr(options, name))}
        order = order_from(registry, fields)

        def assign(boards: dict[str, many.Found], /) -> dict[str, many.Order]:
            return dict.fromkeys(boards, order)

    say = _say(options.json)
    results = many.run(
        ports,
        registry,
        assign,
        selftest=None if options.no_self_test else _selftest(),
        wait_s=options.wait,
        access=access,
        streets=streets,
        discards=options.discard_records,
        say=say,
    )
    return _finish(options, results)


def _finish(options: argparse.Namespace, results: "Sequence[Any]") -> int:
    """Labels and the outcome of each port; exit status 1 if one failed."""
    from kerbtools.provision import label

    shown: list[dict[str, Any]] = []
    for result in results:
        row: dict[str, Any] = {"port": result.port, "seconds": round(result.seconds, 2)}
        if result.card is not None:
            row["node"] = card_json(result.card)
            if result.links:
                row["links"] = [asdict(tried) for tried in result.links]
            if getattr(options, "labels", None) is not None:
                row["label"] = [str(path) for path in label.write(result.card, options.labels)]
            if not options.json:
                print(label.text(result.card))
        else:
            row |= {"error": result.error, "hint": result.hint}
            line = f"line {result.order.line}: " if result.order is not None and result.order.line else ""
            if not options.json:
                shell.told(line + result.error, result.hint)
        shown.append(row)
    done = sum(1 for result in results if result.card is not None)
    show(options, {"v": 1, "boards": shown}, f"{done} of {len(results)} boards are provisioned")
    return 0 if done == len(results) else 1


def _bind(options: argparse.Namespace) -> int:
    registry = opened(options)
    address = node_of(options.node)
    if options.unbind:
        card = inventory.unbind(registry, address)
    else:
        card = registry.card(address)
        if not options.asset:
            raise OrderError("no asset is named", "name it: --asset ID, or take the node away: --unbind")
        fields = {"site": card.site, "role": card.role} | place_fields(options)
        known = next((item for item in inventory.assets(registry) if item.asset == options.asset), None)
        hours = whole("lamp hours", options.lamp_hours, inventory.MAX_HOURS) if options.lamp_hours else None
        if known is not None:  # the asset's own site and role stand; the node's do not move it
            fields |= {"site": known.site, "role": known.role}
        card = inventory.bind(registry, address, asset_from(fields, known), start_hours=hours)
    where = f"at asset {card.asset}" if card.asset else "in stock"
    show(options, card_json(card), f"node {address} is {where}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    registry = opened(options)
    card = registry.mark(node_of(options.node), REASONS[options.because])
    show(
        options,
        card_json(card),
        f"node {card.address} is {card.state}: its frames are refused\n"
        "next: take the change to its gateway (kerb registry export); after a theft: kerb rekey --site " + card.site,
    )
    return 0


def _rekey(options: argparse.Namespace) -> int:
    registry = opened(options)
    if not options.site and not options.port:
        raise OrderError("neither a site nor a board is named", "name them: --site NAME, --port PORT")
    if options.site:
        provisioning.begin_rekey(registry, options.site, quarantine=options.quarantine)
    failed = 0
    done: list[dict[str, Any]] = []
    if options.port:
        from kerbtools.provision import many

        def assign(boards: dict[str, many.Found]) -> dict[str, many.Order]:
            given: dict[str, many.Order] = {}
            for port, found in boards.items():
                card = provisioning.of_board(registry, found.unique_id)
                address = card.address if card is not None else found.node
                if address is not None and (options.site is None or registry.card(address).site == options.site):
                    given[port] = order_again(registry, address)
            return given

        streets = _streets(options)
        for result in many.run(
            options.port,
            registry,
            assign,
            wait_s=options.wait,
            streets=streets,
            discards=options.discard_records,
            say=_say(options.json),
        ):
            if result.card is None:
                failed += 1
                if not options.json:
                    shell.told(str(result.error), str(result.hint))
            done.append({"port": result.port, "node": result.card and result.card.address, "error": result.error})
    waiting = [card for card in registry.cards(options.site) if card.rekey_since_ms is not None]
    rows = [[card.address, card.state, card.asset, card.board] for card in waiting]
    text = table(("NODE", "STATE", "ASSET", "BOARD"), rows) + f"\n\n{len(waiting)} nodes wait for a new secret"
    show(
        options,
        {"v": 1, "rekeyed": done, "waiting": [card_json(card) for card in waiting]},
        text if waiting else "no node waits for a new secret",
    )
    return 1 if failed else 0


def found_ports(*, many: bool) -> list[str]:
    """The ports of boards that are plugged in, where none was named. OrderError unless it is clear which."""
    from kerbtools.device import ports

    found = [port.path for port in ports.find()]
    if not found or (len(found) > 1 and not many):
        raise OrderError(
            "no board was found" if not found else "several boards are plugged in: " + ", ".join(found),
            "plug a board in, or name its port: --port",
        )
    return found


def _selftest() -> "SelfTest":
    from kerbtools.device import selftest

    return selftest.run


def _say(quiet: bool) -> Callable[[str, str], None]:
    def say(port: str, text: str) -> None:
        if not quiet:
            print(f"{port}: {text}", file=sys.stderr, flush=True)

    return say
