"""`kerb links`: the links of a node that is in service.

A verb, and no option of `provision`, which begins a new life: who forgot the option there would throw records away.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from kerbgate.errors import GatewayError
from kerbtools.device import Device, DeviceError
from kerbtools.provision import relink, shell, trial
from kerbtools.provision.cli import access_from, add_links, found_ports
from kerbtools.provision.errors import OrderError, ProvisionError
from kerbtools.provision.found import Found, counted, look, running_again
from kerbtools.provision.many import cause_of
from kerbtools.provision.shell import show


def main(arguments: Sequence[str]) -> int:
    """Show or change how nodes reach their gateway."""
    parser = shell.parser(
        "links",
        "Change the links of a node that is in service, or what they need: a new Wi-Fi password, another broker, a new "
        "certificate. Identity, records and settings stay. With none of these named it shows what a board has.",
        epilog="A run that was cut is mended by the same command. No output holds a secret.",
    )
    parser.add_argument("--port", action="append", default=[], help="a board's port; several times")
    parser.add_argument("--site", metavar="NAME", help="the site that the boards must be of; needed without a registry")
    add_links(parser)
    parser.add_argument(
        "--no-self-test", "--no-selftest", action="store_true", help="do not open each link once at the end"
    )
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="seconds to wait for a board that sleeps")
    return shell.run(_links, parser.parse_args(arguments))


def _links(options: argparse.Namespace) -> int:
    access = access_from(options)
    changes = access.brings or access.links is not None
    registry = shell.opened(options) if options.registry.exists() else None
    if registry is None and changes and options.site is None:
        raise OrderError(
            f"there is no registry at {options.registry}, and no site is named",
            "say of which site the boards must be: --site NAME, or name the registry: --registry FILE",
        )
    rows: list[dict[str, Any]] = []
    for port in options.port or found_ports(many=False):
        row: dict[str, Any] = {"port": port}
        rows.append(row)
        try:
            with Device.open(port, wait_s=options.wait) as device, running_again(device):
                found = look(device, device.facts().unique_id)
                if changes:
                    relink.check_node(port, found, options.site, registry)
                there = relink.present(device)
                row |= {"node": found.node, "site": found.site, "waiting": found.waiting, "before": list(there.links)}
                if changes:
                    _change(row, device, found, relink.plan(port, found, there, access), there, options)
                else:
                    row |= {
                        "links": list(there.links),
                        "files": sorted(path.rpartition("/")[2] for path in there.paths),
                    }
                    device.reset()
        except (GatewayError, DeviceError, ProvisionError) as error:
            row["error"], row["hint"] = cause_of(error)
        if not options.json:
            _tell(row)
    good = sum("error" not in row for row in rows)
    sound = all(tried["verdict"] != "fail" for row in rows for tried in row.get("tried", ()))
    sound = sound and not any(row.get("untried") or row.get("stopped") for row in rows)
    done = "have their links" if changes else "are shown"
    show(options, {"v": 1, "boards": rows}, f"{good} of {len(rows)} boards {done}")
    return 0 if good == len(rows) and sound else 1


def _change(
    row: dict[str, Any],
    device: Device,
    found: Found,
    files: dict[str, bytes | None],
    there: relink.Present,
    options: argparse.Namespace,
) -> None:
    def say(text: str) -> None:
        if not options.json:
            print(f"{device.port}: {text}", file=sys.stderr, flush=True)

    done = relink.relink(device, there, files, tries=not options.no_self_test, say=say)
    row |= {"links": list(done.links), "changed": list(done.changed), "removed": list(done.removed)}
    row |= {"tried": [asdict(tried) for tried in done.tried], "untried": done.untried, "stopped": done.stopped}
    for tried in done.tried:
        say(trial.told(tried))
    if any(tried.verdict == "fail" for tried in done.tried):
        say("written all the same: if its network is out of range here, look again where the node hangs: kerb selftest")
    if done.untried is not None:
        say(f"written all the same, but its links could not be tried: {done.untried}; see: kerb selftest")
    if done.stopped:
        say("it did not take the reset: press its reset button")


def _tell(row: dict[str, Any]) -> None:
    """A board, for people. Of secrets only which files hold them."""
    if "error" in row:
        shell.told(row["error"], row["hint"])
        return
    waiting = "records may wait" if row["waiting"] is None else f"waiting: {counted(row['waiting'])}"
    node = f"node {row['node']} of {row['site']}" if row["node"] is not None else "no node yet"
    print(f"{row['port']}: {node}, {waiting}")
    if "changed" not in row:
        print(f"  links    {' '.join(row['links'])}\n  files    {' '.join(row['files']) or 'none'}")
        return
    same = row["links"] == row["before"]
    print(f"  links    {' '.join(row['links'])}{' (as before)' if same else ', were ' + ' '.join(row['before'])}")
    print(f"  changed  {' '.join(row['changed']) or 'nothing: it had all of this already'}")
    if row["removed"]:
        print(f"  removed  {' '.join(row['removed'])}")
