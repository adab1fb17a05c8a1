"""Where the scene is: the region of space that a field fills, found from whatever a method happens to know."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.geometry import nearest_to_axes
from bench.task import Camera, Pose, PosePrior
from methods.nerf.field.ndc import REACH, Frustum

Point = tuple[float, float, float]

NEAREST = 0.2
"""How near a camera there can be something before a real background, of its distance from the centre. Where few views
overlap, what is nearer costs nothing and explains each image by itself: floaters."""

THINNEST = 0.5
"""How thick the shell is at least, in half sizes of the cube: cameras stand in it, and where it is thinner still, so
few voxels lie in front of each that fog there is cheap."""

IN_VIEW = 1.2
"""Of what an image shows of the plane through the centre, how much is kept unsqueezed before a real background: voxels
beyond would be spent on what hardly two views share."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """A cube of space, and the interval along a ray in which there is something to see. All in scene units.

    With `contract`, the cube is only the near part of an unbounded scene: what lies outside is kept too, squeezed
    into a shell around it, `shell` half sizes thick (mip-NeRF 360, sec. 2, eq. 10, with the maximum norm): the thinner,
    the more voxels of a grid are left for the cube. Give it for real backgrounds (`capture.background is None`), and
    not where a known colour surrounds the object. `camera_distance` is then how far the cameras are from the centre:
    samples along a ray may grow sparser only beyond that.
    With `frustum`, the cube is what forward-facing cameras see, and lengths are those of its box.
    """

    centre: Point
    half_size: float
    near: float
    far: float
    contract: bool = False
    camera_distance: float = 0.0
    frustum: Frustum | None = None
    shell: float = 1.0

    def __post_init__(self) -> None:
        if not (np.isfinite([*self.centre, self.half_size, self.far]).all() and self.half_size > 0):
            raise ValueError(f"bounds: need a finite centre and a positive half_size, got {self}")
        if not 0 <= self.near < self.far:
            raise ValueError(f"bounds: need 0 <= near < far, got near={self.near}, far={self.far}")
        if not THINNEST <= self.shell <= 1:
            raise ValueError(f"bounds: need a shell of {THINNEST} to 1, got {self.shell}")

    @property
    def closed(self) -> bool:
        """Whether all there is to see lies inside, before a known background."""
        return not self.contract and self.frustum is None

    @property
    def reach(self) -> float:
        """Half the width of what a grid covers: of the cube, and of the shell around it; in half sizes."""
        return 1 + self.shell if self.contract else 1.0

    def voxel(self, side: int) -> float:
        """Length of a voxel near the centre, scene units, of a grid with `side` along an edge."""
        return 2 * self.reach * self.half_size / (side - 1)

    @staticmethod
    def forward(frustum: Frustum) -> Bounds:
        """The box of a forward-facing scene."""
        return Bounds(centre=(0.0, 0.0, 0.0), half_size=1.0, near=0.0, far=REACH, frustum=frustum)

    @staticmethod
    def around(
        poses: Sequence[Pose], prior: PosePrior | None, *, contract: bool = False, camera: Camera | None = None
    ) -> Bounds:
        """From the prior where there is one in the frame of `poses`; else from where the cameras look."""
        if prior is None:
            return Bounds.from_cameras(poses, contract=contract, camera=camera)
        return Bounds.from_prior(prior, contract=contract, camera=camera)

    def shelled(self, camera: Camera) -> Bounds:
        """The same, in unbounded space with the thinnest shell where the cube is as wide as what `camera` shows of the
        plane through the centre, and one that is as much thicker as more is shown."""
        if not self.contract:
            return self
        shown = _in_view(camera) * self.camera_distance / self.half_size
        return replace(self, shell=float(np.clip(THINNEST + shown - 1, THINNEST, 1)))

    def distance_of(self, poses: Sequence[Pose]) -> float:
        """Median distance of cameras from the centre, scene units."""
        return float(np.median(np.linalg.norm(_centres(poses) - np.array(self.centre), axis=1)))

    @staticmethod
    def from_prior(prior: PosePrior, *, contract: bool = False, camera: Camera | None = None) -> Bounds:
        """The cube around the look-at point that a ray between `near` and `far` can reach from every side.

        Before a real background `near` is kept, and the cube is that of `open`.
        """
        if contract:
            return Bounds.open(prior.look_at, sum(prior.radius) / 2, near=prior.near, camera=camera)
        reach = max(prior.radius[0] - prior.near, prior.far - prior.radius[1])
        half_size = reach if reach > 0 else (prior.far - prior.near) / 2
        return Bounds(centre=prior.look_at, half_size=half_size, near=prior.near, far=prior.far)

    @staticmethod
    def open(
        centre: Sequence[float], camera_distance: float, *, near: float | None = None, camera: Camera | None = None
    ) -> Bounds:
        """An unbounded scene, seen from `camera_distance`: the middle half of the way across is kept unsqueezed; where
        the intrinsics are known and `camera` shows less than that, what it shows."""
        half_size = min(camera_distance / 2, _in_view(camera) * camera_distance)
        near = NEAREST * camera_distance if near is None else near
        return Bounds(
            centre=_point(np.asarray(centre)),
            half_size=half_size,
            near=near,
            far=100 * camera_distance,
            contract=True,
            camera_distance=camera_distance,
        )

    @staticmethod
    def from_cameras(poses: Sequence[Pose], *, contract: bool = False, camera: Camera | None = None) -> Bounds:
        """From the cameras alone: they are taken to look at the scene, which is as large as half their distance.

        The centre is the point nearest to all optical axes (`meeting_point`).
        """
        centres, forwards = _centres(poses), _forwards(poses)
        target, distance = meeting_point(centres, forwards)
        if contract:
            return Bounds.open(target.tolist(), distance, camera=camera)
        reach = np.linalg.norm(centres - target, axis=1)
        half_size = 0.5 * distance
        near = float(max(0.05 * distance, reach.min() - np.sqrt(3) * half_size))
        far = float(reach.max() + np.sqrt(3) * half_size)
        return Bounds(centre=_point(target), half_size=half_size, near=near, far=far)

    @staticmethod
    def from_points(
        points: NDArray[np.float64], poses: Sequence[Pose], *, contract: bool = False, camera: Camera | None = None
    ) -> Bounds:
        """From triangulated points (P, 3): their extent, with the stray ones trimmed, and room for what had no texture.

        With fewer than 20 points their extent means nothing: the cameras decide.
        """
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        points = points[np.isfinite(points).all(axis=1)]
        if len(points) < 20:
            return Bounds.from_cameras(poses, contract=contract, camera=camera)
        # Half of all points are near the median; a stray one is many times further out than they are.
        middle = np.median(points, axis=0)
        away = np.linalg.norm(points - middle, axis=1)
        kept = points[away <= (4 if contract else 6) * np.median(away) + 1e-12]
        low, high = np.percentile(kept, [1, 99], axis=0)
        centre = (low + high) / 2
        half_size = float(1.25 * (high - low).max() / 2)
        reach = np.linalg.norm(_centres(poses) - centre, axis=1)
        if contract:
            half_size = min(half_size, _in_view(camera) * float(np.median(reach)))
            return Bounds(
                centre=_point(centre), half_size=half_size, near=_nearest(kept, _centres(poses)),
                far=100 * float(np.median(reach) + half_size), contract=True, camera_distance=float(np.median(reach)),
            )  # fmt: skip
        near = float(max(0.02 * np.median(reach), reach.min() - np.sqrt(3) * half_size))
        far = float(reach.max() + np.sqrt(3) * half_size)
        return Bounds(centre=_point(centre), half_size=half_size, near=near, far=far)


def _in_view(camera: Camera | None) -> float:
    """Half the width of what is kept unsqueezed as a share of the distance, by what an image shows; without intrinsics,
    no bound."""
    return math.inf if camera is None else IN_VIEW * max(camera.width / camera.fx, camera.height / camera.fy) / 2


def _nearest(points: NDArray[np.float64], centres: NDArray[np.float64]) -> float:
    """Half the distance from the cameras to the nearest of the points, stray ones apart."""
    apart = [np.percentile(np.linalg.norm(points - centre, axis=1), 1) for centre in centres]
    return 0.5 * float(np.percentile(apart, 5))


def meeting_point(centres: NDArray[np.float64], forwards: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The point (3,) nearest to all optical axes, and the median distance to it from the cameras.

    `centres` and unit `forwards` are (N, 3). Minimises the sum of distances (not of their squares) by reweighting, so
    that a few cameras that look elsewhere do not pull it away. Parallel axes do not meet: then it is the point ahead of
    the mean camera at three times the spread of the cameras (or at 1 where they coincide).
    """
    spread = np.linalg.norm(centres - centres.mean(axis=0), axis=1).mean()
    # (N, 3, 3): takes a point to its offset from each axis
    off_axis = np.eye(3) - forwards[:, :, None] * forwards[:, None, :]
    ahead = forwards.mean(axis=0)
    fallback = centres.mean(axis=0) + (3 * spread if spread > 1e-12 else 1.0) * ahead / max(np.linalg.norm(ahead), 1e-9)
    weights = np.ones(len(centres))
    target = fallback
    for _ in range(20):
        target, condition = nearest_to_axes(centres, forwards, weights)
        if condition > 1e4:
            target = fallback
            break
        miss = np.linalg.norm(np.einsum("nij,nj->ni", off_axis, target - centres), axis=1)
        weights = 1 / np.maximum(miss, 1e-3 * spread + 1e-12)
        weights /= weights.sum()
    depth = np.einsum("ni,ni->n", target - centres, forwards)
    if np.median(depth) <= 0:  # the axes meet behind the cameras: they look outwards
        target = fallback
    distance = float(np.median(np.linalg.norm(target - centres, axis=1)))
    return target, distance if distance > 1e-12 else 1.0


def _centres(poses: Sequence[Pose]) -> NDArray[np.float64]:
    if len(poses) == 0:
        raise ValueError("bounds: no poses to find the scene from")
    return np.stack([np.asarray(pose)[:3, 3] for pose in poses])


def _forwards(poses: Sequence[Pose]) -> NDArray[np.float64]:
    return np.stack([np.asarray(pose)[:3, 2] for pose in poses])


def _point(values: NDArray[np.float64]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
