"""All that a method author reads: what a method is given, and what it must give back.

Frames and units, everywhere in Unposed:

- A pose is `world_from_camera`, a (4, 4) float64 matrix in OpenCV axes (x right, y down, z forward).
- Lengths are in scene units; image coordinates are in pixels, with pixel centres at +0.5.
- Images are sRGB, uint8 in storage and float in [0, 1] in arithmetic.
- A method's own world is arbitrary up to a similarity: the protocol aligns it with the truth afterwards.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NewType, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from bench.accelerator import Accelerator, lack_of
from bench.camera import Camera, InitialPoses, PosePrior
from bench.field import DifferentiableField, Field, RasterisedField, RegisteringField, Rendering
from bench.geometry import Pose, look_at

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = [
    "INTERFACE",
    "METHOD_NAME",
    "Accelerator",
    "Camera",
    "Capture",
    "Collapsed",
    "DifferentiableField",
    "Effort",
    "Estimate",
    "Field",
    "Fit",
    "Image",
    "InitialPoses",
    "Input",
    "Job",
    "Method",
    "Place",
    "Pose",
    "PosePrior",
    "RasterisedField",
    "RegisteringField",
    "Rendering",
    "Sink",
    "Traits",
    "ViewId",
    "look_at",
]

INTERFACE = 1
"""Version of this file's contract; part of every fit fingerprint."""

ViewId = NewType("ViewId", str)
"""Opaque name of a view, `v000`: never a file's own name, which may tell a pose or an order."""

Image = NDArray[np.uint8]
"""(H, W, 3) sRGB, or (H, W, 1) in a silhouette capture."""

Effort = Literal["smoke", "quick", "full"]
Input = Literal["camera", "prior", "start", "masks", "estimate"]
"""What a capture may hold beside its images. What a method was given is printed beside its numbers."""


class Collapsed(Exception):  # noqa: N818 - an outcome, not a fault
    """Raised by `Method.fit` when it has found no answer: recorded as a `collapsed` row with this reason."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Poses found outside of the suite, in a frame of their own, and the intrinsics that belong to them."""

    poses: Mapping[ViewId, Pose]  # a view absent from it is unregistered
    camera: Camera | None = None  # None: those that the scene gives


@dataclass(frozen=True, kw_only=True)
class Capture:
    """What a method is shown: images, and what its traits declare it may have. No field can hold a true pose
    except `start`, which is given only to methods that say they need one, and is printed beside their numbers.
    `estimate` holds what a person brought, and is printed too."""

    images: Mapping[ViewId, Image]
    masks: Mapping[ViewId, NDArray[np.uint8]] | None = None  # (H, W), 255 on the object, its coverage at the edge
    camera: Camera | None = None  # shared by all views
    prior: PosePrior | None = None
    start: Mapping[ViewId, Pose] | None = None
    exact: frozenset[ViewId] = frozenset()  # views whose start pose is the truth; the others' are more or less near it
    estimate: Estimate | None = None  # brought by `unposed submit`, and by nothing else
    background: tuple[float, float, float] | None = None  # sRGB in [0, 1] behind the object; None: a real background

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError("capture: no images")
        shapes = {image.shape for image in self.images.values()}
        if len(shapes) > 1:
            raise ValueError(f"capture: images must share one size, got {sorted(shapes)}")
        if self.camera is not None and (self.camera.height, self.camera.width) != self.shape[:2]:
            raise ValueError(
                f"capture: camera is {self.camera.width}x{self.camera.height} px "
                f"but images are {self.shape[1]}x{self.shape[0]} px"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """(H, W, C) of every image."""
        return next(iter(self.images.values())).shape

    @property
    def given(self) -> tuple[str, ...]:
        """What was given, as a result records it: inputs, and of start poses how true they are."""
        about_start = "start" if len(self.exact) == len(self.images) else "some_start" if self.exact else "rough_start"
        return tuple(sorted(about_start if name == "start" else name for name in self.inputs))

    @property
    def inputs(self) -> frozenset[Input]:
        """What this capture holds beside its images."""
        held: dict[Input, object] = {
            "camera": self.camera, "prior": self.prior, "start": self.start, "masks": self.masks,
            "estimate": self.estimate,
        }  # fmt: skip
        return frozenset(name for name, value in held.items() if value is not None)

    def only(self, inputs: frozenset[Input]) -> Capture:
        """This capture without what is not in `inputs`."""
        return replace(
            self,
            camera=self.camera if "camera" in inputs else None,
            prior=self.prior if "prior" in inputs else None,
            start=self.start if "start" in inputs else None,
            exact=self.exact if "start" in inputs else frozenset(),
            masks=self.masks if "masks" in inputs else None,
            estimate=self.estimate if "estimate" in inputs else None,
        )


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a method asks for and what it can do, declared once and checked by the suite before anything runs."""

    needs: frozenset[Input] = frozenset()  # cannot run without
    uses: frozenset[Input] = frozenset()  # takes it where there is one
    start: InitialPoses = InitialPoses()  # noqa: RUF009 - frozen; what its start poses are like, if it takes some
    estimates_camera: bool = False  # returns intrinsics of its own
    silhouettes: bool = False  # accepts one-channel captures
    seconds: Mapping[Effort, float] = dataclasses.field(
        default_factory=dict
    )  # a usual fit on two CPU cores, for `plan`
    tuned_on: tuple[str, ...] = ()  # scenes whose truth was in view when the values it is set to were chosen
    pretrained_on: tuple[str, ...] = ()  # data that its weights had seen before the fit
    packages: tuple[str, ...] = ()  # importable names that it cannot run without, beside those of the suite ...
    extra: str = ""  # ... and the extra of Unposed that brings them, if one does
    accelerator: Accelerator | None = None  # a device that it cannot run without
    prepares: tuple[str, ...] = ()
    """Options that, with the capture, decide what it leaves in `job.prepared`: cells that agree in them share it."""

    def __post_init__(self) -> None:
        if unknown := sorted((self.needs | self.uses) - set(get_args(Input))):
            raise ValueError(f"traits: {unknown[0]!r} is nothing that is given; known are {', '.join(get_args(Input))}")

    @property
    def given(self) -> tuple[str, ...]:
        """What it cannot run without, in the words of `Capture.given`."""
        about_start = "start" if self.start.is_exact else "some_start" if self.start.exact else "rough_start"
        return tuple(sorted(about_start if name == "start" else name for name in self.needs))

    def lack(self, inputs: frozenset[Input]) -> str | None:
        """What is missing where only `inputs` can be given, or None."""
        if lacking := lack_of(self.packages, self.extra):
            return lacking
        names = {
            "camera": "intrinsics", "prior": "a pose prior", "start": "start poses", "masks": "masks",
            "estimate": "poses that `unposed submit` brought under this name",
        }  # fmt: skip
        missing = sorted(self.needs - inputs)
        return "needs " + " and ".join(names[name] for name in missing) if missing else None

    def unmet_by(self, capture: Capture) -> str | None:
        """Why this method cannot run on `capture`, or None when it can."""
        if lacking := self.lack(capture.inputs):
            return lacking
        if "start" in self.needs and self.start.exact > 0 and not capture.exact:
            return "needs true poses of some views"
        if capture.shape[2] == 1 and not self.silhouettes:
            return "needs colour images, not silhouettes"
        return None


Sink = Callable[[int, Mapping[str, float], Mapping[str, Image]], None]


Place = Callable[[str, int, int], None]


def _ignore(step: int, values: Mapping[str, float], images: Mapping[str, Image]) -> None:
    pass


def _unseen(phase: str, step: int, steps: int) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Job:
    """The conditions of one fit: seed, means and limits."""

    seed: int
    workdir: Path  # the method's own folder: scratch and checkpoints; survives a kill, so a fit can resume
    device: str = "cpu"
    threads: int = 1  # CPU threads granted to this cell
    effort: Effort = "quick"
    seconds: float = 900.0  # wall time from `began` on: a fit stops before it is over, or is killed
    began: float = dataclasses.field(default_factory=time.monotonic, repr=False, compare=False)
    sink: Sink = dataclasses.field(default=_ignore, repr=False)
    place: Place = dataclasses.field(default=_unseen, repr=False)

    @property
    def checkpoints(self) -> Path:
        """Folder for the method's checkpoints (made on first use)."""
        folder = self.workdir / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def prepared(self) -> Path:
        """Where a method keeps what does not depend on the seed (see `Traits.prepares`), and finds what another cell
        of the same capture left: complete with a `seconds.json`, written last, whose `seconds` say how long it took."""
        return self.workdir / "prepared"

    def log(self, step: int, values: Mapping[str, float], images: Mapping[str, Image] | None = None) -> None:
        """Record curves (and preview images) of the fit: they reach log.jsonl, MLflow and the report."""
        self.sink(step, values, images or {})

    def progress(self, phase: str, step: int = 0, steps: int = 0) -> None:
        """Say that `step` of `steps` of the whole fit are done (0 of 0: nobody knows), in a `phase` of a word or two.
        Optional, and cheap enough for every step: whoever waits sees it, and a time left."""
        self.place(phase, step, steps)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A method's answer. A view absent from `poses` is unregistered and counts as such."""

    poses: Mapping[ViewId, Pose]
    field: Field | None = None
    camera: Camera | None = None  # the intrinsics that belong to `field` and `poses`; None: those given
    # what the reader of a result should know: restarts, fallbacks taken, ...; under a name that the suite writes itself
    # (`machine`, `phases`, ...) it goes on as `method_<name>`
    notes: Mapping[str, str | float | int | bool] = dataclasses.field(default_factory=dict)
    flags: tuple[str, ...] = ()  # what must be read beside its numbers: "too short to converge: ..."
    # optional, its own word on how sure each pose is: dB by which it explains its image better than the best pose found
    # that is turned from it by more than 20 degrees; about 0, or below: ambiguous
    margins: Mapping[ViewId, float] = dataclasses.field(default_factory=dict)


class Method(Protocol):
    """One way of answering. `Config` is a frozen pydantic model, and is where every default lives. The module that
    holds a method is imported to list it: it must not import torch at its top."""

    name: str
    version: str
    summary: str  # one line for `unposed list methods`
    Config: type[BaseModel]

    def __init__(self, config: BaseModel) -> None: ...

    @property
    def config(self) -> BaseModel: ...

    @property
    def traits(self) -> Traits: ...

    def fit(self, capture: Capture, job: Job) -> Fit:
        """Recover poses and field. Deterministic given `job.seed`, device and thread count."""
        ...

    def save(self, fit: Fit, folder: Path) -> None:
        """Write the field into `folder` (poses and camera are saved by the suite). No pickles."""
        ...

    def load(self, folder: Path, device: str) -> Field | None:
        """Read back what `save` wrote."""
        ...


METHOD_NAME = re.compile(r"(?!(truth|shown)$)[a-z][a-z0-9_]*([+][a-z0-9_]+)*")
"""What a method may be called; `truth` and `shown` are folders beside those of the methods."""
