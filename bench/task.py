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
from typing import TYPE_CHECKING, Literal, NewType, Protocol, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from pydantic import BaseModel

INTERFACE = 1
"""Version of this file's contract; part of every fit fingerprint."""

ViewId = NewType("ViewId", str)
"""Opaque name of a view, `v000`: never a file's own name, which may tell a pose or an order."""

Pose = NDArray[np.float64]
"""(4, 4) `world_from_camera`, OpenCV axes."""

Image = NDArray[np.uint8]
"""(H, W, 3) sRGB, or (H, W, 1) in a silhouette capture."""

Effort = Literal["smoke", "quick", "full"]
Gift = Literal["camera", "prior", "start", "masks", "estimate"]
"""What a capture may hold beside its images. What a method was given is printed beside its numbers."""


class Collapsed(Exception):  # noqa: N818 - an outcome, not a fault
    """Raised by `Method.fit` when it has found no answer: recorded as a `collapsed` row with this reason."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Pinhole intrinsics in pixels, pixel centres at +0.5: pixel (0, 0) is seen along ((0.5 - cx) / fx, ...)."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"camera: image size must be positive, got {self.width}x{self.height}")
        if not (self.fx > 0 and self.fy > 0 and np.isfinite([self.fx, self.fy, self.cx, self.cy]).all()):
            raise ValueError(f"camera: focal lengths must be positive and finite, got fx={self.fx}, fy={self.fy}")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(3, 3) `pixel_from_camera`."""
        return np.array([[self.fx, 0.0, self.cx], [0.0, self.fy, self.cy], [0.0, 0.0, 1.0]])

    def resized(self, width: int, height: int) -> Camera:
        """The same camera for images resampled to `width` x `height` pixels."""
        sx, sy = width / self.width, height / self.height
        return Camera(width=width, height=height, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy)

    def directions(self) -> NDArray[np.float64]:
        """Viewing directions of all pixels in camera axes, (H, W, 3), z = 1 (not normalised)."""
        x = (np.arange(self.width) + 0.5 - self.cx) / self.fx
        y = (np.arange(self.height) + 0.5 - self.cy) / self.fy
        xx, yy = np.meshgrid(x, y)
        return np.stack([xx, yy, np.ones_like(xx)], axis=-1).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Poses found outside of the suite, in a frame of their own, and the intrinsics that belong to them."""

    poses: Mapping[ViewId, Pose]  # a view absent from it is unregistered
    camera: Camera | None = None  # None: those that the scene gives


@dataclass(frozen=True, kw_only=True)
class PosePrior:
    """A family of viewpoints, never one of them: what GNeRF calls the prior pose distribution (sec. 3.1).

    The camera sits on a sphere around `look_at` (+ N(0, look_at_std^2) on each axis) and looks at it.
    Angles are in degrees. Azimuth turns counter-clockwise about `up` from the world axis that follows `up`
    cyclically (x for z-up); elevation rises from the plane normal to `up`. Lengths are in scene units.
    """

    family: Literal["sphere", "sphere+jitter", "full"] = "sphere"
    azimuth: tuple[float, float] = (0.0, 360.0)
    elevation: tuple[float, float] = (0.0, 90.0)
    elevation_by: Literal["angle", "area"] = "angle"  # uniform in the angle, or uniform on the sphere
    radius: tuple[float, float] = (4.0, 4.0)
    look_at: tuple[float, float, float] = (0.0, 0.0, 0.0)
    look_at_std: float = 0.0
    up: Literal["x", "y", "z"] = "z"
    roll_std: float = 0.0
    near: float = 2.0  # along a ray from the camera
    far: float = 6.0

    def __post_init__(self) -> None:
        for name, (low, high) in (("azimuth", self.azimuth), ("elevation", self.elevation), ("radius", self.radius)):
            if not low <= high:
                raise ValueError(f"prior: {name} must be a range low <= high, got [{low}, {high}]")
        if self.radius[0] <= 0:
            raise ValueError(f"prior: radius must be positive, got {self.radius[0]}")
        if not -90 <= self.elevation[0] <= self.elevation[1] <= 90:
            raise ValueError(f"prior: elevation must lie in [-90, 90] degrees, got {self.elevation}")
        if not 0 <= self.near < self.far:
            raise ValueError(f"prior: needs 0 <= near < far, got near={self.near}, far={self.far}")

    def sample(self, rng: np.random.Generator, n: int) -> Pose:
        """Draw `n` poses, (n, 4, 4)."""
        azimuth = np.radians(rng.uniform(*self.azimuth, size=n))
        low, high = np.radians(self.elevation)
        if self.elevation_by == "area":
            elevation = np.arcsin(rng.uniform(np.sin(low), np.sin(high), size=n))
        else:
            elevation = rng.uniform(low, high, size=n)
        radius = rng.uniform(*self.radius, size=n)
        target = np.asarray(self.look_at) + self.look_at_std * rng.standard_normal((n, 3))
        roll = np.radians(self.roll_std) * rng.standard_normal(n)
        k = "xyz".index(self.up)
        offset = np.zeros((n, 3))
        offset[:, k] = np.sin(elevation)
        offset[:, (k + 1) % 3] = np.cos(elevation) * np.cos(azimuth)
        offset[:, (k + 2) % 3] = np.cos(elevation) * np.sin(azimuth)
        return look_at(target + radius[:, None] * offset, target, np.eye(3)[k], roll)


def look_at(
    centre: NDArray[np.float64],
    target: NDArray[np.float64],
    up: NDArray[np.float64],
    roll: NDArray[np.float64] | float = 0.0,
) -> Pose:
    """Poses (n, 4, 4) of cameras at `centre` (n, 3) that look at `target` (n, 3), image top towards `up` (3,).

    `roll` turns the camera clockwise about its viewing direction, in radians. Straight down or up, where `up`
    says nothing, the image's x axis is taken along an arbitrary but fixed normal of `up`.
    """
    centre, target = np.atleast_2d(centre), np.broadcast_to(np.atleast_2d(target), np.atleast_2d(centre).shape)
    forward = target - centre
    forward = forward / np.linalg.norm(forward, axis=-1, keepdims=True)
    right = np.cross(forward, up)
    length = np.linalg.norm(right, axis=-1, keepdims=True)
    right = np.where(length > 1e-8, right / np.maximum(length, 1e-8), np.roll(up, 1))
    down = np.cross(forward, right)
    c, s = np.cos(np.broadcast_to(roll, len(centre)))[:, None], np.sin(np.broadcast_to(roll, len(centre)))[:, None]
    pose = np.tile(np.eye(4), (len(centre), 1, 1))
    pose[:, :3, 0] = c * right + s * down
    pose[:, :3, 1] = c * down - s * right
    pose[:, :3, 2] = forward
    pose[:, :3, 3] = centre
    return pose


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
        """What was given, as a result records it: gifts, and of start poses how true they are."""
        about_start = "start" if len(self.exact) == len(self.images) else "some_start" if self.exact else "rough_start"
        return tuple(sorted(about_start if gift == "start" else gift for gift in self.gifts))

    @property
    def gifts(self) -> frozenset[Gift]:
        """What this capture holds beside its images."""
        held: dict[Gift, object] = {
            "camera": self.camera, "prior": self.prior, "start": self.start, "masks": self.masks,
            "estimate": self.estimate,
        }  # fmt: skip
        return frozenset(gift for gift, value in held.items() if value is not None)

    def only(self, gifts: frozenset[Gift]) -> Capture:
        """This capture without what is not in `gifts`."""
        return replace(
            self,
            camera=self.camera if "camera" in gifts else None,
            prior=self.prior if "prior" in gifts else None,
            start=self.start if "start" in gifts else None,
            exact=self.exact if "start" in gifts else frozenset(),
            masks=self.masks if "masks" in gifts else None,
            estimate=self.estimate if "estimate" in gifts else None,
        )


@dataclass(frozen=True, kw_only=True)
class Start:
    """How far from the truth a method wants its start poses: by default they are the truth.

    The suite moves them, keyed by scene, view and seed, and keeps with the fit what it gave. Lengths are in quarters
    of the distance from the cameras to the scene, 1 scene unit where published levels come from.
    """

    noise: float = 0.0  # std of a twist of the world about the scene's middle, radians and lengths (BARF, sec. 4.2)
    turn: float = 0.0  # degrees, at most: a turn of the camera about a random axis (iNeRF, sec. 4.1)
    shift: float = 0.0  # at most, along each axis of the world (iNeRF, sec. 4.1)
    exact: float = 0.0  # share of the views that keep their true poses: they are not judged

    def __post_init__(self) -> None:
        if min(self.noise, self.turn, self.shift) < 0 or not 0 <= self.exact <= 1:
            raise ValueError(f"start: noise, turn and shift must not be negative and exact lie in [0, 1], got {self}")

    @property
    def is_exact(self) -> bool:
        return not (self.noise or self.turn or self.shift)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a method asks for and what it can do, declared once and checked by the suite before anything runs."""

    needs: frozenset[Gift] = frozenset()  # cannot run without
    uses: frozenset[Gift] = frozenset()  # takes it where there is one
    start: Start = Start()  # what its start poses are like, if it takes some
    estimates_camera: bool = False  # returns intrinsics of its own
    silhouettes: bool = False  # accepts one-channel captures
    seconds: Mapping[Effort, float] = dataclasses.field(
        default_factory=dict
    )  # a usual fit on two CPU cores, for `plan`
    tuned_on: tuple[str, ...] = ()  # scenes whose truth was in view when the values it is set to were chosen
    pretrained_on: tuple[str, ...] = ()  # data that its weights had seen before the fit

    def __post_init__(self) -> None:
        if unknown := sorted((self.needs | self.uses) - set(get_args(Gift))):
            raise ValueError(f"traits: {unknown[0]!r} is nothing that is given; known are {', '.join(get_args(Gift))}")

    def lack(self, gifts: frozenset[Gift]) -> str | None:
        """What is missing where only `gifts` can be given, or None."""
        names = {
            "camera": "intrinsics", "prior": "a pose prior", "start": "start poses", "masks": "masks",
            "estimate": "poses that `unposed submit` brought under this name",
        }  # fmt: skip
        missing = sorted(self.needs - gifts)
        return "needs " + " and ".join(names[gift] for gift in missing) if missing else None

    def unmet_by(self, capture: Capture) -> str | None:
        """Why this method cannot run on `capture`, or None when it can."""
        if lacking := self.lack(capture.gifts):
            return lacking
        if "start" in self.needs and self.start.exact > 0 and not capture.exact:
            return "needs true poses of some views"
        if capture.shape[2] == 1 and not self.silhouettes:
            return "needs colour images, not silhouettes"
        return None


Sink = Callable[[int, Mapping[str, float], Mapping[str, Image]], None]


def _ignore(step: int, values: Mapping[str, float], images: Mapping[str, Image]) -> None:
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
    sink: Callable[[int, Mapping[str, float], Mapping[str, Image]], None] = dataclasses.field(
        default=_ignore, repr=False
    )

    @property
    def checkpoints(self) -> Path:
        """Folder for the method's checkpoints (made on first use)."""
        folder = self.workdir / "checkpoints"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, step: int, values: Mapping[str, float], images: Mapping[str, Image] | None = None) -> None:
        """Record curves (and preview images) of the fit: they reach log.jsonl, MLflow and the report."""
        self.sink(step, values, images or {})


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """Images of a field from N cameras; float32, colours in [0, 1], depth along z of the camera in field units."""

    rgb: NDArray[np.float32]  # (N, H, W, C): C = 3, or 1 for a silhouette field
    depth: NDArray[np.float32]  # (N, H, W)
    opacity: NDArray[np.float32]  # (N, H, W) in [0, 1]


@runtime_checkable
class Field(Protocol):
    """A scene that can be rendered, in the method's own arbitrary frame."""

    def render(self, poses: Pose, camera: Camera) -> Rendering:
        """Render from `poses` (N, 4, 4)."""
        ...


@runtime_checkable
class DifferentiableField(Field, Protocol):
    """A field whose colours carry gradients to the rays, so that the protocol can refine held-out poses."""

    def render_rays(self, origins: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        """Colours (R, C) in [0, 1] of rays with `origins` (R, 3) and unit `directions` (R, 3), on its device."""
        ...


@runtime_checkable
class RegisteringField(Field, Protocol):
    """A field that finds out by itself where a new image of its scene was taken."""

    def register(self, images: NDArray[np.uint8], camera: Camera, seed: int) -> Pose:
        """Poses (N, 4, 4), in the field's frame, of `images` (N, H, W, C): from their pixels alone."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A method's answer. A view absent from `poses` is unregistered and counts as such."""

    poses: Mapping[ViewId, Pose]
    field: Field | None = None
    camera: Camera | None = None  # the intrinsics that belong to `field` and `poses`; None: those given
    # what the reader of a result should know: restarts, fallbacks taken, ...
    notes: Mapping[str, str | float | int | bool] = dataclasses.field(default_factory=dict)


class Method(Protocol):
    """One way of answering. `Config` is a frozen pydantic model, and is where every default lives.

    The module that holds a method is imported to list it: it must not import torch at its top.
    """

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
