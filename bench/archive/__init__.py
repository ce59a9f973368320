"""The commands on the archive against a bucket of a million objects that nobody stores."""
