"""What an email message is, where it goes and what is written there: pure, no I/O, no clock, no AWS."""
