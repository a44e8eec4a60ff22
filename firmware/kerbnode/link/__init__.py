"""Links: what carries frames. Each has send(frame) and receive(timeout_ms), which returns a frame or None."""
