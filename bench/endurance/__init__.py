"""The endurance run: the real service, hundreds of thousands of messages, bad weather, and nothing that grows.

Not to be confused with `make soak`, which plays simulated bad days in virtual time.
"""
