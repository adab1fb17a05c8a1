"""A recorded cell, planned again: its scene and method as they are now, found where the result says that they were."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.cell import join_label, split_label
from bench.degrade import parse
from bench.matrix.plan import Planned, skip_reason
from bench.matrix.registry import ConfiguredMethod, UnknownName, find_method, find_scene, open_scene
from bench.matrix.restated import read_as
from bench.record import Result
from bench.regime import parse_regime
from bench.scene import SceneSource

SCENE, METHOD, PYTHON = "scene_folder", "method_file", "method_python"
"""In a result's provenance, where its scene or its method came from a path, or its method has another environment."""


def places(source: SceneSource, method: ConfiguredMethod) -> dict[str, Any]:
    """For the provenance: where a scene that is a folder, a method that is a file, and its interpreter lie, and what is
    installed there of what it imports."""
    folder = getattr(source, "folder", None)  # scenes that are made in code have none
    found = {
        SCENE: folder and str(Path(folder).resolve()), METHOD: method.ref.file, PYTHON: method.ref.python,
        "method_environment": method.environment(),
    }  # fmt: skip
    return {name: place for name, place in found.items() if place}


def plan_again(result: Result, roots: Sequence[Path], method: str | None = None) -> Planned:
    """The plan of a recorded cell; `method` is its method's file, where that came from one and lies elsewhere now.

    Raises ValueError where its scene or method are gone.
    """
    source, found = scene_of(result, roots), _method_of(result, method)
    degradation = parse(result.cell.degradation).at(result.cell.seed)
    return Planned(
        cell=result.cell, source=source, degradation=degradation, method=found,
        skip=skip_reason(source, degradation, found),
    )  # fmt: skip


def scene_of(result: Result, roots: Sequence[Path]) -> SceneSource:
    """The scene of a recorded cell as its regime has it: by its name, or in the folder where it was. Raises ValueError
    where it is gone."""
    name, place = result.cell.scene, result.provenance.get(SCENE)
    try:
        source = find_scene(name, roots)
        gone = f"scene {name!r} is not here: {source.missing}" if source.missing else None
    except UnknownName as error:
        source, gone = None, str(error)
    if source is not None and gone is None:
        return read_as(source, parse_regime(result.cell.effort))
    if place and Path(place).is_dir():
        return read_as(open_scene(Path(place), name), parse_regime(result.cell.effort))
    raise UnknownName(f"{gone}; it was at {place}" if place else str(gone))


def lay_elsewhere(result: Result, source: SceneSource) -> str | None:
    """The folder of the scene that this result is of, where that is there and another than `source`: None too where it
    holds the same images and poses."""
    place, folder = result.provenance.get(SCENE), getattr(source, "folder", None)
    if place is None or folder is None or Path(folder).resolve() == Path(place) or not Path(place).is_dir():
        return None
    digest = result.ingredients.get("fit", {}).get("scene", {}).get("digest")
    regime = parse_regime(result.cell.effort)
    return None if digest == read_as(source, regime).digest(regime.pixels) else place


def _method_of(result: Result, file: str | None) -> ConfiguredMethod:
    name, options = split_label(result.cell.method)
    place, python = file or result.provenance.get(METHOD), result.provenance.get(PYTHON)
    options |= {"python": python} if python else {}
    if place is None:
        return find_method(join_label(name, options))
    found = find_method(join_label(str(place), options))
    if found.method.name != name:
        raise ValueError(f"{place} holds method {found.method.name!r}, and {result.cell.id} was fitted by {name!r}")
    return found
