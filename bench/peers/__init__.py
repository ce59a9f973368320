"""What else people run: each receives, stores the body as it came and deletes, in its own usual way."""
