"""Wi-Fi with each port's own states, its faults, and MQTT from an emulated board to a real broker on loopback."""

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import paho.mqtt.client as paho
import pytest

JOIN = """
import network, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
print("idle", wlan.status(), wlan.isconnected(), wlan.ifconfig()[0])
wlan.connect("street", "%s")
seen = []
for _ in range(100):
    status = wlan.status()
    if not seen or seen[-1] != status:
        seen.append(status)
    time.sleep_ms(100)
print("seen", seen, wlan.isconnected(), wlan.ifconfig()[0], wlan.status("rssi"))
"""


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("esp32_c3", {"joined": [1001, 1010], "wrong": [1001, 202], "absent": [1001, 201], "idle": 1000}),
        ("pico_w", {"joined": [1, 3], "wrong": [1, -3], "absent": [1, -2], "idle": 0}),
    ],
)
def test_joining_shows_each_ports_own_states(emulated_board, world, name, states):
    point = world.air.add_access_point("street", "secret")
    for case, password in (("joined", "secret"), ("wrong", "guess"), ("absent", "secret")):
        point.present = case != "absent"
        board = emulated_board(name, files={"main.py": (JOIN % password).encode()}, name=f"{name}-{case}")
        board.start()
        world.advance(15)
        assert board.console[0] == f"idle {states['idle']} False 0.0.0.0"
        address, rssi = ("192.168.4.2", -61) if case == "joined" else ("0.0.0.0", 0 if case == "absent" else -61)
        assert board.console[1] == f"seen {states[case]} {case == 'joined'} {address} {rssi}"


SCAN = """
import network
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
print(sorted([(row[0], row[2], row[3]) for row in wlan.scan()]))
"""


def test_a_scan_hears_what_is_on_the_air_unless_the_radio_is_deaf(emulated_board, world):
    world.air.add_access_point("street", "secret", channel=11)
    world.air.add_access_point("gone").present = False
    board = emulated_board("esp32_c3", files={"main.py": SCAN.encode()})
    board.start()
    world.advance(1)
    board.deafen_radio()
    board.reset()
    world.advance(1)
    assert list(board.console) == ["[(b'street', 11, -61)]", "[]"]


LOSE = """
import network, socket, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("street", "secret")
while not wlan.isconnected():
    time.sleep_ms(50)
print("joined")
was = None
while True:
    status = wlan.status()
    if status != was:
        print("status", status)
        was = status
    time.sleep_ms(200)
"""


@pytest.mark.parametrize(("name", "lost"), [("esp32_c3", [200, 201]), ("pico_w", [0, -2])])
def test_an_access_point_that_goes_is_missed_after_six_seconds_and_joined_again(emulated_board, world, name, lost):
    point = world.air.add_access_point("street", "secret")
    board = emulated_board(name, files={"main.py": LOSE.encode()})
    board.start()
    world.advance(10)
    assert board.console[0] == "joined"
    joined = board.console[-1]
    point.present = False
    world.advance(5)
    assert board.console[-1] == joined
    world.advance(5)
    assert [int(line.split()[1]) for line in list(board.console)[2:]] == lost
    point.present = True
    world.advance(10)
    assert board.console[-1] == joined


@pytest.fixture
def broker(tmp_path):
    found = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    process = subprocess.Popen(
        [found, "-c", str(tmp_path / "mosquitto.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            break
    yield port
    process.send_signal(signal.SIGTERM)
    process.wait(10)


class Subscriber:
    """What really reached the broker."""

    def __init__(self, port):
        self.messages = []
        self.came = threading.Condition()
        self.subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="council")
        self.client.on_message = self._take
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.connect("127.0.0.1", port)
        self.client.subscribe("kerb/#", qos=1)
        self.client.loop_start()
        assert self.subscribed.wait(10)

    def _take(self, client, userdata, message):
        with self.came:
            self.messages.append((message.topic, message.payload))
            self.came.notify_all()

    def wait(self, count):
        with self.came:
            assert self.came.wait_for(lambda: len(self.messages) >= count, 20), self.messages
        return self.messages

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def subscriber(broker):
    one = Subscriber(broker)
    yield one
    one.close()


MQTT = """
import machine, network, socket, struct, time

def text(value):
    return struct.pack(">H", len(value)) + value

def packet(kind, body):
    return bytes([kind, len(body)]) + body

wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("street", "secret")
while not wlan.isconnected():
    time.sleep_ms(100)
place = socket.getaddrinfo("broker", 1883)[0][-1]
link = socket.socket()
link.settimeout(5)
link.connect(place)
link.sendall(packet(0x10, text(b"MQTT") + bytes([4, 2, 0, 60]) + text(b"node")))
print("connack", link.recv(4))
late = 0
for number in range(%d):
    time.sleep(60)
    sent = time.ticks_ms()
    link.write(packet(0x32, text(b"kerb/1/up") + struct.pack(">H", number + 1) + b"reading %%d" %% number))
    puback = link.read(4)
    late += time.ticks_diff(time.ticks_ms(), sent) > 2000
    assert puback == bytes([0x40, 2]) + struct.pack(">H", number + 1), puback
link.close()
print("done", late)
"""


@pytest.mark.parametrize("name", ["esp32_c3", "pico_w"])
def test_a_board_publishes_to_a_real_broker_over_loopback(emulated_board, world, broker, subscriber, name):
    world.air.add_access_point("street", "secret")
    world.air.add_host("broker", broker)
    board = emulated_board(name, files={"main.py": (MQTT % 50).encode()})
    board.start()
    began = time.monotonic()
    world.advance(3600)
    assert list(board.console) == [r"connack b' \x02\x00\x00'", "done 0"]
    assert time.monotonic() - began < 20
    assert subscriber.wait(50) == [("kerb/1/up", b"reading %d" % number) for number in range(50)]
    assert board.energy().charge_uah["radio_tx"] > 0
    assert board.energy().charge_uah["radio_rx"] > 0


ELSEWHERE = """
import network, socket, time
wlan = network.WLAN(network.STA_IF)
wlan.active(True)

def attempt(host):
    began = time.ticks_ms()
    link = socket.socket()
    link.settimeout(3)
    try:
        link.connect((host, 9))
        print(host, "connected")
    except OSError as error:
        print(host, error.errno, time.ticks_diff(time.ticks_ms(), began) // 1000)
    link.close()

attempt("127.0.0.1")
wlan.connect("street", "secret")
while not wlan.isconnected():
    time.sleep_ms(100)
attempt("127.0.0.1")
attempt("192.0.2.1")
try:
    socket.getaddrinfo("example.org", 80)
except OSError as error:
    print("name", error.errno)
print("ready")
time.sleep(10)
attempt("127.0.0.1")
"""


def test_nothing_but_this_machine_is_reached_and_a_deaf_radio_reaches_nobody(emulated_board, world):
    world.air.add_access_point("street", "secret")
    board = emulated_board("esp32_c3", files={"main.py": ELSEWHERE.encode()})
    board.start()
    world.advance(6)
    # 113 no route (no network, then a host elsewhere), 111 refused by this machine, -2 unknown name
    assert list(board.console) == ["127.0.0.1 113 0", "127.0.0.1 111 0", "192.0.2.1 113 0", "name -2", "ready"]
    board.deafen_radio()
    world.advance(30)
    assert board.console[-1] == "127.0.0.1 110 3"


STREAM = """
import asyncio, network, time

async def main():
    wlan = network.WLAN(network.STA_IF)
    wlan.active(True)
    wlan.connect("street", "secret")
    while not wlan.isconnected():
        await asyncio.sleep_ms(100)
    reader, writer = await asyncio.open_connection("127.0.0.1", %d)
    for number in range(20):
        writer.write(b"hello %%d\\n" %% number)
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), 2)
        assert line == b"HELLO %%d\\n" %% number, line
        await asyncio.sleep(30)
    writer.close()
    await writer.wait_closed()
    print("echoed")

asyncio.run(main())
"""


def test_asyncio_streams_speak_over_the_emulated_wifi(emulated_board, world):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            peer, _ = server.accept()
            with peer:
                while data := peer.recv(100):
                    peer.sendall(data.upper())

        thread = threading.Thread(target=serve)
        thread.start()
        world.air.add_access_point("street", "secret")
        board = emulated_board("pico_w", files={"main.py": (STREAM % server.getsockname()[1]).encode()})
        board.start()
        world.advance(700)
        assert list(board.console) == ["echoed"]
        thread.join(5)
        assert not thread.is_alive()
