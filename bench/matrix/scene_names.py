"""Names of scenes that are given by their folders' paths: the last part alone, or as many as tell two of them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from bench.cell import Cell
from bench.matrix.again import lay_elsewhere
from bench.matrix.registry import open_scene
from bench.record import Result, read_result
from bench.scene import SceneSource


def named_apart(given: Sequence[Path], others: Mapping[str, SceneSource], suite: Path | None) -> list[SceneSource]:
    """The scenes in these folders, each with a name of its own, which is none of the `others`.

    What a `suite` holds already keeps its name there. Raises SceneError.
    """
    folders = list(dict.fromkeys(folder.resolve() for folder in given))
    chosen = {folder: source for folder in folders if (source := _known(folder, suite)) is not None}
    taken = {*others, *(source.name for source in chosen.values())}
    rest = [folder for folder in folders if folder not in chosen]
    plain = Counter(open_scene(folder).name for folder in rest)
    for folder in rest:
        names = [name for name in _names(folder) if name not in taken and plain[name] < 2]
        free = (source for name in names if not _others(source := open_scene(folder, name), suite))
        chosen[folder] = next(free)
        taken.add(chosen[folder].name)
    return [chosen[folder] for folder in folders]


def remembered(name: str, suite: Path | None) -> Path | None:
    """The folder of the scene that a suite has under this name, where that was given by its path and is still there."""
    try:
        places = [result.provenance.get("scene_folder") for result in _recorded(suite, name)]
    except ValueError:  # no scene can have this name
        return None
    return next((Path(place) for place in places if place and Path(place).is_dir()), None)


def _names(folder: Path) -> Iterator[str]:
    """From the shortest on."""
    shortest = open_scene(folder).name
    yield shortest
    for n in range(shortest.count("/") + 2, len(folder.parts)):
        yield "/".join(folder.parts[-n:])


def _known(folder: Path, suite: Path | None) -> SceneSource | None:
    """The scene under the name that the suite has for this very folder."""
    for name in _names(folder):
        if any(result.provenance.get("scene_folder") == str(folder) for result in _recorded(suite, name)):
            return open_scene(folder, name)
    return None


def _others(source: SceneSource, suite: Path | None) -> bool:
    """Whether the suite has this name for another scene."""
    return any(lay_elsewhere(result, source) for result in _recorded(suite, source.name))


def _recorded(suite: Path | None, name: str) -> Iterator[Result]:
    """The results of a suite that are of a scene of this name."""
    if suite is None:
        return
    scene = Cell(scene=name, degradation="clean", method="any", seed=0, effort="smoke").folder.parents[2]
    for path in sorted((suite / scene).glob("*/*/seed*/result.json")):
        try:
            result = read_result(path.parent)
        except (OSError, ValueError):
            continue
        if result.cell.scene == name:
            yield result
