"""`kerb replay FILE --to LINK`: what a capture holds, sent again at its own pace, to a gateway on a bench.

kerb replay street.kcap --to serial:/dev/pts/4 --speed 10
kerb replay street.kcap --to udp:127.0.0.1:5690
kerb replay street.kcap --to mqtt://127.0.0.1:1883/harbour

A gateway without any link plays the same file by its inlet replay:FILE. One that heard these frames before refuses them
as replays or knows them as duplicates: that is how it should be.
"""

import argparse
import asyncio
import os
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import serial

from kerbgate.errors import ControlError
from kerbgate.inlets.base import parse_url
from kerbgate.inlets.serial import DEFAULT_BAUD, baud_of
from kerbtools.decode.errors import DecodeError
from kerbtools.decode.source import Item, Source
from kerbtools.field import words
from kerbtools.field.capture import node_of
from kerbwire import capture, line

TIMEOUT_S = 10.0


def main(arguments: Sequence[str]) -> int:
    """Returns 0 when all was sent; 1 where the file or the link cannot be used."""
    parser = words.parser("replay", "Send the uplink frames of a capture again.", __doc__)
    parser.add_argument("file", help="a .kcap file")
    parser.add_argument(
        "--to", required=True, metavar="LINK", help="serial:/dev/...?baud=..., udp:host:port, mqtt://host/site"
    )
    parser.add_argument("--speed", type=float, default=1.0, help="times its own pace; 0: as fast as it goes")
    parser.add_argument("--link", type=int, help="only what came over this link of the capture")
    options = parser.parse_args(list(arguments))
    if options.speed < 0:
        parser.error("--speed: not below 0")
    return words.run(_replay, options)


def _replay(options: argparse.Namespace) -> int:
    try:
        sent = asyncio.run(_send(options.to, _frames(options.file, options.speed, options.link)))
    except DecodeError as error:
        raise ControlError(error.cause, error.hint) from error
    print(f"{sent} frames sent to {options.to}")
    return 0


def _frames(name: str, speed: float, link: int | None) -> Iterator[Item]:
    """Uplink frames, each when its time has come."""
    began: float | None = None
    first_us = 0
    for item in Source(str(Path(name))):
        if item.direction != capture.UP or item.offset_us is None or link not in (None, item.link):
            continue
        if began is None:
            began, first_us = time.monotonic(), item.offset_us
        if speed:
            due = began + (item.offset_us - first_us) / 1e6 / speed
            time.sleep(max(due - time.monotonic(), 0))
        yield item


async def _send(to: str, frames: Iterator[Item]) -> int:
    scheme, _, rest = to.partition(":")
    if scheme == "serial":
        return _to_port(to, frames)
    if scheme == "udp":
        return _to_address(rest, frames)
    if scheme in ("mqtt", "mqtts"):
        return await _to_broker(to, frames)
    raise ControlError(
        f"{to!r} is no link that can be replayed to", "use serial:/dev/..., udp:host:port, mqtt://host/site"
    )


def _to_port(to: str, frames: Iterator[Item]) -> int:
    url = parse_url(to)
    url.only(baud=baud_of)
    count = 0
    try:
        port = serial.Serial(url.rest, baud_of(url.options.get("baud", str(DEFAULT_BAUD))), write_timeout=TIMEOUT_S)
        with port:
            for item in frames:
                port.write(line.encode(item.data))
                count += 1
            port.flush()
    except serial.SerialTimeoutException as error:
        raise ControlError(
            f"{url.rest} takes nothing: {count} frames went", "is somebody there who reads? is the baud rate right?"
        ) from error
    except serial.SerialException as error:
        raise ControlError(f"{url.rest} cannot be used: {error}", "check the path; is it in use?") from error
    return count


def _to_address(rest: str, frames: Iterator[Item]) -> int:
    host, _, port = rest.rpartition(":")
    if not port.isdecimal() or not host:
        raise ControlError(f"udp:{rest} names no address", "write udp:host:port")
    count = 0
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for item in frames:
                sender.sendto(item.data, (host.strip("[]"), int(port)))
                count += 1
    except OSError as error:
        raise ControlError(f"udp:{rest} cannot be reached: {error}", "check host and port") from error
    return count


async def _to_broker(url: str, frames: Iterator[Item]) -> int:
    from kerbgate import mqtt

    parts = urlsplit(url)
    site = parts.path.strip("/")
    if parts.scheme != "mqtt" or not parts.hostname or not site:
        raise ControlError(f"{url} names no broker and site", "write mqtt://host:1883/site, without TLS")
    options = mqtt.Options(f"kerb-replay-{os.urandom(4).hex()}", timeout_s=TIMEOUT_S)
    count = 0
    try:
        connection = await mqtt.connect(parts.hostname, parts.port or 1883, options, lambda link, message: None)
        try:
            for item in frames:
                await connection.publish(f"kerb/1/{site}/up/{node_of(item.data)}", item.data)
                count += 1
        finally:
            await connection.close()
    except (OSError, TimeoutError, mqtt.MqttError) as error:
        raise ControlError(f"the broker of {url} does not take it: {error}", "check the broker of the bench") from error
    return count
