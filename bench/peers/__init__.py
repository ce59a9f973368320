"""What else people run: each receives, makes an email's key and document, stores it if it is new, and deletes.

Each in the way that is usual with its library, without leases, quarantine, circuit and metrics.
"""
