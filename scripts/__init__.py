"""What makes files and environments of this repository: run by `make`, as `python -m scripts.NAME`."""
