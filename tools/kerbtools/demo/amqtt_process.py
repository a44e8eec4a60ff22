"""amqtt as a process: `python -m kerbtools.demo.amqtt_process PORT` listens on loopback until it is ended."""

import asyncio
import logging
import sys

from amqtt.broker import Broker

MAX_CONNECTIONS = 50


async def serve(port: int) -> None:
    """Serves anonymous clients on a loopback port for ever."""
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": MAX_CONNECTIONS}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(int(sys.argv[1])))
