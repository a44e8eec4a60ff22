"""`kerb collect gather FILE` and `kerb collect hand FILE...`: bins without a network, on foot or from the truck.

kerb collect gather round.kcap                 visit every node in range until Ctrl-C
kerb collect gather round.kcap --site harbour --for 2h --link ble:hci1
kerb collect hand round.kcap                   on the gateway's host; then, or a week later
kerb collect hand monday.kcap tuesday.kcap --json

Frames stay sealed: the laptop has no key, and can tell of them only who spoke. A node is not answered, so it removes
nothing: it sends its records again until its gateway's own ack reaches it. A file that is lost loses nothing, one that
is handed twice changes nothing. Hand files in before the next round: what a node has sent again since is refused as
overtaken. A bin speaks when a report is due, when something happened (tilt it: emptying does) and after a reset. One
that has never met its gateway says only hello, and has to be near it once.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from kerbtools.collect import hand
from kerbtools.field import words

# What a gateway's refusal means to who has gathered the frame.
MEANINGS = {
    "replay": "overtaken: the node has sent these records again since, and they are there",
    "unknown node": "no node of this gateway: hand the file to the one that has it in its registry",
    "foreign site": "no node of this gateway: hand the file to the one that has it in its registry",
    "no life": "the node has not met this gateway since it was set up: bring it into its range once",
    "unknown life": "the node has not met this gateway since it was set up: bring it into its range once",
    "wrong epoch": "sealed under keys that were changed since: the node sends the records again under the new ones",
    "unsealed": "damaged or forged",
    "malformed": "damaged, or no frame of ours",
    "not an uplink": "damaged, or no frame of ours",
}


def main(arguments: Sequence[str]) -> int:
    """Returns 0; 1 where nothing could be gathered or handed; 3 where the gateway refused some."""
    parser = argparse.ArgumentParser(
        prog="kerb collect",
        description="Gather what bins have to say over Bluetooth, and hand it to their gateway later.",
        epilog=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    gather = verbs.add_parser("gather", help="visit the nodes in range, and keep their frames in a file")
    gather.add_argument("file", type=Path, help="never written over")
    gather.add_argument("--link", default="ble:", metavar="LINK", help="as an inlet: ble:hci1 (default: ble:)")
    gather.add_argument("--site", help="only nodes of this site")
    gather.add_argument("--for", dest="span", type=words.span_of, metavar="SPAN", help="then end (default: at Ctrl-C)")
    given = verbs.add_parser("hand", help="hand files to the gateway that runs on this host")
    given.add_argument("files", type=Path, nargs="+", metavar="FILE")
    given.add_argument("--config", type=Path, help="default: gateway.toml here, else /etc/kerbstone/gateway.toml")
    given.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(list(arguments))
    return words.run(_gather if options.verb == "gather" else _hand, options)


def _gather(options: argparse.Namespace) -> int:
    from kerbtools.collect import gather  # it needs bleak

    round_ = gather.Round(options.file, gather.radio_of(options.link), options.site, print)
    try:
        asyncio.run(round_.run(options.span))
    except KeyboardInterrupt:
        pass
    finally:
        round_.close()
    frames = sum(found.frames for found in round_.nodes.values())
    if not frames:
        print(f"nobody spoke; {options.file} holds no frame", file=sys.stderr)
        print("      is the site right, are bins in range (some 30 m), and do they speak? tilt one", file=sys.stderr)
        return 1
    print(f"{len(round_.nodes)} nodes, {frames} frames in {options.file}")
    print(f"hand them to the gateway: kerb collect hand {options.file}")
    return 0


def _hand(options: argparse.Namespace) -> int:
    from kerbtools.field.subject import Subject

    total = hand.hand(Subject(options.config).state, options.files)
    if options.json:
        print(json.dumps({"files": len(options.files), **total.as_dict()}))
    else:
        print(f"{total.frames} frames: {total.committed} new, {total.known} known already")
        for reason, count in sorted(total.refused.items(), key=lambda item: -item[1]):
            print(f"{count} refused, {reason}: {MEANINGS.get(reason, 'see: kerb doctor')}")
        if total.damaged:
            print(f"{total.damaged} pieces of the files are damaged: what they held comes with the next round")
    return 3 if set(total.refused) - {"replay"} else 0
