"""The MQTT outlet: its URL and files, what a broker refuses or drops, and brokers that speak MQTT 3.1.1 only."""

import asyncio
from pathlib import Path

import pytest
from forward_harness import OldBroker, Running, a_broker, fill, waiting
from gateway_harness import DEADLINE_S, SITE, START, Broker, Council, until

from kerbgate import status
from kerbgate.brokers import read_credentials
from kerbgate.config import OutletSettings
from kerbgate.errors import BrokerError
from kerbgate.outlets import check_url
from kerbgate.outlets.mqtt import MqttOutlet


@pytest.mark.parametrize(
    "url",
    ["mqtt:host", "http://host", "mqtt://user:word@host", "mqtt://host/topic", "mqtt://host:99999", "mqtt://", ""],
)
def test_a_url_that_is_not_understood_is_an_error(url: str) -> None:
    with pytest.raises(BrokerError) as caught:
        check_url(url)
    assert "mqtt://host:1883" in caught.value.hint and "word" not in caught.value.cause


def test_credentials_come_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("kerb:se:cret\n")
    path.chmod(0o644)
    with pytest.raises(BrokerError, match="read by others"):
        read_credentials(path)
    path.chmod(0o600)
    assert read_credentials(path) == ("kerb", "se:cret")
    for bad in ("", "user", ":x", "a:b\nc:d"):
        path.write_text(bad)
        with pytest.raises(BrokerError) as caught:
            read_credentials(path)
        assert caught.value.cause.endswith("is not one line user:password")
    with pytest.raises(BrokerError):
        MqttOutlet(OutletSettings("c", "mqtt://h", credentials=tmp_path / "none"), "id")


def _says(running: Running, *words: str) -> bool:
    error = running.pump.last_error or ""
    return all(word in error for word in words)


def test_a_document_that_an_access_list_denies_is_kept(tmp_path: Path) -> None:
    """A broker acknowledges it all the same, and drops it: only the reason code of MQTT 5 tells."""
    rules = tmp_path / "acl"
    rules.write_text("topic read #\n")
    # With no bound on what is under way, mosquitto 2.0.11 ends the connection after a denied document.
    with a_broker(tmp_path / "broker", f"acl_file {rules}", "max_inflight_messages 20") as broker:
        fill(tmp_path, reports=2)
        running = Running(tmp_path, broker.port)
        try:
            # Mosquitto may also end the connection, and say less; so it may take more than one.
            words = "refused a document: Not authorized (0x87)"
            advice = f"write to kerbstone/1/{SITE}/1/readings"
            until(lambda: _says(running, words, advice), "the refusal is noticed")
            assert waiting(running) == 6 and running.pump.delivered == 0 and running.pump.set_aside == 0
        finally:
            running.close()


def test_that_nobody_has_subscribed_is_a_warning(tmp_path: Path, broker: Broker) -> None:
    fill(tmp_path, reports=1)
    running = Running(tmp_path, broker.port)
    try:
        until(lambda: waiting(running) == 0, "delivered")
        assert "nobody has subscribed" in running.pump.warning
        assert "WARNING: nobody has subscribed" in status.plain(status.collect(running.gateway), START)
    finally:
        running.close()


def test_no_more_is_under_way_than_the_broker_takes_at_once(tmp_path: Path) -> None:
    async def main(port: int) -> None:
        outlet = MqttOutlet(OutletSettings("council", f"mqtt://127.0.0.1:{port}", window=500), "id")
        async with outlet.connect() as link:
            assert link._connection.window == 2  # type: ignore[attr-defined]
            await asyncio.gather(*[link.publish("kerbstone/1/a", b"{}") for _ in range(50)])

    with a_broker(tmp_path / "broker", "max_inflight_messages 2") as broker:
        asyncio.run(main(broker.port))


def test_a_broker_of_mqtt_3_gets_mqtt_3_and_status_says_what_that_means(tmp_path: Path) -> None:
    with a_broker(tmp_path / "broker") as broker, OldBroker(broker.port) as old:
        ids = fill(tmp_path, reports=2)
        council = Council(broker.port)
        assert council.subscribed.wait(DEADLINE_S)
        running = Running(tmp_path, old.port)
        try:
            until(lambda: council.records.keys() == ids, "everything is at the council")
            assert old.versions == [5, 4] and running.pump.failed == 0
            assert "does not speak MQTT 5" in running.pump.warning
        finally:
            running.close()
            council.close()
