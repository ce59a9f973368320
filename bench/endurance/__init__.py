"""The endurance run: the real service, hundreds of thousands of messages, faults, and nothing that grows.

Not to be confused with `make soak`, which plays simulated bad days in virtual time.
"""
