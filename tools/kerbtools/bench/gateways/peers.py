"""The peers: gateways that a council would pick today, each set up as its own manual says, and durably."""

import contextlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from kerbtools.bench.gateways import least
from kerbtools.bench.gateways.brokers import Absent
from kerbtools.bench.gateways.load import Publisher
from kerbtools.bench.gateways.process import Process
from kerbtools.bench.gateways.subjects import NODES, Message, Sends
from kerbtools.demo.broker import find_mosquitto, free_port


class Json:
    """What they are all fed: the 96-byte JSON reading with a sequence number that thousands of their users send."""

    records = 1

    def __init__(self, folder: Path, field_port: int, council_port: int):
        self.folder = folder
        self.field_port = field_port
        self.council_port = council_port
        self._first = self._made = 0
        folder.mkdir()

    def sender(self) -> Sends:
        return Publisher(self.field_port, "nodes")

    async def introduce(self, sender: Sends, deadline_s: float) -> None:
        """They know no nodes."""

    def hearing(self) -> AbstractAsyncContextManager[None]:
        return contextlib.nullcontext()

    async def settle(self, sender: Sends, deadline_s: float) -> None:
        """The publisher has waited for each acknowledgement."""

    def answer(self, topic: str, payload: bytes) -> Message | None:
        """What the council's server says to a message of the gateway that is no reading."""
        return None

    def messages(self, count: int) -> list[Message]:
        first, self._made = self._made, self._made + count
        return [self._message(number) for number in range(first, first + count)]

    def forget(self) -> None:
        self._first = self._made

    def close(self) -> None:
        pass

    @staticmethod
    def _message(number: int) -> Message:
        node = number % NODES + 1
        payload = (
            f'{{"device":"node-{node:04d}","seq":{number},"fill":{number % 101},'
            f'"temperature":{15 + number % 20 / 2},"battery":3.58,"ts":{1_772_323_200_000 + number}}}'
        )
        return f"data/node-{node:04d}", payload.encode()

    def expected(self) -> set[str]:
        return {str(number) for number in range(self._first, self._made)}

    def order(self, ident: str) -> tuple[int, ...]:
        return (int(ident),)


class Bridge(Json):
    """The floor: mosquitto's own bridge, which understands nothing and forwards bytes."""

    name = "mosquitto bridge, saved at each change"
    acknowledges = "PUBACK on arrival, state saved at each change"
    commits = "a whole file at each change, not synced"

    def prepare(self) -> Process:
        program = find_mosquitto()
        if program is None:
            raise Absent("mosquitto is not installed: apt-get install mosquitto")
        # The bridge is a broker itself: it is the nodes' broker of its row, and the field broker stays unused.
        self.field_port = free_port()
        (self.folder / "bridge.conf").write_text(
            ("user root\n" if os.geteuid() == 0 else "")  # started by root it would become one who cannot write here
            + f"listener {self.field_port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_on_changes true\nautosave_interval 1\n"
            "max_queued_messages 0\nmax_inflight_messages 200\n"
            f"connection council\naddress 127.0.0.1:{self.council_port}\ntopic data/# out 1\n"
            "cleansession false\nnotifications false\nrestart_timeout 1\n"
        )
        return Process(self.name, self.folder, [program, "-c", "bridge.conf"])

    def ids(self, document: bytes) -> list[str]:
        return [str(json.loads(document)["seq"])]


class Least(Json):
    """A yardstick: the least that Python can do of what ours does (kerbtools.bench.gateways.least)."""

    name = "the least in Python"
    acknowledges = "PUBACK after the commit (FULL)"
    commits = "one row a message, many a commit"

    def prepare(self) -> Process:
        self._key = os.urandom(16)
        self._cipher = AESCCM(self._key, tag_length=least.TAG_SIZE)
        ports = (str(self.field_port), str(self.council_port))
        command = [sys.executable, "-m", least.__name__, *ports, "queue.sqlite", self._key.hex()]
        return Process(self.name, self.folder, command)

    def messages(self, count: int) -> list[Message]:
        return [(topic, self._seal(topic, payload)) for topic, payload in super().messages(count)]

    def _seal(self, topic: str, payload: bytes) -> bytes:
        nonce = os.urandom(least.NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, payload, topic.encode())

    def ids(self, document: bytes) -> list[str]:
        return [str(json.loads(document)["seq"])]


class ThingsBoard(Json):
    """thingsboard-gateway with its SQLite storage, no rate limits, and a persistent session at the nodes' broker."""

    name = "thingsboard-gateway, SQLite"
    acknowledges = "PUBACK on arrival, before anything is stored"
    commits = "one row a message, as its storage thread sees fit"

    def prepare(self) -> Process:
        program = _peer("thingsboard-gateway", "pip install thingsboard-gateway==3.8.5 into an environment of its own")
        source = next(iter(program.parent.parent.glob("lib/python*/site-packages/thingsboard_gateway/config")), None)
        if source is None:
            raise Absent(f"{program} has no configuration beside it: install thingsboard-gateway==3.8.5 by pip")
        config = self.folder / "config"
        config.mkdir()
        (self.folder / "data").mkdir()
        (self.folder / "logs").mkdir()
        table: dict[str, Any] = json.loads((source / "tb_gateway.json").read_text())
        uplink = table["thingsboard"]
        uplink |= {
            "host": "127.0.0.1", "port": self.council_port, "remoteConfiguration": False,
            "statistics": {"enable": False}, "security": {"type": "accessToken", "accessToken": "bench"},
        }  # fmt: skip
        for name in list(uplink):
            if name.endswith("RateLimits") or name == "rateLimits":
                uplink[name] = "0:0,"
        table["storage"] = {"type": "sqlite", "data_file_path": "./data/", "max_read_records_count": 1000}
        table["connectors"] = [{"type": "mqtt", "name": "nodes", "configuration": "mqtt.json"}]
        (config / "tb_gateway.json").write_text(json.dumps(table))
        values = [("integer", "seq"), ("integer", "fill"), ("double", "temperature"), ("double", "battery")]
        mapping = {
            "topicFilter": "data/+", "subscriptionQos": 1,
            "converter": {
                "type": "json",
                "deviceInfo": {
                    "deviceNameExpressionSource": "message", "deviceNameExpression": "${device}",
                    "deviceProfileExpressionSource": "constant", "deviceProfileExpression": "default",
                },
                "sendDataOnlyOnChange": False, "timeout": 60000, "attributes": [],
                "timeseries": [{"type": kind, "key": key, "value": f"${{{key}}}"} for kind, key in values],
            },
        }  # fmt: skip
        broker = {
            "host": "127.0.0.1", "port": self.field_port, "clientId": "gateway", "version": 5,
            "maxMessageNumberPerWorker": 10, "maxNumberOfWorkers": 100,
            "cleanSession": False, "cleanStart": False, "sessionExpiryInterval": 86400,
            "security": {"type": "anonymous"},
        }  # fmt: skip
        (config / "mqtt.json").write_text(json.dumps({"broker": broker, "mapping": [mapping], "requestsMapping": {}}))
        logs = (source / "logs.json").read_text().replace('"INFO"', '"ERROR"')
        (config / "logs.json").write_text(logs)
        command = [str(program.parent / "python"), "-c", "from thingsboard_gateway.tb_gateway import main; main()"]
        return Process(self.name, self.folder, command, {"TB_GW_CONFIG_DIR": str(config)})

    def answer(self, topic: str, payload: bytes) -> Message | None:
        """It sends nothing until a ThingsBoard server has told it its limits: none."""
        if not topic.startswith("v1/devices/me/rpc/request/"):
            return None
        limits: dict[str, object] = {
            "maxPayloadSize": 65536,
            "maxInflightMessages": 0,
            "rateLimits": {},
            "gatewayRateLimits": {},
        }
        return topic.replace("request", "response"), json.dumps(limits).encode()

    def ids(self, document: bytes) -> list[str]:
        return re.findall(r'"seq": ?(\d+)', document.decode())


class NodeRed(Json):
    """Node-RED with a queue in SQLite: one insert a reading, published in batches, deleted when acknowledged."""

    name = "Node-RED, SQLite queue"
    acknowledges = "PUBACK on arrival, before it is stored"
    commits = "one row a message, a commit each (FULL)"
    gathers = False

    def prepare(self) -> Process:
        program = _peer("node-red", "npm install node-red@4.1 node-red-node-sqlite@1.1 into a folder of its own")
        modules = next(parent for parent in program.parents if parent.name == "node_modules")
        if not (modules / "node-red-node-sqlite").is_dir():
            raise Absent(f"node-red-node-sqlite is not in {modules}: npm install node-red-node-sqlite@1.1 there")
        (self.folder / "node_modules").symlink_to(modules)
        (self.folder / "package.json").write_text(
            '{"name":"bench","version":"1.0.0","dependencies":{"node-red-node-sqlite":"*"}}'
        )
        (self.folder / "settings.js").write_text(
            f"module.exports={{uiPort:{free_port()},uiHost:'127.0.0.1',httpAdminRoot:false,httpNodeRoot:false,"
            "flowFile:'flows.json',logging:{console:{level:'warn'}},telemetry:{enabled:false}}"
        )
        (self.folder / "flows.json").write_text(json.dumps(list(self._flow())))
        command = ["node", str(program.resolve()), "--userDir", ".", "--settings", "settings.js"]
        return Process(self.name, self.folder, command)

    def ids(self, document: bytes) -> list[str]:
        return [str(json.loads(document)["seq"])]

    def _flow(self) -> Iterator[dict[str, Any]]:
        def node(ident: str, kind: str, *wires: str, **rest: Any) -> dict[str, Any]:
            return {"id": ident, "type": kind, "z": "flow", "x": 0, "y": 0, "wires": [list(wires)], **rest}

        def broker(ident: str, port: int, client: str) -> dict[str, Any]:
            return {
                "id": ident, "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": client,
                "autoConnect": True, "usetls": False, "protocolVersion": "4", "keepalive": "15",
                "cleansession": False,
            }  # fmt: skip

        yield {"id": "flow", "type": "tab", "label": "bench", "disabled": False}
        yield broker("nodes", self.field_port, "gateway-in")
        yield broker("council", self.council_port, "gateway-out")
        yield {"id": "db", "type": "sqlitedb", "db": str(self.folder / "queue.sqlite"), "mode": "RWC"}
        ahead = {"once": True, "crontab": "", "props": [{"p": "payload"}]}
        yield node("boot", "inject", "schema", onceDelay="0", repeat="", **ahead)
        yield node("schema", "function", "create", outputs=1, func=(
            "msg.topic='PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;"
            "CREATE TABLE IF NOT EXISTS queue (id INTEGER PRIMARY KEY, topic TEXT, payload TEXT)';"
            "return msg;"))  # fmt: skip
        yield node("create", "sqlite", mydb="db", sqlquery="batch", sql="")
        yield node("in", "mqtt in", "keep", topic="data/#", qos="1", datatype="utf8", broker="nodes")
        if self.gathers:  # every 50 ms what came is inserted in one statement, whatever the uplink does
            yield node("keep", "function", outputs=0, func=(
                "const q=s=>\"'\"+s.replace(/'/g,\"''\")+\"'\";const b=flow.get('new')||[];"
                "b.push('('+q(msg.topic)+','+q(msg.payload)+')');flow.set('new',b);"))  # fmt: skip
            yield node("store", "function", "insert", outputs=1, func=(
                "const b=flow.get('new')||[];if(!b.length)return null;flow.set('new',[]);"
                "msg.topic='INSERT INTO queue (topic,payload) VALUES '+b.join(',');return msg;"))  # fmt: skip
            yield node("insert", "sqlite", mydb="db", sqlquery="batch", sql="")
        else:
            yield node("keep", "function", "insert", outputs=1, func=(
                "msg.params={$topic:msg.topic,$payload:msg.payload};return msg;"))  # fmt: skip
            insert = "INSERT INTO queue (topic,payload) VALUES ($topic,$payload)"
            yield node("insert", "sqlite", mydb="db", sqlquery="prepared", sql=insert)
        also = ("store",) if self.gathers else ()
        yield node("tick", "inject", *also, "idle", onceDelay="1", repeat="0.05", **ahead)
        # One round at a time: the oldest are read, sent, and deleted when acknowledged. A round that is not over in
        # 10 s is begun again, so that a silent broker does not end the flow.
        yield node("idle", "function", "read", outputs=1, func=(
            "const since=flow.get('since')||0;if(since&&Date.now()-since<10000)return null;"
            "flow.set('since',Date.now());return msg;"))  # fmt: skip
        yield node(
            "read", "sqlite", "send", mydb="db", sqlquery="fixed", sql="SELECT * FROM queue ORDER BY id LIMIT 1000"
        )
        yield node("send", "function", "out", outputs=1, func=(
            "const rows=msg.payload;if(!rows.length){flow.set('since',0);return null;}"
            "flow.set('left',rows.length);flow.set('done',[]);"
            "return [rows.map(r=>({topic:r.topic,payload:r.payload,qos:1,row:r.id}))];"))  # fmt: skip
        yield node("out", "mqtt out", topic="", qos="1", broker="council")
        yield node("sent", "complete", "collect", scope=["out"])
        yield node("collect", "function", "delete", outputs=1, func=(
            "const done=flow.get('done');done.push(msg.row);if(done.length<flow.get('left'))return null;"
            "return {topic:'DELETE FROM queue WHERE id IN ('+done.join(',')+')'};"))  # fmt: skip
        yield node("delete", "sqlite", "next", mydb="db", sqlquery="batch", sql="")
        yield node("next", "function", "idle", outputs=1, func="flow.set('since',0);return msg;")


class NodeRedGathered(NodeRed):
    """The same, its inserts gathered: what somebody makes of it who knows what a commit costs."""

    name = "Node-RED, inserts gathered for 50 ms"
    acknowledges = "PUBACK on arrival, up to 50 ms before it is stored"
    commits = "one row a message, a commit each 50 ms (FULL)"
    gathers = True


def _peer(program: str, how: str) -> Path:
    """A peer's program: on the PATH, or in the folder that KERB_PEERS names (bin of an environment, node_modules)."""
    places = [Path(place) for place in os.environ.get("KERB_PEERS", "").split(os.pathsep) if place]
    for place in places:
        for candidate in (place / "bin" / program, place / "node_modules" / program / "red.js"):
            if candidate.exists():
                return candidate
    found = shutil.which(program)
    if found is None:
        raise Absent(f"{program} is not installed: {how}, and name the folder in KERB_PEERS")
    return Path(found).resolve() if program == "node-red" else Path(found)
