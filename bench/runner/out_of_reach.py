"""What a run keeps from its workers: its suite and those beside it, data, the key, and the scenes that are folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.matrix.plan import Planned
from bench.runner.executors.isolation import shown_installed
from bench.runner.method_probe import code_of
from bench.runner.seal import key_folder
from bench.runner.settings import Settings


def out_of_reach(settings: Settings, cells: Iterable[Planned]) -> tuple[Path, ...]:
    """Files and folders that no worker of these cells sees. A suite beside this one counts, for the fit of an oracle
    there holds the true poses."""
    cells, suite = list(cells), settings.suite.resolve()
    scenes = {Path(folder).resolve() for each in cells if (folder := getattr(each.source, "folder", None))}
    suites = {lock.parent.resolve() for lock in suite.parent.glob("*/.lock")} - {suite}
    return (suite, *settings.data, key_folder(), *_without_software(scenes | suites, cells))


def _without_software(folders: set[Path], cells: list[Planned]) -> list[Path]:
    """Those of the folders in which nothing lies that a worker needs, as an environment or a method's own code: with
    them covered it could not run."""
    if not folders:
        return []
    code = [code_of(ref) for ref in {each.method.ref for each in cells}]
    shown = [Path(source).resolve() for each in code for source, *_ in shown_installed(each.places, each.interpreter)]
    return sorted(folder for folder in folders if not any(place.is_relative_to(folder) for place in shown))
