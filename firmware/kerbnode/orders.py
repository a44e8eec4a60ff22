"""What the gateway asks of the node: commands and configuration (law 6). Loaded only in a wake in which one comes.

The id is on flash before the node acts, the result before it is answered; firmware/ORDERS.md has each operation.
"""

from kerbnode import flash
from kerbwire import controls
from kerbwire.commands import ANSWER, IGNORE, Commands

BLINK_MS = 250
FEED_BLINKS = 8  # a watchdog is fed every two seconds
MAX_LOGS = 8  # messages of log for one command: what they cost a bin's day of frames is half


class Orders:
    """do: callables by operation, given the arguments; each returns (status, detail), or None if it is done later,
    and its result kept by who does it.

    settings_of(patch): the effective settings with a patch, and the complaints about it.
    """

    def __init__(self, folder, slots, settings_of, do, digest):
        self._path = folder + "/commands"
        self._digest = digest
        stored = flash.load(self._path)
        self._commands = Commands(stored if _is_stored(stored) else None)
        self._slots = slots
        self._settings_of = settings_of
        self._do = do

    def take(self, message, utc_s, waited_s):
        """The Result to send, or None: it is being obeyed. waited_s: since the message came."""
        commands = self._commands
        expiry, remaining = controls.MAX_ID, controls.MAX_REMAINING_S
        if message.KIND == controls.COMMAND:
            expiry, remaining = message.expiry, message.remaining
        verdict, status, detail = commands.offer(message.ident, expiry, remaining, utc_s, waited_s)
        if verdict == IGNORE:
            return None
        if verdict != ANSWER:
            commands.begin(message.ident)
            self._keep()
            try:
                done = self._act(message)
            except (OSError, ValueError):
                done = controls.FAILED, None
            if done is None:
                return None
            status, detail = done
            commands.finish(message.ident, status, detail)
            self._keep()
        return controls.Result(message.ident, status, detail)

    def _act(self, message):
        if message.KIND == controls.CONFIG:
            return self._patch(message)
        action = self._do.get(message.operation)
        return action(*message.arguments) if action else (controls.UNSUPPORTED, None)

    def _patch(self, message):
        """Applied, or refused with the version that holds; it is tried from the next wake on."""
        if message.version <= self._slots.version:
            return controls.REFUSED, self._slots.version
        patch = self._slots.patched(message.patch)
        settings, complaints = self._settings_of(patch)
        if complaints or (message.digest and message.digest != self._digest(settings)):
            return controls.REFUSED, self._slots.version
        self._slots.put(message.version, patch)
        return controls.APPLIED, None

    def _keep(self):
        flash.replace(self._path, self._commands.stored)


def blink(hal, facts, seconds):
    """Show which node this is, where the board has a light that the node may use."""
    if "led" not in facts:
        return controls.UNSUPPORTED, None
    light = hal.power({"power_pin": facts["led"]})
    for count in range(seconds * 1000 // BLINK_MS):
        light(not count & 1)
        hal.sleep_ms(BLINK_MS)
        if count % FEED_BLINKS == 0:
            hal.feed()
    light(False)
    return controls.APPLIED, None


def send_log(folder, send, boot, first):
    """Send what is held of a boot's log from line `first` on, and say how many messages that took."""
    from kerbnode import telling

    found = telling.messages(folder, boot, first)[:MAX_LOGS]
    for message in found:
        send("log", message)
    return controls.APPLIED, len(found)


def _is_stored(stored):
    return isinstance(stored, list) and all(isinstance(entry, list) and len(entry) == 3 for entry in stored)
