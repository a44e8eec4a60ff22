"""Puts in place what lies under a board's own names: loaded at start, as the board has it in its firmware."""

import os
import sys

import kerb_tasks

sys.modules["_asyncio"] = kerb_tasks  # asyncio asks for it when it is imported

import select  # noqa: E402, F401
import socket  # noqa: E402, F401

if os.getenv("KERB_RADIO") != "0":
    import bluetooth  # noqa: F401
    import network  # noqa: F401
if os.getenv("KERB_PORT") == "esp32":
    import esp32  # noqa: F401
else:
    import rp2  # noqa: F401
