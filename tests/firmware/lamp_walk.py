"""Runs on MicroPython: a lamp's control ten times a second over the inputs of a JSON file.

Prints each new target with its millisecond, and at the end how many waves the lamp told.
"""

import json
import sys

from kerbnode.lamp.lamp import TICK_MS, Lamp
from kerbnode.lamp.wave import Waves
from kerbwire.waves import Wave

with open(sys.argv[1]) as file:
    given = json.load(file)
settings = given["settings"]
lamp = Lamp(settings, given["rules"], given["zone"], True)
waves = Waves(given["below"], given["above"], 350, 100, 40)
told = 0
heard, edges = given["heard"], given["edges"]
active = False
for now_ms in range(0, given["seconds"] * 1000, TICK_MS):
    now_s = now_ms // 1000
    if now_ms % 1000 == 0:
        lamp.sense(given["lux"][now_s], now_s)
        if now_s % 60 == 0:
            lamp.judge(now_s, given["start_s"] + now_s)
    while edges and edges[0][0] == now_ms:
        active = edges.pop(0)[1]
    while heard and heard[0][0] == now_ms:
        _, member, fields = heard.pop(0)
        wave = Wave(*fields)
        if waves.heard(member, wave, now_ms)[0]:
            lamp.light_up(wave.level, wave.lifetime, now_ms)
    before = lamp.ramp.target
    lamp.tick(active, now_ms)
    if lamp.ramp.target != before:
        print(json.dumps([now_ms, lamp.ramp.target]))
    if active:
        waves.level = lamp.high
        told += waves.seen(now_ms) is not None
print(told)
