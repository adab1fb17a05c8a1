"""The command `unposed`: which verb lives in which file, and how bad input is answered."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Mapping, Sequence
from typing import Any

import click

EMPTY = "unposed.empty"
"""In the `meta` of a command line, where a part of it is the empty string: what that is."""

MAY_BE_EMPTY = ("--options",)
"""Options of which nothing is an answer."""

SETTLING = ("run", "stress", "judge", "submit")
"""The verbs that fit or judge cells, and go on from the finished ones when they are called again."""


class LazyGroup(click.Group):
    """A group whose verbs are imported when they are used: `verbs` maps a name to `module:attribute`."""

    def __init__(self, *args: Any, verbs: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.verbs = dict(verbs or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self.verbs})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.verbs:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.verbs[cmd_name].partition(":")
        return getattr(importlib.import_module(module), attribute)


def empty_part(arguments: Sequence[str]) -> str | None:
    """What the empty string stands for in a command line, where there is one."""
    for k, word in enumerate(arguments):
        before = arguments[k - 1] if k else ""
        option = before if word == "" and before.startswith("-") and before.strip("-") else word.partition("=")[0]
        if (word == "" or (word.startswith("--") and word == f"{option}=")) and option not in MAY_BE_EMPTY:
            return option or "an argument"
    return None


class Refusals(LazyGroup):
    """Bad input is one sentence on stderr and exit code 2, never a traceback (unless UNPOSED_TRACEBACK is set)."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[EMPTY] = empty_part(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            if part := ctx.meta.get(EMPTY):  # `-o ""` would be the current folder, `--shard ""` no shard
                raise ValueError(f"{part} is empty, as by a variable of the shell that is not set; give it a value")
            return super().invoke(ctx)
        except ValueError as error:  # what this project raises for bad input, SceneError and the like included
            if os.environ.get("UNPOSED_TRACEBACK"):
                raise
            _refuse(str(error))
            ctx.exit(2)
        except OSError as error:  # a full disk, a folder that may not be read: the machine's, and no fault of ours
            if os.environ.get("UNPOSED_TRACEBACK") or error.errno == errno.EPIPE:
                raise
            place = f"{error.filename}: " if error.filename else ""
            kept = "; finished cells are kept" if ctx.invoked_subcommand in SETTLING else ""
            _refuse(f"{place}{error.strerror or error}{kept}")
            ctx.exit(2)
        except RuntimeError as error:  # as which Python before 3.13 tells of a link that leads back to itself
            met = error.__context__
            if os.environ.get("UNPOSED_TRACEBACK") or not (isinstance(met, OSError) and met.errno == errno.ELOOP):
                raise
            click.echo(f"unposed: {met.filename}: {met.strerror}", err=True)
            ctx.exit(2)
        except KeyboardInterrupt:
            settling = ctx.invoked_subcommand in SETTLING
            kept = "; finished cells are kept, and the same command goes on from here" if settling else ""
            click.echo(f"unposed: stopped{kept}", err=True)
            ctx.exit(130)


def _refuse(sentence: str) -> None:
    """Say it in one line, whatever the names that it quotes have in them."""
    from bench.files import one_line  # numpy: not for each start

    click.echo(f"unposed: {one_line(sentence)}", err=True)


VERBS = {
    "run": "bench.cli.run:run",
    "plan": "bench.cli.run:plan",
    "stress": "bench.cli.run:stress",
    "judge": "bench.cli.judge:judge",
    "submit": "bench.cli.poses:submit",
    "export": "bench.cli.poses:export",
    "status": "bench.cli.results:status",
    "why": "bench.cli.results:why",
    "report": "bench.cli.results:report",
    "compare": "bench.cli.results:compare",
    "render": "bench.cli.look:render",
    "view": "bench.cli.look:view",
    "collect": "bench.cli.tracking:collect",
    "track": "bench.cli.tracking:track",
    "ui": "bench.cli.tracking:ui",
    "data": "bench.cli.data:data",
    "list": "bench.cli.catalogue:list_",
    "info": "bench.cli.catalogue:info",
    "check": "bench.cli.health:check",
    "doctor": "bench.cli.health:doctor",
}


@click.group(
    cls=Refusals, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="unposed")
def main() -> None:
    """Benchmark of radiance fields without camera poses.

    \b
    unposed list scenes             what there is to run on
    unposed info gnerf              what it is, what it is given, its options
    unposed plan -s blocks          what a run would do, and for how long
    unposed run -s blocks           do it
    unposed stress -d low_texture   find where methods break
    unposed report                  look at it
    """
