"""Unposed from Python: run a matrix, read a suite, render its fields; and what a method's author imports.

    import unposed

    suite = unposed.run(scenes="blocks", methods="nerf,gnerf", effort="smoke", out="runs/first")  # or unposed.load(...)
    suite.results                                      # a pandas DataFrame, one row a cell
    cell = suite.cell("blocks/clean/gnerf/seed0")
    cell.curves, cell.views, cell.renders("aligned")   # how it trained, each view's numbers, pictures
    field = cell.field()
    seen = field.render(cell.field_from_truth(cell.cameras.heldout["h000"][None]), cell.cameras.intrinsics)

Poses are world_from_camera, (4, 4), OpenCV axes, in scene units. There are two frames: the *truth's*, in which cameras
are kept once they are aligned, and the *field's*, the method's own, arbitrary up to a similarity. Bad input raises
ValueError with a sentence. Importing this module imports nothing heavy; torch and pandas come with the first use.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

    from bench.record import Result
    from bench.task import (
        Accelerator,
        Camera,
        Capture,
        Collapsed,
        DifferentiableField,
        Effort,
        Estimate,
        Field,
        Fit,
        Image,
        InitialPoses,
        Input,
        Job,
        Method,
        Pose,
        PosePrior,
        RasterisedField,
        RegisteringField,
        Rendering,
        Traits,
        ViewId,
        look_at,
    )

__all__ = [
    "Accelerator", "Camera", "Cameras", "Capture", "Collapsed", "DifferentiableField", "Effort", "Estimate", "Field",
    "Fit", "Image", "InitialPoses", "Input", "Job", "Method", "Pose", "PosePrior", "RasterisedField", "RecordedCell",
    "RegisteringField", "Rendering", "Suite", "Traits", "ViewId", "load", "look_at", "run",
]  # fmt: skip

Rendered = Literal["aligned", "refined", "registered", "truth"]
"""Pictures of the held-out views: a stage of the protocol, or the clean targets."""

_log = logging.getLogger("unposed")


def __getattr__(name: str) -> Any:
    """What a method's author imports is defined in `bench.task`, and is looked up there when it is asked for."""
    if name in __all__:
        return getattr(importlib.import_module("bench.task"), name)
    raise AttributeError(f"module 'unposed' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


@dataclass(frozen=True, kw_only=True)
class Cameras:
    """The cameras of a judged cell, all poses in the truth's frame."""

    intrinsics: Camera  # the true ones, at the size that is judged
    truth: Mapping[ViewId, Pose]  # of the training views
    estimate: Mapping[ViewId, Pose]  # of those that were registered, aligned by the protocol
    heldout: Mapping[ViewId, Pose]  # true poses of the views that no method saw


@dataclass(frozen=True, kw_only=True)
class RecordedCell:
    """One cell of a suite, as its files tell it: scene x degradation x method x seed, fitted and judged."""

    folder: Path
    result: Result = dataclasses.field(repr=False)
    """How it ended: status, reason, metrics (column -> value), flags, notes, config, cost, provenance."""

    @property
    def id(self) -> str:
        """`scene/degradation/method/seedK`."""
        return self.result.cell.id

    @property
    def curves(self) -> pd.DataFrame:
        """What the fit logged: `step`, `seconds` (wall, from the start of the fit), and a column for each curve, NaN
        where it was not logged at a step. Empty where the method logs nothing."""
        import pandas as pd

        from bench.record import read_log

        return pd.DataFrame(read_log(self.folder))

    @property
    def views(self) -> pd.DataFrame:
        """Per-view values, indexed by view: `v...` are training views (poses), `h...` held-out ones (renders)."""
        import pandas as pd

        rows = {view: dict(values) for view, values in self.result.per_view.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("view")

    @property
    def cameras(self) -> Cameras:
        """True and estimated cameras, in the truth's frame. Raises ValueError where the cell was not judged."""
        import numpy as np

        from bench.record import read_cameras
        from bench.task import Camera, ViewId

        held = read_cameras(self.folder)
        if held is None:
            raise ValueError(f"{self.id} keeps no cameras: it is {self._ending}")
        kinds = ("truth", "estimate", "heldout")
        poses = {kind: {ViewId(view): np.array(pose) for view, pose in held[kind].items()} for kind in kinds}
        return Cameras(intrinsics=Camera(**held["camera"]), **poses)

    @property
    def poses(self) -> Mapping[ViewId, Pose]:
        """Estimated poses in the field's frame, as the method returned them. Raises ValueError where there are none."""
        from bench.poses_io.saved_fit import read_fit

        if not (self.folder / "fit" / "poses.json").is_file():
            raise ValueError(f"{self.id} has no poses: it is {self._ending}")
        return read_fit(self.folder / "fit").poses

    def renders(self, stage: Rendered = "aligned") -> Mapping[ViewId, Image]:
        """Pictures of the held-out views, (H, W, 3) uint8 sRGB, or (H, W, 1) of silhouettes.

        `aligned`: at the true poses, carried over; `refined`: each pose optimised on its own image; `registered`: where
        the method itself says that the image was taken; `truth`: the target. Raises ValueError where there are none.
        """
        import numpy as np
        from PIL import Image as Picture

        from bench.task import ViewId

        folder, ending = self.folder / "renders", f".{stage}.png"
        if stage == "truth":
            folder, ending = self.folder.parent.parent / "truth", ".png"
        pictures: dict[ViewId, Image] = {}
        for path in sorted(folder.glob(f"h*{ending}")):
            with Picture.open(path) as picture:
                pictures[ViewId(path.name.removesuffix(ending))] = np.atleast_3d(np.asarray(picture))
        if not pictures:
            said = self.result.absent.get(f"nvs/{stage}", f"it is {self._ending}")
            raise ValueError(f"{self.id} has no {stage} renders: {said}")
        return pictures

    def field(self, device: str = "cpu") -> Field:
        """The fitted field, loaded by its method; `field.render(poses, camera)` takes poses of the field's frame.
        Raises ValueError where the cell has none."""
        from bench.view.fitted_field import load_field

        loaded = load_field(self.folder, device)
        if loaded is None:
            raise ValueError(f"{self.id} has no field: it is {self._ending}")
        return loaded

    def field_from_truth(self, poses: Pose) -> Pose:
        """Carry poses (N, 4, 4) from the truth's frame into the field's, by the inverse of the protocol's alignment."""
        from bench.view.fitted_field import truth_from_field

        return truth_from_field(self.folder).inverse().apply(poses)

    @property
    def _ending(self) -> str:
        return f"{self.result.status} ({self.result.reason or 'the method returned poses alone'})"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A folder of cells, read once; `load` it again to see what a later run changed."""

    folder: Path
    cells: tuple[RecordedCell, ...] = dataclasses.field(repr=False)

    @cached_property
    def results(self) -> pd.DataFrame:
        """One row a cell, failures included: what it was, how it ended, every column of the protocol, and its cost. The
        report's page on the protocol says what each means, and its unit."""
        from bench.results_table import table

        return table(cell.result for cell in self.cells)

    def cell(self, name: str) -> RecordedCell:
        """A cell by its id, `blocks/clean/nerf/seed0`. Raises ValueError where the suite has none of that name."""
        for cell in self.cells:
            if cell.id == name:
                return cell
        raise ValueError(f"{self.folder} has no cell {name!r}; it has {', '.join(cell.id for cell in self.cells)}")

    def report(self) -> Path:
        """Write the suite's report and return its first page."""
        from reports.build import build

        return build(self.folder)


def load(suite: str | Path) -> Suite:
    """The suite in a folder, `runs/quick`. Raises ValueError where there are no results, or none of this version."""
    from bench.record import cells_of

    cells = (RecordedCell(folder=path, result=result) for path, result in cells_of(Path(suite)))
    return Suite(folder=Path(suite), cells=tuple(cells))


def run(
    *,
    scenes: str | Sequence[str] = "blocks",
    methods: str | Sequence[str] = "all",
    degradations: str | Sequence[str] = "clean",
    seeds: int | str | Iterable[int] = 0,
    effort: str = "quick",
    views: int | None = None,
    heldout: int | None = None,
    background: str | None = None,
    prior: str | None = None,
    data: str | Path | Sequence[str | Path] | None = None,
    out: str | Path | None = None,
    device: str | None = None,
    workers: int = 1,
    limit: float | None = None,
    retry_failed: bool = False,
    lpips: str | Path | None = None,
    listen: Callable[[RecordedCell], None] | None = None,
) -> Suite:
    """Fit, judge and record every cell that has no valid result yet, as `unposed run` does, and return the whole suite.

    Each selection is written as on the command line (`"gnerf,colmap_nerf[mapper=global]"`, `"noise@1-5"`, `"0-4"`), or
    is a sequence of its parts. `effort` is what a fit may cost, with another longest side as `"full@800"`; `views`,
    `heldout` (the first of every so many frames), `background` and `prior` are what `unposed run` has under these
    names, and part of the setting of every table. `data` names folders of real scenes (None: those of UNPOSED_DATA);
    `out` is the suite's folder (None: `runs/EFFORT`); `device` is what `--device` is (None: as without it),
    and `workers` cells run side by side on each; `limit` is in wall seconds a fit (None: by effort). `listen` is
    told of each cell once it has its result, from the thread that ran it. A cell that fails is a row of the suite, not
    an exception. `unposed track --replay` sends it to MLflow afterwards. Raises ValueError for what it cannot read.
    """
    from bench.judge.lpips import backbone_below
    from bench.matrix.plan import plan
    from bench.matrix.selection import Selection
    from bench.regime import parse_regime
    from bench.runner.devices import Devices
    from bench.runner.run import run as settle
    from bench.runner.settings import Settings

    roots = _roots(data)
    regime = parse_regime(effort).stating(views=views, heldout=heldout, background=background, prior=prior).label
    backbone = lpips or os.environ.get("UNPOSED_LPIPS_BACKBONE")
    made = plan(Selection(
        scenes=_joined(scenes), methods=_joined(methods), degradations=_joined(degradations), seeds=_joined(seeds),
        effort=regime, roots=roots,
    ))  # fmt: skip
    for line in made.absent:
        _log.warning("not here: %s", line)
    suite = Path(out or Path("runs") / regime)
    settings = Settings(
        suite=suite, workers=workers, limit=limit, retry_failed=retry_failed, devices=Devices.of(device, suite),
        lpips=Path(backbone) if backbone else backbone_below(roots), data=roots,
    ).tried()  # fmt: skip
    if settings.opening:
        _log.info(settings.opening)

    def told(planned: Any, stage: str, result: Result | None) -> None:
        if listen is not None and result is not None:
            listen(RecordedCell(folder=suite / planned.cell.folder, result=result))

    settle(made, settings, told)
    return load(suite)


def _joined(selection: int | str | Iterable[int | str]) -> str:
    """In the words of the command line."""
    return str(selection) if isinstance(selection, int | str) else ",".join(map(str, selection))


def _roots(data: str | Path | Sequence[str | Path] | None) -> tuple[Path, ...]:
    """Folders of real scenes. Raises ValueError where one is not there."""
    if data is None:
        data = [part for part in os.environ.get("UNPOSED_DATA", "").split(os.pathsep) if part]
    folders = tuple(map(Path, [data] if isinstance(data, str | Path) else data))
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"data: {folder} is not a folder")
    return folders
