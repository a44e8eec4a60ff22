"""`kerb top`: nodes, links, queues, alarms and messages a second, live, until q.

kerb top                        in a terminal, also over SSH, from 80 columns by 24 lines
kerb top --serve                the same in a browser on this machine: http://127.0.0.1:8000
ssh -L 8000:127.0.0.1:8000 box  ... and on yours
"""

import argparse
import os
import sys
from collections.abc import Sequence

from kerbgate.errors import ControlError
from kerbtools.field import words
from kerbtools.field.subject import Subject
from kerbtools.field.top.app import Top
from kerbtools.field.top.looks import Looker, of_socket

PORT = 8000


def main(arguments: Sequence[str]) -> int:
    """Returns 0; 1 where there is no terminal, or no configuration."""
    parser = words.parser("top", "The gateway live: nodes, links, queues, alarms.", "? shows the keys")
    parser.add_argument("--serve", action="store_true", help="in a browser on this machine, instead of here")
    parser.add_argument("--address", default="127.0.0.1", help="of --serve: 127.0.0.1 or ::1; others are refused")
    parser.add_argument("--port", type=int, default=PORT, help=f"of --serve (default: {PORT}; 0: any that is free)")
    return words.run(_top, parser.parse_args(list(arguments)))


def _top(options: argparse.Namespace) -> int:
    subject = Subject(options.config)
    site, state = subject.config.gateway.site, subject.state
    if options.serve:
        return _serve(options, subject)
    # A browser's session has no terminal: a driver of Textual's is named to it instead.
    if "TEXTUAL_DRIVER" not in os.environ and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ControlError(
            "kerb top wants a terminal", "in a pipe: kerb nodes, kerb queue, kerb alarms; over SSH: ssh -t"
        )
    Top(site, Looker(of_socket(state))).run()
    return 0


def _serve(options: argparse.Namespace, subject: Subject) -> int:
    try:
        from kerbtools.field.top import web
    except ModuleNotFoundError as error:
        raise ControlError(f"the package {error.name!r} is not installed", "pip install 'kerbstone[tools]'") from error
    return web.serve(subject.path.absolute(), options.address, options.port)
