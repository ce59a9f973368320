"""From facts to findings: pure, one module a group."""
