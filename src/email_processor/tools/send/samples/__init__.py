"""Sample messages, as varied as real ones: pure and seeded, so the same seed always makes the same samples."""
