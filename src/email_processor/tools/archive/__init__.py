"""The commands that use what was archived: finding, showing, exporting and auditing it, and ending the quarantine."""
