"""`email-processor check`: what is looked at (`codes`), what was found (`judge`), how it is told (`report`)."""
