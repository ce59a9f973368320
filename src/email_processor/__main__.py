"""`python -m email_processor`."""

from email_processor.cli import main

main(prog_name="email-processor")
