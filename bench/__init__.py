"""The benchmark: what archiving one email costs, here and elsewhere, against a server that knows the truth."""
