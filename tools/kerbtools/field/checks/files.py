"""The configuration, and the files that must be there, private, and of the gateway's user."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from kerbgate.errors import ConfigError
from kerbgate.inlets.base import parse_url
from kerbtools.field.findings import FAIL, OK, SKIPPED, WARN, Finding
from kerbtools.field.subject import BROKEN, RUNNING, Subject
from kerbwire.capture import public_url


def configuration(subject: Subject) -> Iterator[Finding]:
    """Whether the file can be used, and whether the running gateway runs by it."""
    path = subject.path
    try:
        loaded = subject.config
    except ConfigError as error:
        missing = not path.exists()
        causes = ("another folder or another file is meant",) if missing else ("a slip in the last change",)
        yield Finding(
            "configuration",
            FAIL,
            error.cause,
            causes,
            (error.hint, f"kerb gateway check --config {path}"),
            explains=("gateway", "keys", "disk", "clock", "store", "registry", "serial", "broker"),
        )
        return
    facts = subject.facts
    if facts is not None and facts["restart"]:
        yield Finding(
            "configuration",
            WARN,
            "changed since the gateway started, and not in force: " + ", ".join(facts["restart"]),
            ("it was edited and the gateway was not restarted",),
            ("sudo systemctl restart kerbstone",),
        )
        return
    if facts is not None and Path(facts["config"]) != path.absolute():
        said = f"the gateway runs by {facts['config']}, and this is {path}"
        yield Finding("configuration", WARN, said, (), (f"kerb doctor --config {facts['config']}",))
        return
    counts = f"{len(loaded.inlets)} inlets, {len(loaded.outlets)} outlets"
    yield Finding("configuration", OK, f"{path}: site {loaded.gateway.site}, {counts}")


def keys(subject: Subject) -> Iterator[Finding]:
    """The state folder and each file that holds a secret."""
    if subject.mode == BROKEN:
        yield Finding("keys", SKIPPED, "without a configuration nobody knows where they are")
        return
    found = list(_folder(subject)) or [row for path, what in _secrets(subject) for row in _secret(path, what)]
    yield from found or [Finding("keys", OK, "the state folder and its keys are private and readable")]


def _folder(subject: Subject) -> Iterator[Finding]:
    state = subject.state
    try:
        about = state.stat()
    except FileNotFoundError:
        said = f"the state folder {state} is not there"
        yield Finding(
            "keys",
            WARN,
            said,
            ("this gateway never ran", "its disk is not mounted"),
            (f"findmnt --target {state.parent}", f"kerb gateway run --config {subject.path}"),
            explains=("store", "registry", "gateway"),
        )
        return
    except PermissionError:
        yield _not_ours(subject, state, "its owner")
        return
    if not os.access(state, os.R_OK | os.X_OK):
        yield _not_ours(subject, state, user_name(about.st_uid))
    elif about.st_mode & 0o077:
        said = f"others may enter the state folder {state} (mode {stat.S_IMODE(about.st_mode):o})"
        yield Finding("keys", WARN, said, ("its mode was changed",), (f"sudo chmod 700 {state}",))


def _not_ours(subject: Subject, state: Path, owner: str) -> Finding:
    return Finding(
        "keys",
        FAIL,
        f"the state folder {state} belongs to {owner} and is closed to this user",
        ("this is not the gateway's user", "owner or mode of the folder was changed"),
        (f"sudo -u {owner} kerb doctor --config {subject.path}", f"sudo chown -R kerbstone: {state}"),
        explains=("store", "registry", "gateway", "nodes", "queues", "refused", "boots", "programs"),
    )


def _secrets(subject: Subject) -> Iterator[tuple[Path, str]]:
    """(path, what it is) of the files that must not be read by others."""
    config = subject.config
    registry = config.gateway.registry
    if registry.exists() or not registry.is_relative_to(subject.state):
        yield registry, "registry"
        yield registry.with_suffix(".key"), "registry's key"
    if subject.store.exists():
        yield subject.store, "store"
        yield subject.state / "audit.key", "audit log's key"
    for outlet in config.outlets:
        for path, what in ((outlet.credentials, "credentials"), (outlet.key, "certificate's key")):
            if path is not None:
                yield path, f"{what} of outlet {outlet.name}"
    for inlet in config.inlets:
        options = parse_url(inlet.url).options
        for name, what in (("credentials", "credentials"), ("key", "certificate's key")):
            if name in options:
                yield Path(options[name]), f"{what} of inlet {public_url(inlet.url)}"


def _secret(path: Path, what: str) -> Iterator[Finding]:
    try:
        about = path.stat()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and what == "audit log's key":  # made at the next start
            return
        advice = {"registry's key": "put back the copy that is kept apart from the registry"}
        said = (
            f"the {what} is not there: {path}" if isinstance(error, FileNotFoundError) else f"{path}: {error.strerror}"
        )
        yield Finding(
            "keys",
            FAIL,
            said,
            ("it was moved or never copied", "its disk is not mounted"),
            (advice.get(what, f"put the file back at {path}"),),
            explains=("registry", "gateway", "broker"),
        )
        return
    if not os.access(path, os.R_OK):
        said = f"the {what} {path} belongs to {user_name(about.st_uid)} and cannot be read"
        steps = (f"sudo chown --reference={path.parent} {path}",)
        yield Finding("keys", FAIL, said, ("it was copied by another user",), steps, explains=("gateway", "broker"))
    elif about.st_mode & 0o077:
        said = f"others may read the {what} {path} (mode {stat.S_IMODE(about.st_mode):o})"
        refused = what not in ("store", "registry")  # those the gateway makes private by itself
        yield Finding(
            "keys",
            FAIL if refused else WARN,
            said,
            ("it was copied without its mode",),
            (f"sudo chmod 600 {path}",),
            explains=("gateway", "broker", "registry") if refused else (),
        )


def user_name(uid: int) -> str:
    """A user by name, where the system knows one."""
    import pwd  # POSIX only, as the gateway is

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def gateway_user(subject: Subject) -> int | None:
    """Whose gateway this is: the owner of the state folder, or of its process."""
    facts = subject.facts
    if subject.mode == RUNNING and facts is not None:
        try:
            return Path(f"/proc/{facts['pid']}").stat().st_uid
        except OSError:
            pass
    try:
        return subject.state.stat().st_uid
    except OSError:
        return None
