"""`kerb gateway service`: the systemd unit of this gateway, filled in from its configuration."""

import contextlib
import os
import re
import sys
from importlib import resources
from pathlib import Path

from kerbgate.config import Config
from kerbgate.errors import ConfigError

STATE = Path("/var/lib")
_HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108  # what the unit hides from the gateway
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}")
_PATH = re.compile(r"/[A-Za-z0-9_./@+-]{1,500}")  # nothing that systemd would read: no space, %, $, quote


def render(config: Config, *, user: str, serial_group: str, python: str = sys.executable) -> str:
    """The unit as text. ConfigError for a place that the unit's sandbox would hide, or a name that it cannot hold."""
    state = config.gateway.state
    if not state.is_relative_to(STATE) or state == STATE:
        raise ConfigError(
            f"the state folder {state} is not below {STATE}, the only place that the unit lets the gateway write to",
            f'write state = "{STATE}/kerbstone" in {config.path}',
        )
    for what, name in (("user", user), ("group", serial_group)):
        if not _WORD.fullmatch(name):
            raise ConfigError(f"{name!r} is no name of a {what}", "use letters, digits, - and _")
    path = str(config.path.absolute())
    for what, text in (("configuration", path), ("Python", python), ("state folder", str(state))):
        if not _PATH.fullmatch(text) or text.startswith(_HIDDEN):
            raise ConfigError(
                f"the unit cannot reach the {what} at {text}",
                "use a plain path outside of home and temporary folders, such as /etc/kerbstone and /opt/kerbstone",
            )
    text = resources.files("kerbgate.service").joinpath("kerbstone.service").read_text()
    places = {
        "python": python,
        "config": path,
        "user": user,
        "serial": serial_group,
        "state": str(state),
        "folder": str(state.relative_to(STATE)),
    }
    for name, value in places.items():
        text = text.replace(f"@{name}@", value)
    return text


def write(text: str, path: Path) -> None:
    """Write the unit under a temporary name, sync, rename. ConfigError."""
    draft = path.with_name(path.name + ".new")
    try:
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(0o644)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}", "run this as root, or leave --to out"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def steps(config: Config, user: str, unit: Path) -> str:
    """What to run next, as root."""
    return (
        f"next, as root:\n"
        f"  id {user} || useradd --system --home-dir {config.gateway.state} --shell /usr/sbin/nologin {user}\n"
        f"  install -d -m 0700 -o {user} -g {user} {config.gateway.state}\n"
        f"  chown {user}:{user} {config.path} and each file of credentials and keys that it names\n"
        f"  systemctl daemon-reload && systemctl enable --now {unit.stem}\n"
        f"then: sudo -u {user} kerb gateway status --config {config.path}"
    )
