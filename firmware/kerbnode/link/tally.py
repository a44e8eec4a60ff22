"""What a link counts of itself, by the same names on every link."""


class Tally:
    """Of one opening of a link. frames, bytes: handed to it; retries: frames and fragments that it sent again by
    itself; lost: frames that it could not get rid of, or that nobody took over in time. airtime_ms: of a radio that
    knows it. rssi in dBm and snr in dB: of what was heard last, 0 where nobody knows."""

    def __init__(self):
        self.frames = self.bytes = self.retries = self.lost = self.airtime_ms = self.rssi = self.snr = 0

    def sent(self, data):
        self.frames += 1
        self.bytes += len(data)
