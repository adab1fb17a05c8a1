"""Ask a saved field for the held-out views. Three workers, none of which holds both an image and a render of it.

What refines or registers is shown images and answers with poses; what renders is shown poses and answers with images.
Registration is shown no pose. All see the saved field alone, and not the folder that it came from.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.files import read_arrays, write_arrays
from bench.judge.protocol import STAGES, Stage
from bench.matrix.method_ref import MethodRef
from bench.runner import worker_io
from bench.runner.executors.base import Executor, Request, Verb
from bench.runner.fit_client import append
from bench.runner.method_probe import code_of
from bench.runner.scratch import lent
from bench.task import Camera, Pose

REFINED: tuple[Stage, ...] = ("refined", "half")
POSES = "poses.npz"


class RenderError(Exception):
    """The worker could not render a fit that it had saved."""


@dataclass(frozen=True, kw_only=True)
class SavedField:
    """A field in a cell's folder, and the method that can load it."""

    cell: Path
    method: MethodRef
    config: Mapping[str, Any]  # the method's whole config
    differentiable: bool = True  # may be: what the fit said, where it said so
    registers: bool = True


@dataclass(frozen=True, kw_only=True)
class HeldOutRenders:
    """Renders (N, H, W, C) by stage, depth (N, H, W), poses (N, 4, 4) found by stage, and why a stage is missing."""

    stages: Mapping[Stage, NDArray[np.float32]]
    depth: NDArray[np.float32] | None = None
    corrections: Mapping[Stage, Pose]
    missing: Mapping[Stage, str]


class RenderClient:
    """Workers for one saved field, together bounded to `limit` wall seconds."""

    def __init__(self, field: SavedField, executor: Executor, *, device: str, limit: float) -> None:
        self.field, self.executor, self.device = field, executor, device
        self._end = time.monotonic() + limit

    def heldout(
        self, aligned: Pose, camera: Camera, images: NDArray[np.uint8], *, refine: Mapping[str, Any] | None, seed: int
    ) -> HeldOutRenders:
        """Render the held-out views from `aligned` poses (N, 4, 4), from those refined on `images` (N, H, W, C) by the
        protocol with the constants `refine` (None: not at all), and from those that the method finds by itself.

        Poses are in the method's own frame. Raises RenderError.
        """
        poses: dict[Stage, Pose] = {}
        missing: dict[Stage, str] = {}

        def take(stages: Sequence[Stage], found: Mapping[str, Pose] | str) -> None:
            if isinstance(found, str):
                missing.update(dict.fromkeys(stages, found))
            else:
                poses.update({stage: found[stage] for stage in stages})

        if refine is None:
            take(REFINED, "refinement was not asked for")
        elif not self.field.differentiable:
            take(REFINED, "the field carries no gradient to the pose")
        else:
            views = {"aligned": aligned, "images": images}
            take(
                REFINED,
                self._ask("refine", camera, views, POSES, dict.fromkeys(REFINED, aligned.shape), refine=dict(refine)),
            )
        if self.field.registers:
            shapes = {"registered": aligned.shape}
            take(("registered",), self._ask("register", camera, {"images": images}, POSES, shapes, seed=seed))
        else:
            take(("registered",), "the method does not register new images")
        asked = {stage: np.where(np.isfinite(found), found, aligned) for stage, found in poses.items()}
        views = {"aligned": aligned, **asked}
        shapes = {**dict.fromkeys(views, images.shape), "depth": images.shape[:3]}
        renders = self._ask("render", camera, views, "renders.npz", shapes)
        if isinstance(renders, str):
            return HeldOutRenders(stages={}, corrections={}, missing=dict.fromkeys(STAGES, renders))
        made: dict[Stage, NDArray[np.float32]] = {stage: renders[stage] for stage in STAGES if stage in renders}
        return HeldOutRenders(stages=made, depth=renders["depth"], corrections=poses, missing=missing)

    def found(self, starts: Pose, camera: Camera, images: NDArray[np.uint8], *, search: Mapping[str, Any]) -> Pose:
        """Poses (N, 4, 4) of held-out images (N, H, W, C) whose cameras nobody knows: of `starts` (K, N, 4, 4) those
        that show the left halves best, moved by `refine` on these halves with the constants `search`.

        Raises RenderError.
        """
        views, shapes = {"starts": starts, "images": images}, {"found": starts.shape[1:]}
        found = self._ask("find", camera, views, POSES, shapes, refine=dict(search))
        return starts[0] if isinstance(found, str) else np.where(np.isfinite(found["found"]), found["found"], starts[0])

    def _ask(
        self, verb: Verb, camera: Camera, views: Mapping[str, np.ndarray], answer: str,
        shapes: Mapping[str, tuple[int, ...]], **request: Any,
    ) -> dict[str, np.ndarray] | str:  # fmt: skip
        """The arrays that a worker answers with, those of these names of these shapes, or why it has none."""
        with lent(self.field.cell) as scratch:
            write_arrays(scratch / "in" / "views.npz", views)
            request |= {
                "method": asdict(self.field.method), "config": self.field.config, "device": self.device,
                "camera": asdict(camera),
            }  # fmt: skip
            worker_io.write_request(scratch, request)
            end = self.executor.run(Request(
                verb=verb, folder=scratch, code=code_of(self.field.method), limit=self._end - time.monotonic(),
                inputs={"field": self.field.cell / "fit" / "field"},
            ))  # fmt: skip
            append(scratch / "stderr.txt", self.field.cell / "stderr.txt")
            said = worker_io.read_outcome(scratch)
            if said is None or said["status"] != "done":
                raise RenderError(f"rendering the held-out views failed: {said['reason'] if said else end.reason}")
            if "absent" in said:
                return str(said["absent"])
            return _checked(scratch / "out" / answer, shapes)


def _checked(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Arrays of numbers as they were asked for. Raises RenderError."""
    try:
        found = read_arrays(worker_io.own(path))
    except (OSError, ValueError, zipfile.BadZipFile, worker_io.ForeignFile) as error:
        raise RenderError(f"what the method answered cannot be read: {error}") from error
    for name, shape in shapes.items():
        if name not in found:
            raise RenderError(f"the method answered without {name}")
        if found[name].shape != shape or found[name].dtype.kind not in "fiu":
            have = f"{found[name].shape} of {found[name].dtype}"
            raise RenderError(f"the method answered with {name} {have}, where {shape} of numbers was asked for")
    return found
