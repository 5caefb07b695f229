"""Set-up, locks and the commands behind the Makefile; standard library only."""
