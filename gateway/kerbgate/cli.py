"""The verbs of `kerb gateway`: init, run, status. Each takes its arguments as a list and returns an exit status."""

import argparse
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
    from kerbgate import config
    from kerbgate.registry import Registry

    path: Path = arguments.config
    if path.exists() and not arguments.force:
        raise ConfigError(f"{path} exists already", "choose another name with --config, or overwrite it with --force")
    given: dict[str, dict[str, Any]] = {
        "gateway": {"site": arguments.site, "state": arguments.state or "state"},
        "inlet": {"url": arguments.inlet or "serial:/dev/ttyACM0?baud=115200"},
        "outlet": {"name": "council", "url": arguments.outlet or "mqtt://127.0.0.1:1883"},
    }
    draft = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            file.write(config.render(given))
            file.flush()
            os.fsync(file.fileno())
        loaded = config.load(draft)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}", "choose a folder of yours with --config") from error
    finally:
        draft.unlink(missing_ok=True)
    loaded.gateway.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    Registry(loaded.gateway.registry, create=True).close()
    print(f"wrote {path} and {loaded.gateway.registry}\nnext: read {path}, then run: kerb gateway run --config {path}")


def _gateway(arguments: argparse.Namespace) -> None:
    from kerbgate import app, config

    loaded = config.load(arguments.config)
    app.run(loaded, ready=lambda: print(f"kerb: gateway of site {loaded.gateway.site} is running", flush=True))


def _status(arguments: argparse.Namespace) -> None:
    from kerbgate import config, control, status
    from kerbgate.clock import open_clock

    loaded = config.load(arguments.config)
    try:
        found = control.ask(loaded.gateway.state, "status")["status"]
    except ControlError:
        found = status.stored(loaded)
    print(json.dumps(found) if arguments.json else status.plain(found, open_clock(loaded.clock.source).utc()))


if __name__ == "__main__":
    sys.exit(main())
