"""What decoding needs beside the frame: keys, and the lives, instances and newest records that earlier frames told."""

import stat
from collections import OrderedDict
from pathlib import Path

from kerbgate.errors import RegistryError
from kerbgate.registry import Registry
from kerbtools.decode.errors import DecodeError
from kerbwire import frame as frames
from kerbwire import seal
from kerbwire.errors import WireError
from kerbwire.frame import DOWN, UP, Header
from kerbwire.messages import Report

MAX_NODES = 20_000  # whose lives are remembered: twice a full district
MAX_LIVES = 4  # of one node, the newest first: each costs a derivation at a frame that does not open
MAX_KEYS = 1_000  # derived keys kept
NO_KEY = "no key: name a registry or a secret file"


class Keyring:
    """Opens frames. A life is learned from the header of a hello that opens under it, or given at the start."""

    def __init__(
        self,
        registry: Registry | None = None,
        secret: bytes | None = None,
        life: bytes = b"",
        instance: bytes = b"",
        near: tuple[int, int] | None = None,
    ):
        self._registry = registry
        self._secret = secret
        self._life = life
        self._instance = instance
        self._lives: OrderedDict[int, list[bytes]] = OrderedDict()
        self._instances: list[bytes] = [instance] if instance else []
        self._keys: OrderedDict[tuple[int, int, bytes, bytes], seal.Key] = OrderedDict()
        self._near = near
        self._newest: OrderedDict[tuple[int, bytes], tuple[int, int]] = OrderedDict()

    def open(self, data: bytes, header: Header) -> bytes | str:
        """The message of a frame, or why it stays closed."""
        if self._registry is None and self._secret is None:
            return NO_KEY
        if header.space not in (UP, DOWN):
            return "group frames are sealed under a key that belongs to no node"
        if self._registry is not None:
            row = self._registry.get(header.node)
            if row is None:
                return f"node {header.node} is not in this registry"
            if not row.sealed:
                return f"node {header.node} is {row.state}: its secret is gone"
        lives, instances = self._contexts(header)
        if not lives:
            return "the life is not known: give --life, or a capture that begins with the node's hello"
        if not instances:
            return "the instance is not known: give --instance"
        for life in lives:
            for instance in instances:
                try:
                    message = self._key(header, life, instance).open(data, header)
                except WireError:
                    continue
                self._learn(header, life, instance)
                return message
        return "it does not open: another key, another life, or a changed bit"

    def near(self, node: int | None = None) -> tuple[int, int] | None:
        """(index, UTC seconds) of the newest record seen of a node's present life, else what was given at the start."""
        return self._near if node is None else self._newest.get((node, self._lives[node][0]), self._near)

    def remember(self, node: int, report: Report) -> None:
        """Later reports of this life that say only the low bits of index and time are resolved from this one."""
        name = (node, self._lives[node][0])
        last = report.records[-1]
        if report.boot is None and last.index >= self._newest.get(name, (0, 0))[0]:
            self._newest[name] = (last.index, last.time)
            self._newest.move_to_end(name)
            if len(self._newest) > MAX_NODES:
                self._newest.popitem(last=False)

    def _contexts(self, header: Header) -> tuple[list[bytes], list[bytes]]:
        lives = list(self._lives.get(header.node, []))
        if self._life and self._life not in lives:
            lives.append(self._life)
        if header.space == UP:
            return ([header.context] if header.context else lives), [b""]
        return lives, ([header.context] if header.context else self._instances)

    def _learn(self, header: Header, life: bytes, instance: bytes) -> None:
        lives = self._lives.setdefault(header.node, [])
        self._lives.move_to_end(header.node)
        if life in lives:
            lives.remove(life)
        self._lives[header.node] = [life, *lives][:MAX_LIVES]
        if len(self._lives) > MAX_NODES:
            self._lives.popitem(last=False)
        if instance:
            others = [other for other in self._instances if other != instance]
            self._instances = [instance, *others][:MAX_LIVES]

    def _key(self, header: Header, life: bytes, instance: bytes) -> seal.Key:
        name = (header.node, header.epoch, life, instance)
        key = self._keys.get(name)
        if key is None:
            secret = self._secret_of(header.node)
            if header.space == UP:
                key = seal.uplink_key(secret, header.node, life)
            else:
                key = seal.downlink_key(secret, life, instance)
            self._keys[name] = key
            if len(self._keys) > MAX_KEYS:
                self._keys.popitem(last=False)
        return key

    def _secret_of(self, node: int) -> bytes:
        if self._secret is not None:
            return self._secret
        assert self._registry is not None
        row = self._registry.get(node)
        assert row is not None
        return self._registry.secret(row)


def open_registry(path: Path) -> Registry:
    """A gateway's registry with its key file. DecodeError."""
    try:
        return Registry(path)
    except RegistryError as error:
        raise DecodeError(error.cause, f"check --registry; {error.hint}") from error


def read_secret(path: Path) -> bytes:
    """A node's master secret: 16 bytes, or 32 hexadecimal digits. DecodeError if others may read the file."""
    try:
        mode = path.stat().st_mode
        data = path.read_bytes()[:256] if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise DecodeError(f"the secret file {path} cannot be read: {error.strerror}", "check path and owner") from error
    if not stat.S_ISREG(mode):
        raise DecodeError(f"{path} is no plain file", "write the secret into a file of mode 0600")
    if mode & 0o077:
        raise DecodeError(f"others may read the secret file {path}", f"run: chmod 600 {path}")
    if len(data) != seal.SECRET_SIZE:
        try:
            data = bytes.fromhex(data.decode("ascii"))
        except ValueError:
            data = b""
    if len(data) != seal.SECRET_SIZE:
        raise DecodeError(f"{path} holds no secret", "it must hold 16 bytes, or 32 hexadecimal digits")
    return data


def read_context(text: str, option: str) -> bytes:
    """A life or an instance from its 16 hexadecimal digits. DecodeError."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != frames.CONTEXT_SIZE:
        raise DecodeError(f"{option} takes 8 bytes", "give 16 hexadecimal digits, as the hello's header shows them")
    return data


def read_near(text: str) -> tuple[int, int]:
    """An index and UTC seconds, as INDEX:SECONDS. DecodeError."""
    index, _, seconds = text.partition(":")
    if not (index.isdecimal() and seconds.isdecimal() and max(len(index), len(seconds)) <= 10):
        raise DecodeError("--near takes an index and a time", "give INDEX:SECONDS of a record that the gateway has")
    return int(index), int(seconds)
