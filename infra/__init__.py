"""Set-up, locks and the commands behind the Makefile; standard library only."""

import sys

# Said here, before any module that an older Python could not even read.
if sys.version_info < (3, 11):  # noqa: UP036
    _found = "%d.%d" % sys.version_info[:2]  # noqa: UP031
    sys.exit("error: Python 3.11 or later is needed, this is " + _found + "; name one: make setup PYTHON=python3.11")
