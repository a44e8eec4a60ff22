"""Parts of emulated boards, one a file, as they behave on a board's pins and buses.

A part that speaks on a bus implements one of the protocols of `parts.bus`; `wiring.py` puts it where board.toml says.
"""

from kerbtools.emulator.parts.a02yyuw import A02yyuw
from kerbtools.emulator.parts.bh1750 import Bh1750
from kerbtools.emulator.parts.bl0942 import Bl0942
from kerbtools.emulator.parts.cells import Cells
from kerbtools.emulator.parts.dali import D4i, Dali
from kerbtools.emulator.parts.ds18b20 import Ds18b20, crc8
from kerbtools.emulator.parts.echo import speed_of_sound
from kerbtools.emulator.parts.jsn_sr04t import JsnSr04t
from kerbtools.emulator.parts.ld2410 import Ld2410
from kerbtools.emulator.parts.lis3dh import Lis3dh
from kerbtools.emulator.parts.luminaire import Dimmer, Luminaire, Relay, ZeroCross
from kerbtools.emulator.parts.part import Part
from kerbtools.emulator.parts.presence import Presence
from kerbtools.emulator.parts.sx126x import Sx126x
from kerbtools.emulator.parts.veml7700 import Veml7700
from kerbtools.emulator.parts.vl53l1x import Vl53l1x

__all__ = [
    "A02yyuw",
    "Bh1750",
    "Bl0942",
    "Cells",
    "D4i",
    "Dali",
    "Dimmer",
    "Ds18b20",
    "JsnSr04t",
    "Ld2410",
    "Lis3dh",
    "Luminaire",
    "Part",
    "Presence",
    "Relay",
    "Sx126x",
    "Veml7700",
    "Vl53l1x",
    "ZeroCross",
    "crc8",
    "speed_of_sound",
]
