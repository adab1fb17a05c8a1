"""`python -m bench.cli`: the command line where the `unposed` script is not installed."""

from bench.cli.app import main

main(prog_name="unposed")
