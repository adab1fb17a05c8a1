"""The command line: names, options and what a person sees. No logic of its own, no heavy import at the top.

One file for each group of verbs, imported when one of its verbs is used. This package alone imports click.
"""

from bench.cli.app import main

__all__ = ["main"]
