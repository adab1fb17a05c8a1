"""What a run keeps from its workers: its suite and those beside it, data, the key, and the scenes that are folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.matrix.plan import Planned
from bench.runner.method_probe import code_of
from bench.runner.seal import key_folder
from bench.runner.settings import Settings


def out_of_reach(settings: Settings, cells: Iterable[Planned]) -> tuple[Path, ...]:
    """Files and folders that no worker of these cells sees. A suite beside this one counts: the fit of an oracle there
    holds the true poses."""
    suite = settings.suite.resolve()
    beside = sorted(lock.parent for lock in suite.parent.glob("*/.lock"))
    return (suite, *beside, *settings.data, key_folder(), *_scenes(list(cells)))


def _scenes(cells: list[Planned]) -> Iterable[Path]:
    """Folders of scenes, but for those in which a method or its other environment lies: it could not run."""
    scenes = {Path(folder).resolve() for each in cells if (folder := getattr(each.source, "folder", None))}
    code = [code_of(ref) for ref in {each.method.ref for each in cells}]
    needed = [place.resolve() for each in code for place in each.places]
    needed += [place.resolve() for each in code if each.interpreter for place in each.interpreter.places]
    return sorted(scene for scene in scenes if not any(place.is_relative_to(scene) for place in needed))
