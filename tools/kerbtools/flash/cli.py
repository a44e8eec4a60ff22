"""`kerb flash`: arguments, what is shown while it works, and how it ends."""

import argparse
import json
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from kerbtools import boards, bundle
from kerbtools.device import ports
from kerbtools.device.show import table
from kerbtools.flash.job import Bundles, Options, Result, Watcher, cause, flash, from_folder
from kerbtools.flash.watch import arrivals

MOST_AT_ONCE = 16  # boards; a USB hub has seven ports


def main(arguments: Sequence[str]) -> int:
    """Flashes boards. Exit status 0: every board has the firmware and passed its self-test; 1: not so; 2: usage."""
    parser = argparse.ArgumentParser(
        prog="kerb flash",
        description="Put the firmware onto every board that is plugged in, or onto those on the ports named.",
        epilog="Pulled out at any moment a board boots its old firmware or the new one; run it again to finish.",
    )
    parser.add_argument("--port", action="append", default=[], help="a serial port or pty; may be given several times")
    parser.add_argument("--board", choices=boards.names(), help="what the board must be; else it is asked")
    parser.add_argument("--role", choices=sorted(bundle.ROLES), help="what it is to become; else as it was")
    parser.add_argument("--wait", type=float, default=0.0, metavar="S", help="seconds to wait for a board that sleeps")
    parser.add_argument("--watch", action="store_true", help="flash each board that is plugged in, until Ctrl-C")
    parser.add_argument("--count", type=int, metavar="N", help="with --watch: end after so many boards")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")
    parser.add_argument(
        "--no-self-test", "--no-selftest", action="store_true", help="do not run the self-test after a flash"
    )
    parser.add_argument("--bundle", metavar="FOLDER", help="send this bundle, which --bundle-to wrote, as it is")
    parser.add_argument("--bundle-to", metavar="FOLDER", help="write the bundle of --board and --role there, and end")
    parser.add_argument("--readable", action="store_true", help="a file a module under its own name: to debug; larger")
    parser.add_argument("--json", action="store_true", help="one JSON object a board")
    given = parser.parse_args(arguments)
    if given.count is not None and not (given.watch and given.count > 0):
        parser.error("--count: at least 1, and together with --watch")
    if given.bundle_to is not None:
        return _write_bundle(parser, given)
    options = Options(
        board=given.board, role=given.role, wait_s=given.wait, dry_run=given.dry_run, self_test=not given.no_self_test
    )
    screen = Screen(as_json=given.json)
    whole = partial(bundle.contents, readable=True) if given.readable else None
    bundles = Bundles(from_folder(Path(given.bundle)) if given.bundle else whole)
    if given.watch:
        return _watch(given.port, given.count, options, bundles, screen)
    found = list(dict.fromkeys(given.port)) or [port.path for port in ports.find()]
    if not found:
        print(
            "kerb flash: no board is plugged in.\n"
            "      Plug one in with a cable that carries data, or name its port with --port.",
            file=sys.stderr,
        )
        return 1
    with screen, ThreadPoolExecutor(min(len(found), MOST_AT_ONCE)) as pool:
        jobs = [pool.submit(flash, port, options, bundles, screen) for port in found]
        results = [screen.ended(job.result()) for job in jobs]
    return 0 if all(result.succeeded for result in results) else 1


def _watch(named: Sequence[str], count: int | None, options: Options, bundles: Bundles, screen: "Screen") -> int:
    jobs: list[Future[Result]] = []
    failed = False
    screen.said("", "waiting for boards; Ctrl-C ends")
    with screen, ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        try:
            for port in arrivals(named):
                if port is not None:
                    jobs.append(pool.submit(flash, port, options, bundles, screen))
                for job in [job for job in jobs if job.done()]:
                    jobs.remove(job)
                    failed |= not screen.ended(job.result()).succeeded
                    count = None if count is None else count - 1
                if count == 0:
                    break
        except KeyboardInterrupt:
            pass
        for job in jobs:
            failed |= not screen.ended(job.result()).succeeded
    return 1 if failed else 0


def _write_bundle(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    if given.board is None:
        parser.error("--bundle-to needs --board")
    role = given.role or next(iter(bundle.ROLES))
    target = Path(given.bundle_to)
    if target.exists() and not (target / bundle.MANIFEST).is_file():
        parser.error(f"--bundle-to: {target} is there and is no bundle; name a folder that is not there")
    try:
        folder = bundle.build(given.board, role, target, readable=given.readable)
    except (boards.BoardError, bundle.BundleError) as error:
        print(f"kerb flash: {cause(error)}\n      {error.hint}", file=sys.stderr)
        return 1
    print(folder)
    return 0


class Screen(Watcher):
    """Progress bars where a person looks, a line a step where a file does, nothing but results with --json."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._console = Console(stderr=True)
        self._bars: dict[str, TaskID] = {}
        self._lock = threading.Lock()
        self._live = not as_json and self._console.is_terminal
        self._progress = Progress(
            TextColumn("{task.fields[port]}"), BarColumn(), DownloadColumn(), TimeElapsedColumn(),
            TextColumn("{task.description}"), console=self._console, disable=not self._live,
        )  # fmt: skip

    def __enter__(self) -> "Screen":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def said(self, port: str, text: str) -> None:
        if self._as_json:
            return
        if self._live and port:
            self._progress.update(self._bar(port), description=text)
        else:
            self._console.print(f"{port}: {text}" if port else text, markup=False, highlight=False, soft_wrap=True)

    def progress(self, port: str, done: int, total: int) -> None:
        if self._live:
            self._progress.update(self._bar(port), completed=done, total=total)

    def ended(self, result: Result) -> Result:
        """Show a result, and return it."""
        if self._as_json:
            print(json.dumps(result.as_json()), flush=True)
        else:
            if self._live:
                self._progress.update(self._bar(result.port), description=result.status)
            for line in _lines(result):
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        return result

    def _bar(self, port: str) -> TaskID:
        with self._lock:
            if port not in self._bars:
                self._bars[port] = self._progress.add_task("", port=port, total=None)
            return self._bars[port]


def _lines(result: Result) -> list[str]:
    head = result.port
    if result.error is not None:
        return [f"{head}: {cause(result.error)}", f"      {result.error.hint}"]
    what = f"{result.board}, {result.role}, {result.status}"
    if result.files or result.removed:
        verb = "to send" if result.status == "planned" else "sent"
        what += f": {len(result.files)} files {verb}, {len(result.removed)} removed"
    lines = [f"{head}: {what} ({result.total_s:.1f} s)"]
    if result.status == "planned":
        lines += [f"      + {path}" for path in result.files] + [f"      - {path}" for path in result.removed]
    if result.rows:
        lines += table(result.rows)
    return lines
