"""Receiver -> jobs -> uploaders -> receipts -> deleter, with leases and a circuit: see `run`."""
