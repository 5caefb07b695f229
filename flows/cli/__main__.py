"""`python -m flows.cli`: the same as `appo`."""

from flows.cli import main

main()
