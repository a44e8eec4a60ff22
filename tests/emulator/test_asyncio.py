"""asyncio on an emulated board follows the world's clock, not the host's."""

import time

import pytest
from cpu_time import spent_s

LOOP = """
import asyncio, time

async def tick(count):
    for _ in range(count):
        await asyncio.sleep_ms(100)

began = time.ticks_ms()
asyncio.run(tick(1000))
print("ticked", time.ticks_diff(time.ticks_ms(), began))
"""


@pytest.mark.parametrize("name", ["esp32_c3", "pico_w"])
def test_a_thousand_ticks_of_a_loop_take_less_than_a_second(emulated_board, name):
    board = emulated_board(name, files={"main.py": LOOP.encode()})
    began = spent_s()
    board.start()
    board.world.advance(110)
    board.cut_power()
    took_s = spent_s() - began
    ticked, ms = board.console[0].split()
    assert ticked == "ticked"
    assert 100_000 <= int(ms) < 100_200
    assert took_s < 1.0, f"1,000 ticks took {took_s:.2f} s"


TOGETHER = """
import asyncio, machine, time

order = []

async def every(name, ms, count):
    for _ in range(count):
        await asyncio.sleep_ms(ms)
        order.append((time.ticks_ms() - began) // 10 * 10)
    return name

async def fails():
    await asyncio.sleep_ms(5)
    raise ValueError("told")

async def main():
    print(await asyncio.gather(every("a", 30, 3), every("b", 50, 2)), order)
    try:
        await asyncio.wait_for(every("z", 3600000, 1), 2)
    except asyncio.TimeoutError:
        print("timeout", (time.ticks_ms() - began) // 100)
    sleeper = asyncio.create_task(every("c", 10000, 100))
    await asyncio.sleep_ms(1)
    sleeper.cancel()
    try:
        await sleeper
    except asyncio.CancelledError:
        print("cancelled", sleeper.done())
    try:
        await asyncio.create_task(fails())
    except ValueError as error:
        print(error)
    event, lock = asyncio.Event(), asyncio.Lock()
    async def waits():
        async with lock:
            await event.wait()
            return "set"
    waiting = asyncio.create_task(waits())
    await asyncio.sleep(1)
    event.set()
    print(await waiting, lock.locked())

began = time.ticks_ms()
asyncio.run(main())
"""


def test_tasks_wait_fail_and_are_cancelled_as_on_a_board(emulated_board):
    board = emulated_board("pico_w", files={"main.py": TOGETHER.encode()})
    board.start()
    board.world.advance(60)
    assert list(board.console) == [
        "['a', 'b'] [30, 50, 60, 90, 100]",
        "timeout 21",
        "cancelled True",
        "told",
        "set False",
    ]


FLAG = """
import asyncio, machine, time

async def main():
    flag = asyncio.ThreadSafeFlag()
    timer = machine.Timer(-1)
    timer.init(period=250, mode=machine.Timer.PERIODIC, callback=lambda t: flag.set())
    began = time.ticks_ms()
    for _ in range(4):
        await flag.wait()
    timer.deinit()
    print("flagged", time.ticks_diff(time.ticks_ms(), began) // 10 * 10)
    uart = machine.UART(1, 9600)
    machine.Pin(6, machine.Pin.OUT, value=1)
    began = time.ticks_ms()
    frame = await asyncio.StreamReader(uart).readexactly(4)
    print("frame", frame[0], time.ticks_diff(time.ticks_ms(), began) // 10 * 10)

asyncio.run(main())
"""


def test_a_flag_of_an_interrupt_and_a_uart_wake_the_loop(emulated_board):
    board = emulated_board("pico_w", files={"main.py": FLAG.encode()})
    began = time.monotonic()
    board.start()
    board.world.advance(10)
    assert list(board.console) == ["flagged 1000", "frame 255 300"]
    assert time.monotonic() - began < 8  # of the ten virtual ones


def test_ticks_wrap_in_the_middle_of_a_wait(emulated_board):
    main = """
import asyncio, time
time.sleep(1073700)
async def main():
    for _ in range(6):
        await asyncio.sleep(20)
    print("on", time.ticks_ms() < 200000)
asyncio.run(main())
"""
    board = emulated_board("esp32_c3", files={"main.py": main.encode()})
    board.start()
    board.world.advance(1_074_000)
    assert list(board.console) == ["on True"]
