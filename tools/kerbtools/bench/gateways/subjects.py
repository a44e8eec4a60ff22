"""The gateways that are compared. Each is a process between two brokers, set up as its own manual says, and durably.

A subject says what it is fed (topic and payload of a message), how it acknowledges, and which ids a document carries.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerbgate.registry import Registry
from kerbtools.bench.gateways.brokers import Absent
from kerbtools.demo.broker import find_mosquitto, free_port
from kerbtools.simulate import SimulatedNode
from kerbwire import frame

NODES = 1000
SITE = "bench"
START = 1_772_323_200  # 2026-03-01T00:00:00Z
STOP_TIMEOUT_S = 10.0

Message = tuple[str, bytes]


class Subject:
    """One gateway. `environment` variable or folder names say where a peer is installed; Absent if it is not."""

    name = ""
    acknowledges = ""  # when it tells the sender that a reading is safe
    records = 1  # readings a message

    def __init__(self, folder: Path, field_port: int, council_port: int):
        self.folder = folder
        self.field_port = field_port
        self.council_port = council_port
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir()

    def prepare(self) -> None:
        """Write its configuration. Absent."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def messages(self, count: int) -> list[Message]:
        """The next `count` messages of its nodes: no reading comes twice from one subject."""
        raise NotImplementedError

    def expected(self) -> set[str]:
        """The ids of all readings that `messages` has made."""
        raise NotImplementedError

    def ids(self, document: bytes) -> list[str]:
        """The readings in one document at the council, by id."""
        raise NotImplementedError

    def greet(self) -> list[Message]:
        """What its nodes say before their first reading; `hear` gets the answers. Empty: nothing (more)."""
        return []

    def hear(self, messages: list[bytes]) -> None:
        """What the gateway sent down."""

    def answer(self, topic: str, payload: bytes) -> Message | None:
        """What the council's server says to a message of the gateway that is no reading."""
        return None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                env=os.environ | self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to it and its children."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def check(self) -> None:
        """RuntimeError if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{self.name} ended: {(self.folder / 'log').read_text(errors='replace')[-500:]}")

    # What the kernel counts of it and its children.

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        ticks = 0
        for pid in self._pids():
            fields = _proc(pid, "stat").rpartition(")")[2].split()
            if fields:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float:
        """The largest resident memory so far, of all its processes, MB."""
        peaks = (re.search(r"VmHWM:\s+(\d+)", _proc(pid, "status")) for pid in self._pids())
        return sum(int(peak[1]) for peak in peaks if peak) / 1000

    def written_mb(self) -> float:
        """What it gave to the disk so far, MB (the kernel's write_bytes)."""
        counts = (re.search(r"^write_bytes: (\d+)", _proc(pid, "io"), re.M) for pid in self._pids())
        return sum(int(count[1]) for count in counts if count) / 1e6

    def _pids(self) -> list[int]:
        if self._process is None:
            return []
        found: list[int] = []
        new = [self._process.pid]
        while new:
            found += new
            new = [int(child) for pid in new for child in _proc(pid, f"task/{pid}/children").split()]
        return found


class Ours(Subject):
    """Kerbstone: sealed frames in, documents out."""

    name = "kerbstone"
    acknowledges = "PUBACK and sealed ack after the commit (FULL)"

    def __init__(self, folder: Path, field_port: int, council_port: int, *, records: int = 1):
        super().__init__(folder, field_port, council_port)
        self.records = records
        self.name = f"kerbstone, {records} a message" if records > 1 else "kerbstone"
        self._turn = 0
        self._base: dict[int, str] = {}

    def prepare(self) -> None:
        state = self.folder / "state"
        state.mkdir(mode=0o700)
        registry = Registry(state / "registry.sqlite", create=True)
        self._nodes: list[SimulatedNode] = []
        for address in range(1, NODES + 1):
            secret = os.urandom(16)
            registry.add(address=address, site=SITE, role="bin", board="simulated", secret=secret)
            node = SimulatedNode(address, secret, seed=address, batch=self.records)
            self._nodes.append(node)
            self._base[address] = f"{SITE}/{address}/{node.life.hex()}/"
        registry.close()
        (self.folder / "gateway.toml").write_text(
            f'[gateway]\nsite = "{SITE}"\nstate = "state"\n[clock]\nsource = "trusted"\n'
            f'[[inlet]]\nurl = "mqtt://127.0.0.1:{self.field_port}/{SITE}"\n'
            f'[[outlet]]\nname = "council"\nurl = "mqtt://127.0.0.1:{self.council_port}"\nwindow = 200\n'
        )

    def command(self) -> list[str]:
        return [sys.executable, "-m", "kerbgate", "run", "--config", "gateway.toml"]

    def greet(self) -> list[Message]:
        return [self._message(node, node.next_frame()) for node in self._nodes if not node.confirmed]

    def hear(self, messages: list[bytes]) -> None:
        for data in messages:
            self._nodes[frame.parse(data).node - 1].feed(data)

    def messages(self, count: int) -> list[Message]:
        made: list[Message] = []
        while len(made) < count:
            node = self._nodes[self._turn % NODES]
            node.take(self.records, START + self._turn // NODES * 3600 * self.records)
            made.append(self._message(node, node.stream()))
            self._turn += 1
        return made

    def expected(self) -> set[str]:
        return {f"{self._base[node.address]}{index}" for node in self._nodes for index in node.taken}

    def ids(self, document: bytes) -> list[str]:
        return [record["id"] for record in json.loads(document)["records"]]

    @staticmethod
    def _message(node: SimulatedNode, data: bytes | None) -> Message:
        if data is None:
            raise RuntimeError(f"node {node.address} has nothing to say")
        return f"kerb/1/{SITE}/up/{node.address}", data


class _JsonSubject(Subject):
    """A peer: fed the 96-byte JSON reading with a sequence number that thousands of its users send."""

    def __init__(self, folder: Path, field_port: int, council_port: int):
        super().__init__(folder, field_port, council_port)
        self._made = 0

    def messages(self, count: int) -> list[Message]:
        first, self._made = self._made, self._made + count
        return [self._message(number) for number in range(first, first + count)]

    @staticmethod
    def _message(number: int) -> Message:
        node = number % NODES + 1
        payload = (
            f'{{"device":"node-{node:04d}","seq":{number},"fill":{number % 101},'
            f'"temperature":{15 + number % 20 / 2},"battery":3.58,"ts":{1_772_323_200_000 + number}}}'
        )
        return f"data/node-{node:04d}", payload.encode()

    def expected(self) -> set[str]:
        return {str(number) for number in range(self._made)}


class Bridge(_JsonSubject):
    """The floor: mosquitto's own bridge, which understands nothing and forwards bytes."""

    name = "mosquitto bridge, saved at each change"
    acknowledges = "PUBACK on arrival, state saved at each change"

    def prepare(self) -> None:
        if find_mosquitto() is None:
            raise Absent("mosquitto is not installed: apt-get install mosquitto")
        # The bridge is a broker itself: it is the nodes' broker of its row, and the field broker stays unused.
        self.field_port = free_port()
        self.folder.chmod(0o777)
        (self.folder / "bridge.conf").write_text(
            f"listener {self.field_port} 127.0.0.1\nallow_anonymous true\npersistence true\n"
            f"persistence_location {self.folder}/\nautosave_on_changes true\nautosave_interval 1\n"
            "max_queued_messages 0\nmax_inflight_messages 200\n"
            f"connection council\naddress 127.0.0.1:{self.council_port}\ntopic data/# out 1\n"
            "cleansession false\nnotifications false\nrestart_timeout 1\n"
        )

    def command(self) -> list[str]:
        return [find_mosquitto() or "mosquitto", "-c", "bridge.conf"]

    def ids(self, document: bytes) -> list[str]:
        return [str(json.loads(document)["seq"])]


class ThingsBoard(_JsonSubject):
    """thingsboard-gateway with its SQLite storage, no rate limits, and a persistent session at the nodes' broker."""

    name = "thingsboard-gateway, SQLite"
    acknowledges = "PUBACK on arrival, before anything is stored"

    def prepare(self) -> None:
        program = _peer("thingsboard-gateway", "pip install thingsboard-gateway==3.8.5 into an environment of its own")
        self._program = program
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

    def command(self) -> list[str]:
        python = self._program.parent / "python"
        return [str(python), "-c", "from thingsboard_gateway.tb_gateway import main; main()"]

    def environment(self) -> dict[str, str]:
        return {"TB_GW_CONFIG_DIR": str(self.folder / "config")}

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


class NodeRed(_JsonSubject):
    """Node-RED with a queue in SQLite: stored on arrival, published in batches, deleted when acknowledged."""

    name = "Node-RED, SQLite queue"
    acknowledges = "PUBACK on arrival, before it is stored"

    def prepare(self) -> None:
        self._program = _peer("node-red", "npm install node-red@4.1 node-red-node-sqlite@1.1 into a folder of its own")
        modules = next(parent for parent in self._program.parents if parent.name == "node_modules")
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

    def command(self) -> list[str]:
        return ["node", str(self._program.resolve()), "--userDir", ".", "--settings", "settings.js"]

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
        yield node("keep", "function", outputs=0, func=(
            "const q=s=>\"'\"+s.replace(/'/g,\"''\")+\"'\";const b=flow.get('new')||[];"
            "b.push('('+q(msg.topic)+','+q(msg.payload)+')');flow.set('new',b);"))  # fmt: skip
        yield node("tick", "inject", "idle", onceDelay="1", repeat="0.05", **ahead)
        # One round at a time: what came is inserted, the oldest are read, sent, and deleted when acknowledged.
        # A round that is not over in 10 s is begun again, so that a silent broker does not end the flow.
        yield node("idle", "function", "insert", outputs=1, func=(
            "const since=flow.get('since')||0;if(since&&Date.now()-since<10000)return null;"
            "flow.set('since',Date.now());const b=flow.get('new')||[];flow.set('new',[]);"
            "msg.topic=b.length?'INSERT INTO queue (topic,payload) VALUES '+b.join(','):'SELECT 1';"
            "return msg;"))  # fmt: skip
        yield node("insert", "sqlite", "read", mydb="db", sqlquery="batch", sql="")
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


def _proc(pid: int, name: str) -> str:
    """A file of the kernel's on a process; empty once that is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
