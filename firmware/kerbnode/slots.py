"""What the gateway has patched of the settings, in two slots: the newer generation first.

    /node/config.0, .1    checked files: generation, version, patch, on trial

A patch is on trial until the gateway has answered a node that runs by it; a failed start before that, or a gateway that
is silent, brings the other slot's patch back.
"""

from kerbnode import flash

TRIAL_SILENCES = 3  # exchanges in a row without an answer that end a trial
_GENERATION, _VERSION, _PATCH, _TRIAL = 0, 1, 2, 3


class Slots:
    """What the gateway has patched. version: of the whole configuration. trial: it has not proved itself yet."""

    def __init__(self, folder):
        self._paths = (folder + "/config.0", folder + "/config.1")
        self._newest = self._good = {_GENERATION: -1, _VERSION: 0, _PATCH: {}, _TRIAL: False}
        self._good_at = 0
        for at in range(2):
            slot = flash.load(self._paths[at])
            if isinstance(slot, dict) and sorted(slot) == [0, 1, 2, 3] and isinstance(slot[_PATCH], dict):
                if slot[_GENERATION] > self._newest[_GENERATION]:
                    self._newest = slot
                if not slot[_TRIAL] and slot[_GENERATION] > self._good[_GENERATION]:
                    self._good, self._good_at = slot, at

    @property
    def version(self):
        return self._newest[_VERSION]

    @property
    def trial(self):
        return self._newest[_TRIAL]

    @property
    def patch(self):
        return self._newest[_PATCH]

    def patched(self, patch):
        """All of the patch that a further patch leaves: number -> value, without those that are a default again."""
        whole = dict(self.patch)
        for number in patch:
            if patch[number] is None:
                whole.pop(number, None)
            else:
                whole[number] = patch[number]
        return whole

    def put(self, version, patch):
        """Try a patch; it holds from the next wake on. One on trial is replaced, the last good one stays."""
        self._write(self._good_at ^ 1, version, patch, True)

    def prove(self):
        """The gateway has answered a node that runs by the newest patch."""
        if self.trial:
            self._write(self._good_at, self.version, self.patch, False)

    def give_up(self):
        """Back to the last known good."""
        self._write(self._good_at ^ 1, self._good[_VERSION], self._good[_PATCH], False)

    def _write(self, at, version, patch, trial):
        """Over the slot that the node can do without: a write that tears leaves the other."""
        slot = {_GENERATION: self._newest[_GENERATION] + 1, _VERSION: version, _PATCH: patch, _TRIAL: trial}
        flash.store(self._paths[at], slot)
        self._newest = slot
        if not trial:
            self._good, self._good_at = slot, at
