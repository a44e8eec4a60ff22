"""The verbs of `kerb gateway`: init, run, status. Each takes its arguments as a list and returns an exit status."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kerbgate.errors import ConfigError, ControlError, GatewayError

DEFAULT_CONFIG = "gateway.toml"


def main(argv: list[str] | None = None) -> int:
    """`kerb gateway VERB ...`; errors are one sentence of cause and one hint on standard error, never a traceback."""
    arguments = sys.argv[1:] if argv is None else argv
    verb = arguments[0] if arguments else ""
    if verb not in VERBS:
        asked = verb in ("-h", "--help")
        print(
            "usage: kerb gateway VERB [--config FILE]\n\n"
            "  init    write a commented configuration, and an empty registry with its key file\n"
            "  run     run the gateway until SIGTERM or Ctrl-C\n"
            "  status  show inlets, outlets, nodes and the store; --json for programs\n\n"
            "`kerb gateway VERB --help` explains a verb.",
            file=sys.stdout if asked else sys.stderr,
        )
        return 0 if asked else 2
    return VERBS[verb](arguments[1:])


def init(argv: list[str]) -> int:
    """Write a commented configuration and make the state folder and registry."""
    parser = _parser("init", "Write a commented configuration file, and make an empty registry with its key file.")
    parser.add_argument("--site", default="site", help="short name of this site (default: site)")
    parser.add_argument("--state", help="state folder (default: state, beside the file)")
    parser.add_argument("--inlet", help="a link from nodes (default: serial:/dev/ttyACM0?baud=115200)")
    parser.add_argument("--outlet", help="a council system (default: mqtt://127.0.0.1:1883)")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    return _run(_init, parser.parse_args(argv))


def run(argv: list[str]) -> int:
    """Run the gateway in the foreground until SIGTERM or Ctrl-C."""
    return _run(_gateway, _parser("run", "Run the gateway until it is told to stop.").parse_args(argv))


def status(argv: list[str]) -> int:
    """Show what the gateway does, or, when it does not run, what its store holds."""
    parser = _parser("status", "Show inlets, outlets, nodes and the store.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return _run(_status, parser.parse_args(argv))


VERBS: dict[str, Callable[[list[str]], int]] = {"init": init, "run": run, "status": status}


def _parser(verb: str, text: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"kerb gateway {verb}", description=text)
    parser.add_argument("--config", type=Path, default=Path(DEFAULT_CONFIG), help=f"default: {DEFAULT_CONFIG}")
    return parser


def _run(work: Callable[[argparse.Namespace], None], arguments: argparse.Namespace) -> int:
    os.umask(0o077)  # what the gateway writes is for its own user
    try:
        work(arguments)
    except GatewayError as error:
        print(f"kerb: {error.cause}\n      {error.hint}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output went away
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _init(arguments: argparse.Namespace) -> None:
    from kerbgate import app, config
    from kerbgate.inlets import open_inlet
    from kerbgate.outlets import check_url
    from kerbgate.registry import Registry

    path: Path = arguments.config
    if os.path.lexists(path) and not arguments.force:
        raise ConfigError(f"{path} exists already", "choose another name with --config, or overwrite it with --force")
    given: dict[str, dict[str, Any]] = {
        "gateway": {"site": arguments.site, "state": arguments.state or "state"},
        "inlet": {"url": arguments.inlet or "serial:/dev/ttyACM0?baud=115200"},
        "outlet": {"name": "council", "url": arguments.outlet or "mqtt://127.0.0.1:1883"},
    }
    for setting in config.SETTINGS:
        value = given.get(setting.section, {}).get(setting.name)
        wrong = None if value is None else setting.check(value)
        if wrong:
            option = setting.section if setting.name == "url" else setting.name
            raise ConfigError(f"--{option} {value!r} cannot be used", wrong)
    open_inlet(given["inlet"]["url"])
    check_url(given["outlet"]["url"])
    text = config.render(given).encode()
    loaded = config.parse(path, text)
    app.prepare_state(loaded)
    Registry(loaded.gateway.registry, create=True).close()
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}", "choose a folder of yours with --config") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    print(f"wrote {path} and {loaded.gateway.registry}\nnext: read {path}, then run: kerb gateway run --config {path}")


def _gateway(arguments: argparse.Namespace) -> None:
    from kerbgate import app, config, status

    loaded = config.load(arguments.config)

    def ready() -> None:
        print(f"kerb: gateway of site {loaded.gateway.site} is running", flush=True)
        for line in status.stranded(loaded):
            print(f"kerb: {line}", flush=True)

    app.run(loaded, ready)


def _status(arguments: argparse.Namespace) -> None:
    from kerbgate import config, control, status
    from kerbgate.clock import open_clock
    from kerbgate.store.lock import holder

    loaded = config.load(arguments.config)
    try:
        found = control.ask(loaded.gateway.state, "status")["status"]
    except ControlError as error:
        process = holder(loaded.gateway.state / "store.sqlite")
        if process is not None:
            raise ControlError(
                f"process {process} holds the store but does not answer: {error.cause}",
                "if it just started, ask again; else look at that process, and restart the gateway",
            ) from error
        found = status.stored(loaded)
    print(json.dumps(found) if arguments.json else status.plain(found, open_clock(loaded.clock.source).utc()))


if __name__ == "__main__":
    sys.exit(main())
