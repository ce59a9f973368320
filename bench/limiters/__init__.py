"""Limiters side by side, in a model of S3: why the limit on uploads is found as it is."""
