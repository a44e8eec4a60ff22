"""Sealed exports: readable by one gateway, made by one bench, taken in once, whole or not at all."""

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kerbgate.errors import RegistryError
from kerbgate.registry import Asset, Registry, envelope, exchange, inventory, provisioning, states

SECRETS = {"ab01": bytes(range(16)), "ab02": bytes(range(16, 32))}
MADE = {"site": "harbour", "role": "lamp", "board": "esp32_c3"}


def make(folder: Path, name: str) -> Registry:
    (folder / name).mkdir()
    return Registry(folder / name / "registry.sqlite", create=True)


@pytest.fixture
def bench(tmp_path: Path) -> Registry:
    registry = make(tmp_path, "bench")
    for number, (unique_id, secret) in enumerate(SECRETS.items()):
        provision(
            registry, unique_id, secret, asset=Asset(asset=f"c{number}", site="harbour", role="lamp", wattage_w=40.0)
        )
    return registry


@pytest.fixture
def gateway(tmp_path: Path) -> Registry:
    return make(tmp_path, "gateway")


def provision(registry: Registry, unique_id: str, secret: bytes, **options: object) -> int:
    reservation = provisioning.reserve(registry, unique_id=unique_id, **MADE)
    provisioning.commit(registry, reservation, secret, settings={"echoes": 9}, **MADE, **options)  # type: ignore[arg-type]
    return reservation.address


def sent(bench: Registry, gateway: Registry, **options: str) -> bytes:
    return exchange.export(bench, exchange.public_key(gateway), **options)[0]


def taken(bench: Registry, gateway: Registry) -> exchange.Taken:
    return exchange.take(gateway, sent(bench, gateway), sender=exchange.public_key(bench))


def state(registry: Registry) -> object:
    keys = {node.address: registry.secret(node) if node.sealed else b"" for node in registry.list()}
    return registry.cards(), keys, inventory.assets(registry), inventory.bindings(registry)


def test_everything_arrives(bench: Registry, gateway: Registry) -> None:
    result = taken(bench, gateway)
    assert (result.added, result.changed, result.kept, result.assets, result.serial) == (2, 0, 0, 2, 0)
    assert state(gateway) == state(bench)
    node = gateway.get(1)
    assert node is not None and gateway.secret(node) == SECRETS["ab01"]
    assert node.sealed != bench.get(1).sealed  # type: ignore[union-attr]  # under the gateway's own key file


def test_an_export_shows_no_secret_and_opens_for_nobody_else(
    bench: Registry, gateway: Registry, tmp_path: Path
) -> None:
    data = sent(bench, gateway)
    for secret in SECRETS.values():
        assert secret not in data and secret.hex().encode() not in data
    assert b"c0" not in data[112:] or b"harbour" not in data
    thief = make(tmp_path, "thief")
    for opener in (thief, bench):
        with pytest.raises(RegistryError, match="not for this one"):
            exchange.take(opener, data, sender=exchange.public_key(bench))
    # Even with the receiver's name replaced: the key does not agree.
    forged = data[:48] + exchange.public_key(thief) + data[80:]
    with pytest.raises(RegistryError, match="damaged or forged"):
        exchange.take(thief, forged, sender=exchange.public_key(bench))


def test_any_changed_byte_is_refused_and_changes_nothing(bench: Registry, gateway: Registry) -> None:
    data = sent(bench, gateway)
    before = state(gateway)
    places = [*range(130), len(data) // 2, len(data) - 1]
    for place in places:
        changed = bytearray(data)
        changed[place] ^= 0x40
        with pytest.raises(RegistryError) as caught:
            exchange.take(gateway, bytes(changed), sender=exchange.public_key(bench))
        assert caught.value.hint
    for size in (0, 7, 8, 111, 112, 127, len(data) - 1):
        with pytest.raises(RegistryError):
            exchange.take(gateway, data[:size], sender=exchange.public_key(bench))
    assert state(gateway) == before
    exchange.take(gateway, data, sender=exchange.public_key(bench))


def test_who_knows_only_the_public_keys_cannot_make_one(bench: Registry, gateway: Registry) -> None:
    """A sealed box to the gateway, with the bench's public key as its sender, made without the bench's private key."""
    mallory = X25519PrivateKey.generate()
    receiver, named = exchange.public_key(gateway), exchange.public_key(bench)
    data = envelope.seal(mallory, receiver, 9, b"{}")
    with pytest.raises(RegistryError, match="not known here"):
        exchange.take(
            gateway,
            envelope.seal(
                mallory, receiver, 9, json.dumps({"v": 1, "nodes": [], "assets": [], "bindings": []}).encode()
            ),
        )
    with pytest.raises(RegistryError, match="damaged or forged"):
        exchange.take(gateway, data[:16] + named + data[48:], sender=named)


def test_a_sender_is_named_once(bench: Registry, gateway: Registry) -> None:
    data = sent(bench, gateway)
    with pytest.raises(RegistryError, match="not known here") as caught:
        exchange.take(gateway, data)
    assert "--from" in caught.value.hint and len(gateway) == 0
    with pytest.raises(RegistryError, match="not known here"):
        exchange.take(gateway, data, sender=os.urandom(32))
    exchange.take(gateway, data, sender=exchange.public_key(bench))
    exchange.take(gateway, sent(bench, gateway))


def test_an_older_export_is_refused(bench: Registry, gateway: Registry) -> None:
    old = sent(bench, gateway)
    taken(bench, gateway)
    bench.revoke(1)
    newest = sent(bench, gateway)
    assert exchange.take(gateway, newest).changed == 1
    assert gateway.card(1).state == "stolen"
    for data in (old, newest):
        with pytest.raises(RegistryError, match="not newer"):
            exchange.take(gateway, data, sender=exchange.public_key(bench))
    assert gateway.card(1).state == "stolen" and not gateway.get(1).sealed  # type: ignore[union-attr]


def test_a_new_secret_a_revocation_and_the_newer_change_win(
    bench: Registry, gateway: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(bench, gateway)
    gateway.mark(2, states.QUARANTINE)  # newer than what the bench knows
    result = taken(bench, gateway)
    assert (result.changed, result.kept) == (0, 2) and gateway.card(2).state == "quarantined"
    provision(bench, "ab02", bytes(16))
    assert taken(bench, gateway).changed == 1
    assert gateway.card(2).state == "bound" and gateway.secret(gateway.get(2)) == bytes(16)  # type: ignore[arg-type]
    gateway.revoke(1)
    inventory.unbind(bench, 1)  # newer than the revocation, and does not undo it
    taken(bench, gateway)
    assert gateway.card(1).state == "stolen"
    provision(bench, "ab01", bytes(16))
    taken(bench, gateway)
    assert gateway.card(1).state == "stock"


def test_another_board_under_the_same_address_is_refused_whole(bench: Registry, gateway: Registry) -> None:
    gateway.add(address=2, **MADE, secret=bytes(16))
    before = state(gateway)
    with pytest.raises(RegistryError, match="node 2 is another board"):
        taken(bench, gateway)
    assert state(gateway) == before
    gateway.remove(2)
    assert taken(bench, gateway).added == 2


def test_an_asset_that_has_another_node_here_is_refused_whole(bench: Registry, gateway: Registry) -> None:
    gateway.add(address=9, **MADE, secret=bytes(16))
    inventory.bind(gateway, 9, Asset(asset="c0", site="harbour", role="lamp"))
    before = state(gateway)
    with pytest.raises(RegistryError, match="does not fit"):
        taken(bench, gateway)
    assert state(gateway) == before


def test_one_site_alone_and_nothing_unfinished_travels(bench: Registry, gateway: Registry) -> None:
    bench.add(address=500, site="hill", role="bin", board="pico_w", secret=bytes(16))
    provisioning.reserve(bench, unique_id="ab77", **MADE)
    assert taken(bench, gateway).added == 3
    other = exchange.export(bench, exchange.public_key(gateway), site="hill")
    assert other[1:] == (1, 1)


def test_a_key_pair_is_made_once_and_kept_sealed(bench: Registry) -> None:
    public = exchange.public_key(bench)
    bench.close()
    again = Registry(bench.path)
    assert exchange.public_key(again) == public
    (row,) = again.query("SELECT value FROM meta WHERE name='private key'")
    assert len(row[0]) == 12 + 32 + 16 and again.unseal_meta(row[0], "private key") not in again.path.read_bytes()


@pytest.mark.parametrize("text", ["", "kerbstone-public-key-1 AAAA bench", "kerbstone-public-key-1 é bench", "a b c"])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(RegistryError) as caught:
        envelope.read_public(text)
    assert caught.value.hint


def test_a_public_key_as_text(bench: Registry) -> None:
    public = exchange.public_key(bench)
    assert envelope.read_public(envelope.write_public(public, "bench")) == (public, "bench")
    with pytest.raises(RegistryError, match="not usable"):
        exchange.export(bench, bytes(32))  # a point of small order


def test_a_body_that_is_no_export_is_refused_without_showing_it(bench: Registry, gateway: Registry) -> None:
    private, receiver = X25519PrivateKey.generate(), exchange.public_key(gateway)
    good = {"address": 1, **MADE, "state": "stock", "epoch": 0, "unique_id": "ab", "settings": {}, "provisions": 1, "changed_ms": 1, "rekey_since_ms": None, "secret": "5e" * 16}  # fmt: skip
    bad: list[object] = [[], {}, {"v": 1}, {"v": 2}]
    for change in (
        {"address": 0},
        {"secret": "5e"},
        {"secret": "5e" * 15 + "zz"},
        {"state": "new"},
        {"epoch": "0"},
        {"site": None},
    ):
        bad.append({"v": 1, "nodes": [good | change], "assets": [], "bindings": []})
    for number, body in enumerate(bad):
        data = envelope.seal(private, receiver, number, json.dumps(body).encode())
        with pytest.raises(RegistryError) as caught:
            exchange.take(gateway, data, sender=envelope.public_of(private))
        assert "5e5e" not in f"{caught.value} {caught.value.hint} {caught.value.__cause__!r}" and len(gateway) == 0
    exchange.take(
        gateway,
        envelope.seal(
            private, receiver, 99, json.dumps({"v": 1, "nodes": [good], "assets": [], "bindings": []}).encode()
        ),
        sender=envelope.public_of(private),
    )
    assert len(gateway) == 1
