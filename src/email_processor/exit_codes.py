"""What the exit code of a command says; 0 is a clean end."""

EXIT_FAILED = 1
EXIT_SETTINGS = 2  # wrong settings, or wrong usage: click's own code
EXIT_FINDINGS = 3  # of a command that judges: it has found something
