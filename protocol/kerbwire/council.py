"""What each channel, fault and event becomes at the council. For hosts only: no bundle carries it.

    Lwm2m     object/resource of the uCIFI and LwM2M registry, its type and unit, and our physical value times
              numerator / denominator in that unit. Objects 3301, 3303 and 3330 are IPSO's (sensor value, float).
    sdm       Smart Data Models: Entity.property, one for each role of the channel, times numerator / denominator
    talq      TALQ 2.7.1: Function.attribute, its x-talq-unit, times numerator / denominator

None stands where that model has no place for the thing: a wrong place is worse than none.
"""

from typing import NamedTuple

from kerbwire import channels as c
from kerbwire import events as e


class Target(NamedTuple):
    path: str
    type: str
    unit: str
    numerator: int
    denominator: int


class Row(NamedTuple):
    lwm2m: "Target | None"
    sdm: "tuple[Target, ...]"
    talq: "Target | None"


class Flag(NamedTuple):
    name: str
    lwm2m: "str | None"
    sdm: "str | None"
    talq: "str | None"


_PI = (3_141_592_654, 180_000_000_000)  # degrees to radians


def _to(path: str, kind: str = "", unit: str = "", numerator: int = 1, denominator: int = 1) -> Target:
    return Target(path, kind, unit, numerator, denominator)


_MEASURED = _to("DeviceMeasurement.numValue")

CHANNELS = {
    c.FILL: Row(
        _to("3435/2", "Float", "/100"),
        (_to("WasteContainer.fillingLevel", denominator=100),),
        _to("FillingLevelSensorFunction.fillingPercentage", unit="Percent"),
    ),
    c.DISTANCE: Row(
        _to("3330/5700", "Float", "m", denominator=1000),
        (_MEASURED,),
        _to("GenericSensorFunction.level"),
    ),
    c.TEMPERATURE: Row(
        _to("3303/5700", "Float", "Cel"),
        (_to("WasteContainer.temperature"), _MEASURED),
        _to("TemperatureSensorFunction.temperature", unit="DegreesCelcius"),  # as TALQ spells it
    ),
    c.BATTERY: Row(
        _to("3411/3", "Float", "V"), (_MEASURED,), _to("BatteryManagementSystemFunction.batteryVoltage", unit="Volts")
    ),
    c.TILT: Row(_to("3429/1", "Float", "rad", *_PI), (_MEASURED, _MEASURED), None),
    # Of no other vocabulary; anything but 0 marks the measurement for special treatment.
    c.QUALITY: Row(None, (_to("DeviceMeasurement.outlier"), _to("DeviceMeasurement.outlier")), None),
    c.TROUBLE: Row(None, (_MEASURED, _MEASURED), None),
    c.RAW: Row(None, (_MEASURED, _MEASURED), None),
    c.LEVEL: Row(
        _to("3416/3", "Integer", "/100"),
        (_to("Streetlight.illuminanceLevel", denominator=100),),
        _to("LampActuatorFunction.actualLightState", unit="Percent"),
    ),
    c.POWER: Row(
        _to("3418/4", "Float", "W"),
        (_to("Streetlight.powerConsumption"),),
        _to("LampMonitorFunction.activePower", unit="Watts"),
    ),
    c.ENERGY: Row(
        _to("3418/6", "Float", "Wh"),
        (_to("Streetlight.lifetimePowerConsumption", denominator=1000),),
        _to("LampMonitorFunction.activeEnergy", unit="KiloWattHours", denominator=1000),
    ),
    # Octaves become lux before they leave; the factors hold from there.
    c.LUX: Row(
        _to("3301/5700", "Float", "lx"), (_MEASURED,), _to("LightSensorFunction.lightLevel", unit="Illuminance")
    ),
    c.HOURS: Row(_to("3416/15", "Float", "h"), (_MEASURED,), _to("LampMonitorFunction.operatingHours", unit="Hours")),
    # A count per interval; the council's counters are its running sum.
    c.PRESENCE: Row(
        _to("3434/6", "Integer"),
        (_to("Streetlight.lifetimeMotionDetected"),),
        _to("TrafficCounterFunction.roadUserNumber"),
    ),
    c.SUPPLY: Row(
        _to("3418/1", "Float", "V"),
        (_to("Streetlight.voltage"),),
        _to("LampMonitorFunction.supplyVoltage", unit="Volts"),
    ),
    # Bit by bit: FAULT_FLAGS.
    c.FAULTS: Row(None, (_to("Streetlight.status"),), None),
    c.CAUSE: Row(None, (_MEASURED,), None),
}

# Bits of the faults channel; sdm is a value of Streetlight.status.
FAULT_FLAGS = {
    1: Flag("lamp failure", "3416/5", "defectiveLamp", "LampMonitorFunction.lampFailure"),
    2: Flag("control gear failure", "3416/7", "brokenLantern", "LampMonitorFunction.dimmingFailure"),
    4: Flag("day burner", "3416/10", "columnIssue", "LampMonitorFunction.lampUnexpectedOn"),
    8: Flag("cycling", "3416/11", "defectiveLamp", "LampMonitorFunction.cyclingFailure"),
    16: Flag("relay failure", "3416/9", "columnIssue", "LampMonitorFunction.relayFailure"),
    32: Flag("control gear silent", "3416/12", "brokenLantern", "LampMonitorFunction.controlGearCommFailure"),
    64: Flag("power too high", "3418/15", "brokenLantern", "LampMonitorFunction.lampPowerTooHigh"),
    128: Flag("power too low", "3418/12", "defectiveLamp", "LampMonitorFunction.lampPowerTooLow"),
    256: Flag("supply too low", "3418/21", "columnIssue", "LampMonitorFunction.supplyVoltageTooLow"),
    512: Flag("supply too high", "3418/23", "columnIssue", "LampMonitorFunction.supplyVoltageTooHigh"),
    1024: Flag("too hot", "3416/25", "brokenLantern", "LampMonitorFunction.highTemperature"),
    2048: Flag("power factor too low", "3418/9", "brokenLantern", "LampMonitorFunction.powerFactorTooLow"),
}

# Event codes; lwm2m are Boolean resources, sdm a value of WasteContainer.status or Streetlight.status.
EVENTS = {
    e.FIRE: Flag("fire", "3435/22", "burning", "TemperatureSensorFunction.fireDetected"),
    e.FULL: Flag("full", "3435/5", None, "FillingLevelSensorFunction.containerFull"),
    e.EMPTIED: Flag("emptied", "3435/7", None, None),
    e.TILTED: Flag("tilted", "3435/13", "dropped", "MovementSensorFunction.notInProperPosition"),
    e.LID_OPEN: Flag("lid open", "3435/21", "lidOpen", "WasteContainerFunction.containerTampered"),
    e.SENSOR_FAULT: Flag("sensor fault", None, "unknown", None),
    e.BATTERY_LOW: Flag("battery low", "3411/6", None, "BatteryLevelSensorFunction.batteryLevelTooLow"),
    e.LAMP_FAILURE: Flag("lamp failure", "3416/5", "defectiveLamp", "LampMonitorFunction.lampFailure"),
    e.DAY_BURNER: Flag("day burner", "3416/10", "columnIssue", "LampMonitorFunction.lampUnexpectedOn"),
    e.CYCLING: Flag("cycling", "3416/11", "defectiveLamp", "LampMonitorFunction.cyclingFailure"),
    e.GEAR_FAULT: Flag("control gear failure", "3416/7", "brokenLantern", "LampMonitorFunction.dimmingFailure"),
    e.SUPPLY_LOW: Flag("supply too low", "3418/21", "columnIssue", "LampMonitorFunction.supplyVoltageTooLow"),
    e.SUPPLY_HIGH: Flag("supply too high", "3418/23", "columnIssue", "LampMonitorFunction.supplyVoltageTooHigh"),
    e.RELAY_FAULT: Flag("relay failure", "3416/9", "columnIssue", "LampMonitorFunction.relayFailure"),
    e.TOO_HOT: Flag("too hot", "3416/25", "brokenLantern", "LampMonitorFunction.highTemperature"),
    e.PHOTOCELL_FAULT: Flag("photocell fault", None, "columnIssue", None),
    e.CLOCK_STEP: Flag("clock step", "3415/5", None, "TimeFunction.lastSyncError"),
    e.CRASH: Flag("crash", None, None, "BasicFunction.deviceReset"),
    e.SAFE_MODE: Flag("safe mode", None, None, None),
    e.FLASH_FAULT: Flag("flash fault", None, None, None),
    e.DOOR_OPEN: Flag("door open", None, "columnIssue", "BasicFunction.cabinetDoorOpen"),
}
