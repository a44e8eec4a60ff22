"""Our DALI frames and memory banks against python-dali, which knows nothing of ours."""

import random
from decimal import Decimal

from dali.address import GearBroadcast
from dali.frame import BackwardFrame
from dali.gear import general
from dali.memory import diagnostics, energy, maintenance
from dali.memory.location import FlagValue, MemoryLocationNotImplemented

from kerbnode.drivers import d4i, dali
from kerbwire.channels import FAULT, NOT_FITTED

THEIRS = {
    "energy_wh": energy.ActiveEnergy,
    "power_w": energy.ActivePower,
    "apparent_va": energy.ApparentPower,
    "supply_v": diagnostics.ControlGearExternalSupplyVoltage,
    "gear_failure": diagnostics.ControlGearOverallFailureCondition,
    "undervoltage": diagnostics.ControlGearExternalSupplyUndervoltage,
    "overvoltage": diagnostics.ControlGearExternalSupplyOvervoltage,
    "gear_derated": diagnostics.ControlGearThermalDerating,
    "gear_shut_down": diagnostics.ControlGearThermalShutdown,
    "gear_celsius": diagnostics.ControlGearTemperature,
    "lamp_failure": diagnostics.LightSourceOverallFailureCondition,
    "short_circuit": diagnostics.LightSourceShortCircuit,
    "open_circuit": diagnostics.LightSourceOpenCircuit,
    "lamp_derated": diagnostics.LightSourceThermalDerating,
    "lamp_shut_down": diagnostics.LightSourceThermalShutdown,
    "lamp_celsius": diagnostics.LightSourceTemperature,
    "useful_life_kh": maintenance.RatedMedianUsefulLifeOfLuminaire,
}
UNITS = {"supply_v": 10, "useful_life_kh": Decimal(1) / 1000}


def sent(command):
    return command.frame.as_integer


def test_every_forward_frame_is_theirs():
    everyone = GearBroadcast()
    assert sent(general.QueryStatus(everyone)) == dali.STATUS
    assert sent(general.QueryActualLevel(everyone)) == dali.ACTUAL
    assert sent(general.ReadMemoryLocation(everyone)) == dali.READ
    for value in range(255):
        assert sent(general.DAPC(everyone, value)) == dali.DAPC | value
        assert sent(general.DTR0(value)) == dali.DTR0 | value
        assert sent(general.DTR1(value)) == dali.DTR1 | value


def test_the_bits_of_a_status_mean_what_they_mean_to_them():
    ours = {
        "ballast_status": dali.GEAR_FAILURE, "lamp_failure": dali.LAMP_FAILURE, "arc_power_on": dali.LAMP_ON,
        "limit_error": dali.LIMIT_ERROR, "reset_state": dali.RESET_STATE, "missing_short_address": dali.NO_ADDRESS,
        "power_failure": dali.POWER_CYCLED,
    }  # fmt: skip
    for value in range(256):
        theirs = general.QueryStatus(GearBroadcast()).response(BackwardFrame(value))
        for name, bit in ours.items():
            assert getattr(theirs, name) == bool(value & bit), name


def test_the_fields_lie_where_they_lie():
    assert set(THEIRS) == set(d4i.FIELDS)
    for name, theirs in THEIRS.items():
        bank, place, size, _ = d4i.FIELDS[name]
        assert bank == theirs.bank.address, name
        assert list(range(place, place + size)) == [location.address for location in theirs.locations], name


def test_any_bytes_of_a_bank_read_as_they_read_them():
    own = random.Random(7)
    for name, theirs in THEIRS.items():
        _, place, size, how = d4i.FIELDS[name]
        for turn in range(3000):
            raw = bytearray(own.randbytes(size))
            if turn % 3 == 0:
                raw[how == d4i.SCALED :] = b"\xff" * (size - (how == d4i.SCALED))
                raw[-1] -= turn % 2
            if how == d4i.SCALED and turn % 5:
                raw[0] = own.choice([0, 1, 6, 0xFA, 0xFF, 0xFE])
            if how == d4i.FLAG and turn % 2:
                raw[0] = turn // 2 % 2
            ours = d4i.field(name, bytes(place) + raw, 0)
            try:
                value = theirs.from_list([None] * place + list(raw))
            except MemoryLocationNotImplemented:
                raise AssertionError(name) from None
            if value in (FlagValue.MASK, FlagValue.TMASK, FlagValue.Invalid):
                assert ours == NOT_FITTED if value == FlagValue.MASK else ours in (FAULT, NOT_FITTED, raw[0]), (
                    name,
                    raw,
                )
            elif isinstance(value, bool):
                assert ours == value
            else:
                assert ours == int(Decimal(str(value)) * UNITS.get(name, 1)), (name, raw, value)
