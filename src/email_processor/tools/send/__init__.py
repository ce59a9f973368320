"""Sample messages for a queue: what they look like, and how they get there."""
