"""Node states: the table walked whole, what each state means for secrets, assets and frames, and the way from schema 1."""

import contextlib
import json
import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from kerbgate.errors import RegistryError
from kerbgate.registry import (
    HEARD,
    KEYED,
    STATES,
    TRANSITIONS,
    Asset,
    Registry,
    inventory,
    provisioning,
    schema,
    states,
)

UID = "e6614c311b7e6f35"
SECRET = bytes.fromhex("00112233445566778899aabbccddeeff")
EVENTS = {event for _, event in TRANSITIONS}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry.sqlite", create=True)


def column(name: str = "column 17", **facts: object) -> Asset:
    return Asset(**{"asset": name, "site": "harbour", "role": "lamp", "wattage_w": 40.0} | facts)  # type: ignore[arg-type]


def provision(registry: Registry, unique_id: str = UID, secret: bytes = SECRET, **options: object) -> int:
    made = {"site": "harbour", "role": "lamp", "board": "esp32_c3"}
    reservation = provisioning.reserve(registry, unique_id=unique_id, address=options.pop("address", None), **made)  # type: ignore[arg-type]
    provisioning.commit(registry, reservation, secret, settings={}, **made, **options)  # type: ignore[arg-type]
    return reservation.address


# How a node comes into each state, from nothing.
WAYS = {
    "pending": (),
    "stock": (states.PROVISION,),
    "bound": (states.PROVISION, states.BIND),
    "quarantined": (states.PROVISION, states.BIND, states.QUARANTINE),
    "returned": (states.PROVISION, states.RETURN),
    "retired": (states.PROVISION, states.RETIRE),
    "stolen": (states.PROVISION, states.STEAL),
}


def apply(registry: Registry, address: int, event: str) -> None:
    """An event as people cause it."""
    if event == states.PROVISION:
        provision(registry, address=address)
    elif event == states.BIND:
        inventory.bind(registry, address, column("column 18" if registry.card(address).asset else "column 17"))
    elif event == states.UNBIND:
        inventory.unbind(registry, address)
    else:
        registry.mark(address, event)


def brought_to(registry: Registry, state: str) -> int:
    made = {"site": "harbour", "role": "lamp", "board": "esp32_c3"}
    address = provisioning.reserve(registry, unique_id=UID, **made).address
    for event in WAYS[state]:
        apply(registry, address, event)
    assert registry.card(address).state == state
    return address


@pytest.mark.parametrize("event", sorted(EVENTS))
@pytest.mark.parametrize("state", STATES)
def test_every_state_takes_exactly_the_events_of_the_table(registry: Registry, state: str, event: str) -> None:
    address = brought_to(registry, state)
    before = registry.card(address)
    if (state, event) not in TRANSITIONS:
        with pytest.raises(RegistryError) as caught:
            apply(registry, address, event)
        assert (
            caught.value.hint and registry.card(address).state == state and registry.card(address).asset == before.asset
        )
        return
    apply(registry, address, event)
    card, node = registry.card(address), registry.get(address)
    expected = TRANSITIONS[state, event]
    if state == "quarantined" and event in (states.PROVISION, states.READMIT):
        expected = "bound"  # its asset was kept for it
    assert node is not None and card.state == node.state == expected
    assert bool(node.sealed) == (expected in KEYED)
    assert (card.asset is not None) == (expected == "bound" or (expected == "quarantined" and state == "bound"))


def test_the_table_names_every_state_and_only_states() -> None:
    assert {start for start, _ in TRANSITIONS} | set(TRANSITIONS.values()) == set(STATES)
    assert HEARD < KEYED < set(STATES) and set(WAYS) == set(STATES)
    assert not [row for row in TRANSITIONS if row[0] == states.RETIRED]


def test_leaving_the_keyed_states_removes_the_secret_from_the_file(registry: Registry) -> None:
    provision(registry)
    node = registry.get(1)
    assert node is not None and node.sealed in registry.path.read_bytes()
    registry.revoke(1)
    assert node.sealed not in registry.path.read_bytes()
    with pytest.raises(RegistryError, match="its secret is gone"):
        registry.secret(registry.get(1))  # type: ignore[arg-type]


def test_a_secret_that_is_replaced_is_not_left_in_the_file(registry: Registry) -> None:
    provision(registry)
    old = registry.get(1)
    assert provision(registry, secret=SECRET[::-1]) == 1
    new = registry.get(1)
    assert old is not None and new is not None and registry.secret(new) == SECRET[::-1]
    assert old.sealed not in registry.path.read_bytes() and new.sealed in registry.path.read_bytes()


def test_until_the_commit_nothing_has_changed(registry: Registry) -> None:
    made = {"site": "harbour", "role": "lamp", "board": "esp32_c3"}
    fresh = provisioning.reserve(registry, unique_id=UID, **made)
    assert registry.get(fresh.address) is None and registry.card(fresh.address).unfinished
    provisioning.commit(registry, fresh, SECRET, settings={"echoes": 9}, **made)
    before = registry.card(1)
    again = provisioning.reserve(registry, unique_id=UID, **made)
    node = registry.get(1)
    assert node is not None and node.state == "stock" and registry.secret(node) == SECRET
    assert registry.card(1).unfinished and registry.card(1).settings == {"echoes": 9}
    provisioning.release(registry, again)
    assert registry.card(1) == before
    with pytest.raises(RegistryError, match="meanwhile"):
        provisioning.commit(registry, again, bytes(16), settings={}, **made)
    assert registry.secret(node) == SECRET


def test_a_release_forgets_a_new_address_and_the_later_of_two_wins(registry: Registry) -> None:
    made = {"site": "harbour", "role": "lamp", "board": "esp32_c3"}
    one = provisioning.reserve(registry, unique_id=UID, **made)
    provisioning.release(registry, one)
    assert registry.cards() == []
    one = provisioning.reserve(registry, unique_id=UID, **made)
    other = provisioning.reserve(registry, unique_id="ab12", address=one.address, **made)
    with pytest.raises(RegistryError, match="meanwhile"):
        provisioning.commit(registry, one, SECRET, settings={}, **made)
    provisioning.commit(registry, other, SECRET, settings={}, **made)
    assert registry.card(other.address).unique_id == "ab12"


def test_addresses_are_given_once(registry: Registry) -> None:
    assert provision(registry) == 1
    assert provision(registry) == 1  # the same board
    assert provision(registry, unique_id="ab12") == 2
    with pytest.raises(RegistryError, match="another board is node 1") as caught:
        provision(registry, unique_id="ab13", address=1)
    assert "--replace 1" in caught.value.hint
    with pytest.raises(RegistryError, match="this board is node 1 already"):
        provision(registry, address=7)
    registry.mark(2, states.RETIRE)
    assert provision(registry, unique_id="ab12") == 3  # a retired node's board is a new node
    assert provision(registry, unique_id="ab14", address=65535) == 65535
    assert provision(registry, unique_id="ab15") == 4  # the lowest gap once the end is reached
    assert len(registry.cards()) == len({card.address for card in registry.cards()}) == 5


def test_a_board_whose_unique_id_is_not_known_is_known_by_its_identity(registry: Registry) -> None:
    registry.add(address=9, site="harbour", role="lamp", board="esp32_c3", secret=SECRET)
    made = {"site": "harbour", "role": "lamp", "board": "esp32_c3"}
    with pytest.raises(RegistryError, match="another board"):
        provisioning.reserve(registry, unique_id=UID, address=9, **made)
    with pytest.raises(RegistryError, match="another board"):
        provisioning.reserve(registry, unique_id=UID, address=9, claimed=8, **made)
    assert provisioning.reserve(registry, unique_id=UID, address=9, claimed=9, **made).address == 9


def test_a_replacement_keeps_the_asset_its_history_and_the_lamp_hours(registry: Registry) -> None:
    old = provision(registry, asset=column(), start_hours=1200)
    new = provision(registry, unique_id="ab12", asset=column(), replaces=old, secret=SECRET[::-1])
    assert registry.card(old).state == "returned" and registry.card(old).asset is None
    assert registry.card(new).state == "bound" and registry.card(new).asset == "column 17"
    first, second = inventory.history(registry, "column 17")
    assert (first.node, second.node) == (old, new) and first.until_ms is not None and second.until_ms is None
    assert first.since_ms <= first.until_ms and first.since_ms < second.since_ms
    assert (first.start_hours, second.start_hours) == (1200, 1200)
    third = provision(registry, unique_id="ab13", asset=column(), replaces=new, start_hours=0)  # a new luminaire
    assert [item.start_hours for item in inventory.history(registry, "column 17")] == [1200, 1200, 0]
    registry.revoke(third)
    assert registry.card(third).asset is None and len(inventory.history(registry, "column 17")) == 3


def test_an_asset_has_one_node_and_a_node_one_asset_of_its_own_kind(registry: Registry) -> None:
    one, two = provision(registry, asset=column()), provision(registry, unique_id="ab12")
    with pytest.raises(RegistryError, match="has node 1 already"):
        inventory.bind(registry, two, column())
    for wrong in (column("bin 4", role="bin", wattage_w=None), column("far", site="hill")):
        with pytest.raises(RegistryError, match="site") as caught:
            inventory.bind(registry, two, wrong)
        assert caught.value.hint
    assert registry.card(two).state == "stock"
    inventory.bind(registry, one, column("column 18"))
    assert [item.until_ms is None for item in inventory.history(registry, "column 17")] == [False]
    inventory.bind(registry, two, column())
    assert inventory.unbind(registry, two).state == "stock"


def test_a_failing_commit_changes_nothing(registry: Registry) -> None:
    one = provision(registry, asset=column())
    dump = list(registry._db.iterdump())
    made = {"site": "harbour", "role": "lamp", "board": "esp32_c3"}
    reservation = provisioning.reserve(registry, unique_id="ab12", **made)
    with pytest.raises(RegistryError, match=f"has node {one} already"):
        provisioning.commit(registry, reservation, SECRET, settings={}, asset=column(), **made)
    provisioning.release(registry, reservation)
    assert list(registry._db.iterdump()) == dump and registry.get(reservation.address) is None


def test_a_round_of_new_secrets_goes_on_until_all_have_theirs(registry: Registry) -> None:
    boards = {provision(registry, unique_id=f"ab{i}", asset=column(f"c{i}")): f"ab{i}" for i in range(3)}
    gone = provision(registry, unique_id="ab99")
    registry.revoke(gone)
    waiting = provisioning.begin_rekey(registry, "harbour", quarantine=True)
    assert [card.address for card in waiting] == list(boards)
    assert {card.state for card in waiting} == {"quarantined"}
    first = next(iter(boards))
    provision(registry, unique_id=boards[first], secret=SECRET[::-1])
    assert registry.card(first).state == "bound" and registry.card(first).rekey_since_ms is None
    again = provisioning.begin_rekey(registry, "harbour")  # the same round: who is done is not asked again
    assert [card.address for card in again] == list(boards)[1:]
    with pytest.raises(RegistryError, match="no node with a secret"):
        provisioning.begin_rekey(registry, "hill")


@pytest.mark.parametrize(
    "facts",
    [
        {"asset": ""}, {"asset": "a\nb"}, {"asset": "x" * 65}, {"site": "Harbour"}, {"role": "cat"}, {"latitude": 51.0},
        {"latitude": 91.0, "longitude": 0.0}, {"latitude": 51.0, "longitude": 181.0}, {"latitude": float("nan"), "longitude": 0.0},
        {"usrn": "123456789"}, {"usrn": "12a"}, {"supply": "solar"}, {"wattage_w": 0.0}, {"wattage_w": 2001.0},
        {"luminaire": "x" * 65}, {"luminaire": "a\x1b[2J"}, {"role": "bin"},
    ],
)  # fmt: skip
def test_what_cannot_be_an_asset_is_refused(registry: Registry, facts: dict[str, object]) -> None:
    with pytest.raises(RegistryError) as caught:
        inventory.take(registry, [column("good"), column(**facts)])  # type: ignore[arg-type]
    assert caught.value.hint and inventory.assets(registry) == []


def test_a_whole_inventory_takes_assets_out_and_keeps_their_history(registry: Registry) -> None:
    listed = [column(f"c{i}", inventory=True) for i in range(3)]
    far = column("h1", site="hill", inventory=True)
    assert inventory.take(registry, [*listed, far]) == (4, 0)
    assert inventory.take(registry, [column("c0", inventory=True, wattage_w=20.0), listed[1]]) == (0, 1)
    provision(registry, asset=inventory.asset(registry, "c2"))
    assert inventory.take(registry, listed[:2], whole=True) == (0, 1)
    assert {item.asset: item.inventory for item in inventory.assets(registry)} == {
        "c0": True, "c1": True, "c2": False, "h1": True,
    }  # fmt: skip
    assert inventory.history(registry, "c2")[0].node == 1
    with pytest.raises(RegistryError, match="has a node as lamp"):
        inventory.take(registry, [column("c2", role="bin", wattage_w=None)])


# Schema 1, as its own code wrote it.

FROZEN = json.loads((Path(__file__).parent / "registry_schema_1.json").read_text())


def thaw(folder: Path) -> Path:
    path = folder / "registry.sqlite"
    with sqlite3.connect(path) as db:
        db.executescript("\n".join(FROZEN["sql"]) + f"PRAGMA user_version={FROZEN['user_version']};")
    db.close()
    key = folder / "registry.key"
    key.write_bytes(bytes.fromhex(FROZEN["key_hex"]))
    key.chmod(0o600)
    return path


def test_a_registry_of_schema_1_is_brought_up(tmp_path: Path) -> None:
    path = thaw(tmp_path)
    for _ in range(2):  # and again, when nothing is left to do
        registry = Registry(path)
        assert {node.address: (node.role, node.state, node.epoch) for node in registry.list()} == {
            1: ("bin", "stock", 1), 417: ("bin", "stock", 1), 9000: ("lamp", "quarantined", 0), 65535: ("lamp", "stock", 3),
        }  # fmt: skip
        for node in registry.list():
            assert registry.secret(node) == random.Random(node.address).randbytes(16)
        assert registry._db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        card = registry.card(417)
        assert (card.unique_id, card.settings, card.asset, card.unfinished) == (None, {}, None, False)
        registry.close()
    registry = Registry(path)
    assert registry.mark(9000, states.READMIT).state == "stock"
    registry.close()


def test_a_registry_of_schema_2_gets_feeders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "registry.sqlite"
    with monkeypatch.context() as before:
        before.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:2])
        before.setattr(schema, "VERSION", 2)
        with contextlib.closing(Registry(path, create=True)) as registry:
            registry._db.execute(
                "INSERT INTO asset (asset, site, role, supply, inventory) VALUES ('c1', 'harbour', 'lamp', 'switched', 1)"
            )
    with contextlib.closing(Registry(path)) as registry:
        place = inventory.asset(registry, "c1")
        assert (place.supply, place.feeder) == ("switched", None)
        inventory.take(registry, [replace(place, feeder="Quay 3/L2")])
        assert inventory.asset(registry, "c1").feeder == "Quay 3/L2"
        for wrong in (replace(place, feeder="a\nb"), replace(place, feeder="F1", role="bin", supply=None)):
            with pytest.raises(RegistryError):
                inventory.take(registry, [wrong])


def test_a_migration_that_is_cut_leaves_schema_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = thaw(tmp_path)
    broken = (schema.MIGRATIONS[0], (*schema.MIGRATIONS[1][:-1], "CREATE NONSENSE"), *schema.MIGRATIONS[2:])
    monkeypatch.setattr(schema, "MIGRATIONS", broken)
    with pytest.raises(RegistryError):
        Registry(path)
    monkeypatch.undo()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (1,)
        assert db.execute("SELECT state FROM node WHERE address=1").fetchone() == ("active",)
    db.close()
    Registry(path).close()


def test_a_later_version_is_left_alone(tmp_path: Path, registry: Registry) -> None:
    registry.close()
    with sqlite3.connect(registry.path) as db:
        db.execute(f"PRAGMA user_version={schema.VERSION + 1}")
    db.close()
    with pytest.raises(RegistryError, match="later version"):
        Registry(registry.path)
