"""The images behind a cell's poses, beside the files that name them: as they were shown, or the photographs."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.degrade import degrade, parse
from bench.matrix.again import scene_of
from bench.poses_io.capture_export import write_images
from bench.poses_io.pose_format import IMAGES
from bench.record import Result, drawn, read_json
from bench.regime import pixels_of
from bench.scene import SceneSource
from bench.task import Capture, ViewId

if TYPE_CHECKING:
    from datasets.folder import FolderScene

ORIGINALS = "originals.csv"


@dataclass(frozen=True, kw_only=True)
class Images:
    """What lies in `images/`: names other than v012.png, a size (width, height) other than shown, or why nothing."""

    names: Mapping[ViewId, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    absent: str | None = None
    note: str | None = None  # what whoever takes them home must know


class Shown:
    """What the methods of a question were shown: read once for all of them."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = roots
        self._held: dict[tuple[str, str, int, str], Capture] = {}

    def images(self, result: Result, place: Path, forms: Sequence[str]) -> Images:
        """Write the images as they were shown, where one of the `forms` names them, and what they were taken from."""
        try:
            source = self._source(result)
            if set(forms) != {"tum"}:
                write_images(place, self._capture(source, result))
            if (folder := _folder_scene(source)) is not None:
                _write_originals(folder, place)
        except ValueError as error:
            return Images(absent=str(error))
        return Images()

    def full_size(self, cell: Path, result: Result, place: Path) -> Images:
        """Write the photographs themselves of the cell in a folder. A scene that is read otherwise by now gives them
        too, with a note, as long as it has as many views. Raises ValueError where it is not here, or has none."""
        from datasets.originals import hand_over

        source = scene_of(result, self.roots)
        folder = _folder_scene(source)
        if folder is None:
            raise ValueError(f"--full-size: {source.name} is made in code, and has no photographs")
        handed = list(hand_over(folder, place / IMAGES))
        if {view for view, *_ in handed} != set(read_json(cell / "fit" / "capture.json")["views"]):
            raise ValueError(f"--full-size: scene {source.name!r} has other views than it had")
        _write_originals(folder, place)
        *_, camera = handed[0]
        return Images(
            names={view: name for view, name, _ in handed},
            size=(camera.width, camera.height),
            note=None if self._is_same(source, result) else "the scene, or how it is read, has changed since",
        )

    def _is_same(self, source: SceneSource, result: Result) -> bool:
        return source.digest(pixels_of(result.cell.effort)) == result.ingredients["fit"]["scene"]["digest"]

    def _source(self, result: Result) -> SceneSource:
        """The scene of a cell, the same as then. Raises ValueError."""
        source = scene_of(result, self.roots)
        if not self._is_same(source, result):
            raise ValueError(f"scene {source.name!r}, or how it is read, has changed since")
        return source

    def _capture(self, source: SceneSource, result: Result) -> Capture:
        cell = result.cell
        key = (cell.scene, cell.degradation, drawn(result), cell.effort)
        if key not in self._held:
            scene = source.load(pixels_of(cell.effort))
            degradation = replace(parse(cell.degradation), seed=drawn(result))
            capture = degrade(replace(scene.capture, start=scene.truth.poses or None), degradation, cell.scene)
            self._held = {key: capture}  # one at a time: cells come scene by scene
        return self._held[key]


def _folder_scene(source: SceneSource) -> FolderScene | None:
    from datasets.folder import FolderScene

    return source if isinstance(source, FolderScene) else None


def _write_originals(source: FolderScene, place: Path) -> None:
    from datasets.originals import originals

    with (place / ORIGINALS).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["view", "original"])
        rows.writerows([view, each.name] for view, each in originals(source).items())
