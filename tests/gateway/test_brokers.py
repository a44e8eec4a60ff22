"""What inlets and outlets share of MQTT: a cancellation is never lost."""

import asyncio
import contextlib

import pytest

from kerbgate import brokers


def test_a_cancellation_that_a_wait_has_swallowed_is_raised_again() -> None:
    """As asyncio.wait_for of Python 3.11 swallows it, when its future is done at the same moment."""

    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):  # what a library does by mistake
            await asyncio.sleep(60)
        brokers.heed_cancellation()
        pytest.fail("the task went on")

    async def main() -> None:
        brokers.heed_cancellation()  # of a task that nobody has cancelled: nothing
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
