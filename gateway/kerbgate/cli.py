"""The verbs of `kerb gateway`. Each takes its arguments as a list and returns an exit status."""

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
            "  init      write a commented configuration, and an empty registry with its key file\n"
            "  check     say whether it would start with a configuration, without starting anything\n"
            "  run       run the gateway until SIGTERM or Ctrl-C\n"
            "  reload    read the configuration again, and change the outlets to it\n"
            "  compare   in shadow mode: our readings beside those of another system\n"
            "  status    show inlets, outlets, nodes and the store; --json for programs\n"
            "  service   print the systemd unit of this gateway, or write it with --to\n"
            "  settings  print the reference of the configuration; --json for programs\n\n"
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


def reload(argv: list[str]) -> int:
    """Let the running gateway read its configuration again."""
    parser = _parser("reload", "Change the outlets of the running gateway to what the configuration says now.")
    parser.add_argument("--drop-outlet", metavar="NAME", help="forget what waits for this outlet, which is gone")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    return _run(_reload, parser.parse_args(argv))


def compare(argv: list[str]) -> int:
    """Compare our readings with those of another system."""
    from kerbgate import comparing

    return _run(comparing.command, comparing.arguments(_parser("compare", comparing.ABOUT)).parse_args(argv))


def check(argv: list[str]) -> int:
    """Say whether a gateway would start with a configuration."""
    return _run(_check, _parser("check", "Look at a configuration and what it names; start nothing.").parse_args(argv))


def service(argv: list[str]) -> int:
    """Print the systemd unit of a gateway, or write it."""
    parser = _parser("service", "Print the systemd unit of this gateway, filled in from its configuration.")
    parser.add_argument("--user", default="kerbstone", help="the system user that it runs as (default: kerbstone)")
    parser.add_argument("--serial-group", default="dialout", help="the group that owns serial ports (default: dialout)")
    parser.add_argument("--to", type=Path, help="write it there: /etc/systemd/system/kerbstone.service")
    return _run(_service, parser.parse_args(argv))


def settings(argv: list[str]) -> int:
    """Print the reference of the configuration."""
    parser = argparse.ArgumentParser(prog="kerb gateway settings", description="Print every setting with its default.")
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a page")
    return _run(_settings, parser.parse_args(argv))


VERBS: dict[str, Callable[[list[str]], int]] = {
    "init": init,
    "check": check,
    "run": run,
    "reload": reload,
    "compare": compare,
    "status": status,
    "service": service,
    "settings": settings,
}


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
    from kerbgate import app, config, settings
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
    for setting in settings.SETTINGS:
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


def _reload(arguments: argparse.Namespace) -> None:
    from kerbgate import config, control, pumps

    loaded = config.load(arguments.config)
    fields = {} if arguments.drop_outlet is None else {"drop": arguments.drop_outlet}
    found = control.ask(loaded.gateway.state, "reload", timeout_s=pumps.RELOAD_S, **fields)["reload"]
    print(json.dumps(found) if arguments.json else pumps.plain(found))


def _check(arguments: argparse.Namespace) -> None:
    from kerbgate import config
    from kerbgate.service import check

    print("\n".join(check.check(config.load(arguments.config))))


def _service(arguments: argparse.Namespace) -> None:
    from kerbgate import config
    from kerbgate.service import unit

    loaded = config.load(arguments.config)
    text = unit.render(loaded, user=arguments.user, serial_group=arguments.serial_group)
    if arguments.to is None:
        print(text, end="")
    else:
        unit.write(text, arguments.to)
        print(f"wrote {arguments.to}\n{unit.steps(loaded, arguments.user, arguments.to)}")


def _settings(arguments: argparse.Namespace) -> None:
    from kerbgate.service import settings

    print(json.dumps(settings.rows(), indent=1) if arguments.json else settings.markdown(), end="")


if __name__ == "__main__":
    sys.exit(main())
