"""Helpers that all kinds of tests share: emulators, the service as a process, servers that misbehave."""
