"""`kerb registry`: what it holds, and how it travels to a gateway."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kerbgate.errors import RegistryError
from kerbgate.registry import Registry, envelope, exchange, inventory, states
from kerbtools.provision import shell
from kerbtools.provision.cli import card_json, node_of
from kerbtools.provision.errors import OrderError
from kerbtools.provision.shell import opened, show, table

EVENTS = (states.QUARANTINE, states.READMIT, states.RETURN, states.RETIRE, states.STEAL, states.FIND)


def main(arguments: Sequence[str]) -> int:
    """`kerb registry VERB ...`."""
    return shell.verbs("registry", VERBS, arguments)


def init(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry init", "Make an empty registry and its key file, for a bench.")
    return shell.run(_init, parser.parse_args(arguments))


def list_(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry list", "All nodes, or those of one site or in one state.")
    parser.add_argument("--site")
    parser.add_argument("--state", choices=states.STATES)
    return shell.run(_list, parser.parse_args(arguments))


def history(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry show", "One node, or one asset with all nodes that it ever had.")
    parser.add_argument("node", nargs="?", help="the node's address")
    parser.add_argument("--asset", metavar="ID", help="an asset instead")
    return shell.run(_show, parser.parse_args(arguments))


def label(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry label", "Print a node's label again.")
    parser.add_argument("node", help="the node's address")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write it there as text and PNG")
    return shell.run(_label, parser.parse_args(arguments))


def mark(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry mark", "Tell what happened to a node; only what its state allows is taken.")
    parser.add_argument("node", help="the node's address")
    parser.add_argument("event", choices=EVENTS)
    return shell.run(_mark, parser.parse_args(arguments))


def remove(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry remove", "Take a node and its history out, so that its address is free again.")
    parser.add_argument("node", help="the node's address")
    return shell.run(_remove, parser.parse_args(arguments))


def public_key(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry public-key", "This registry's public key, for whoever exports to it.")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it there instead of printing it")
    parser.add_argument("--name", default="gateway", help="a word to know it by (default: gateway)")
    return shell.run(_public_key, parser.parse_args(arguments))


def export(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry export", "Nodes, secrets and assets, sealed to one gateway.")
    parser.add_argument("--for", dest="receiver", type=Path, required=True, metavar="GATEWAY.pub")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--site", help="only this site")
    return shell.run(_export, parser.parse_args(arguments))


def import_(arguments: Sequence[str]) -> int:
    parser = shell.parser("registry import", "Take in an export that was sealed to this registry; all or nothing.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--from", dest="sender", type=Path, metavar="BENCH.pub", help="trust this sender from now on")
    return shell.run(_import, parser.parse_args(arguments))


VERBS = {
    "init": (init, "make an empty registry for a bench"),
    "list": (list_, "nodes, their states and assets"),
    "show": (history, "one node, or an asset and its nodes over time"),
    "label": (label, "print a node's label again"),
    "mark": (mark, "quarantine, readmit, return, retire, steal, find"),
    "remove": (remove, "take a node out"),
    "public-key": (public_key, "this registry's public key"),
    "export": (export, "nodes and secrets, sealed to one gateway"),
    "import": (import_, "take in an export"),
}


def _init(options: argparse.Namespace) -> int:
    if options.registry.exists():
        raise RegistryError(f"there is a registry at {options.registry}", "choose another name with --registry")
    Registry(options.registry, create=True).close()
    show(
        options,
        {"v": 1, "registry": str(options.registry)},
        f"made {options.registry} and its key file; back both up together",
    )
    return 0


def _list(options: argparse.Namespace) -> int:
    found = [card for card in opened(options).cards(options.site) if options.state in (None, card.state)]
    rows = [[c.address, c.site, c.role, c.state, c.asset, c.board, "rekey" if c.rekey_since_ms else ""] for c in found]
    text = table(("NODE", "SITE", "ROLE", "STATE", "ASSET", "BOARD", "WAITS FOR"), rows)
    show(options, {"v": 1, "nodes": [card_json(card) for card in found]}, text if found else "no node")
    return 0


def _show(options: argparse.Namespace) -> int:
    registry = opened(options)
    if (options.node is None) == (options.asset is None):
        raise OrderError("name a node or an asset", "kerb registry show 417, or --asset ID")
    if options.asset is not None:
        facts = asdict(inventory.asset(registry, options.asset))
        nodes = [asdict(item) for item in inventory.history(registry, options.asset)]
    else:
        address = node_of(options.node)
        facts = card_json(registry.card(address))
        nodes = [asdict(item) for item in inventory.bindings(registry, "node=?", address)]
    told = {"changed (UTC)" if name == "changed_ms" else name: value for name, value in facts.items()}
    if "changed_ms" in facts:
        told["changed (UTC)"] = _utc(facts["changed_ms"])
    text = "\n".join(
        f"{name:14}  {value}" for name, value in told.items() if value not in (None, {}) and value is not False
    )
    past = table(
        ("ASSET", "NODE", "SINCE (UTC)", "UNTIL (UTC)", "LAMP HOURS AT START"),
        [[i["asset"], i["node"], _utc(i["since_ms"]), _utc(i["until_ms"]), i["start_hours"]] for i in nodes],
    )
    show(options, {"v": 1, **facts, "history": nodes}, f"{text}\n\n{past}" if nodes else text)
    return 0


def _label(options: argparse.Namespace) -> int:
    from kerbtools.provision import label as labels

    card = opened(options).card(node_of(options.node))
    if card.state == states.PENDING:
        raise OrderError(f"node {card.address} is not finished", "finish it: kerb provision")
    paths = [] if options.out is None else [str(path) for path in labels.write(card, options.out)]
    value = {"v": 1, "text": labels.lines(card), "code": labels.payload(card), "files": paths}
    show(options, value, "\n".join(paths) or labels.text(card))
    return 0


def _mark(options: argparse.Namespace) -> int:
    card = opened(options).mark(node_of(options.node), options.event)
    show(options, card_json(card), f"node {card.address} is {card.state}")
    return 0


def _remove(options: argparse.Namespace) -> int:
    address = node_of(options.node)
    opened(options).remove(address)
    show(options, {"v": 1, "removed": address}, f"node {address} is out of the registry")
    return 0


def _public_key(options: argparse.Namespace) -> int:
    if len(options.name.split()) != 1:
        raise OrderError("the name is no single word", "give one word: --name riverside")
    public = exchange.public_key(opened(options))
    line, short = envelope.write_public(public, options.name), envelope.fingerprint(public)
    if options.out is not None:
        shell.write_file(options.out, line.encode())
    place = "" if options.out is None else f"wrote {options.out}; "
    show(
        options,
        {"v": 1, "public_key": line.strip(), "fingerprint": short},
        f"{place}its fingerprint is {short}" if options.out else f"{line}fingerprint {short}",
    )
    return 0


def _export(options: argparse.Namespace) -> int:
    receiver, name = envelope.read_public(shell.read_text(options.receiver))
    data, serial, count = exchange.export(opened(options), receiver, site=options.site)
    shell.write_file(options.out, data)
    short = envelope.fingerprint(receiver)
    show(
        options,
        {"v": 1, "file": str(options.out), "serial": serial, "nodes": count, "receiver": short},
        f"wrote {options.out}: {count} nodes, export {serial} for {name} ({short})\n"
        f"next: kerb registry import {options.out.name} on that gateway",
    )
    return 0


def _import(options: argparse.Namespace) -> int:
    sender = None if options.sender is None else envelope.read_public(shell.read_text(options.sender))[0]
    taken = exchange.take(opened(options), shell.read_bytes(options.file, envelope.MAX_EXPORT), sender=sender)
    show(
        options,
        {"v": 1, **asdict(taken)},
        f"took in export {taken.serial} of {taken.sender}: {taken.added} nodes new, {taken.changed} changed, "
        f"{taken.kept} newer here, {taken.assets} assets",
    )
    return 0


def _utc(ms: int | None) -> str:
    from datetime import UTC, datetime

    return "" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
