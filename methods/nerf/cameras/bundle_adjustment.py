"""Poses and points that explain where points are seen in images, all of them at once: COLMAP's bundle adjustment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench.geometry import inverse
from bench.task import Camera, Pose

if TYPE_CHECKING:
    import pycolmap

LOSSES = 0.5, 0.05
"""px, where Cauchy's loss begins to doubt an observation: first from where the poses were, then from near the solution.
Most observations are nearer than the larger one then, and errors that have one direction (a highlight that moves along
with the camera, an edge before another surface) would count in full."""

STEPS = 50  # of Levenberg-Marquardt, at most ...
CHANGE = 1e-6  # ... until one changes the sum by less than this share
LEAST_ZOOM = 0.5  # of a free focal length, either way: what changes more was not told by what is seen
AGREES = 1.0  # px between where a point is seen and where it should be, of those that agree
MIN_VIEWS = 3  # that hang together by points: of two, one may be anywhere along what it sees
MIN_POINTS = 30
"""That a view must see where they should be: fewer tell little of its pose (COLMAP's own minimum to register one)."""


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """P points of the scene, and where they are seen, O times in all."""

    points: NDArray[np.float64]  # (P, 3), about where they are
    point: NDArray[np.int64]  # (O,) the number of the point that is seen ...
    view: NDArray[np.int64]  # (O,) ... in the view of this number ...
    pixel: NDArray[np.float64]  # (O, 2) ... at x and y in px, the middle of the first pixel at 0.5


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """What `adjusted` found."""

    poses: Pose  # (N, 4, 4); of a view that is not supported, as it was
    supported: NDArray[np.bool_]  # (N,) whether enough points are seen by a view where they should be
    camera: Camera  # as it was, or its focal length adjusted
    is_one: bool  # whether all supported views hang together by what they see
    points: NDArray[np.float64]  # (M, 3) where points are, if so


def adjusted(tracks: Tracks, poses: Pose, camera: Camera, *, free_focal: bool = False) -> Bundle:
    """Poses of the least sum of reprojection errors under Cauchy's loss, from `poses` (N, 4, 4) on, world_from_camera.

    Triggs et al., *Bundle Adjustment: A Modern Synthesis*, 2000. The intrinsics of `camera` are known, but for one
    factor on fx and fy with `free_focal`. Of all frames, which the tracks leave open, it is that in which the supported
    views have turned and moved least; and so for each of several sets of views that share nothing, for nothing says how
    they lie to each other. On one thread: the same poses come out twice.
    """
    import pycolmap  # not before: with it a process that is stopped prints a trace

    none = Bundle(
        poses=poses, supported=np.zeros(len(poses), dtype=bool), camera=camera, is_one=False, points=np.zeros((0, 3))
    )
    asked = np.bincount(tracks.view, minlength=len(poses)) >= MIN_POINTS
    if asked.sum() < 2:
        return none
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.ERROR)  # a step that fails is tried shorter
    pycolmap.logging.logtostderr = True  # else it leaves log files behind
    model, numbers = _model(tracks, poses, camera, asked, free_focal=free_focal)
    options = pycolmap.BundleAdjustmentOptions(
        refine_focal_length=free_focal, refine_principal_point=False, refine_extra_params=False, print_summary=False
    )
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.solver_options.max_num_iterations = STEPS
    options.ceres.solver_options.function_tolerance = CHANGE
    options.ceres.solver_options.num_threads = 1
    config = pycolmap.BundleAdjustmentConfig()
    for number in model.reg_image_ids():
        config.add_image(number)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    for loss in LOSSES:
        options.ceres.loss_function_scale = loss
        if not pycolmap.create_default_bundle_adjuster(options, config, model).solve().is_solution_usable():
            return none
    found, points = poses.copy(), np.full_like(tracks.points, np.nan)
    for number in model.reg_image_ids():
        found[number - 1, :3] = model.image(number).cam_from_world().inverse().matrix()
    for mine, theirs in numbers.items():
        points[mine] = model.point3D(theirs).xyz
    if free_focal:
        zoom = model.camera(1).focal_length / camera.fx
        if not LEAST_ZOOM < zoom < 1 / LEAST_ZOOM:
            return none
        camera = replace(camera, fx=camera.fx * zoom, fy=camera.fy * zoom)
    sets = _supported(tracks, points, found, camera)
    kept, supported, placed = poses.copy(), np.zeros(len(poses), dtype=bool), np.zeros((0, 3))
    for together in sets:
        frame = _frame_of(poses, found, together)
        kept[together] = frame.poses(found)[together]
        placed = frame.points(points[np.isfinite(points).all(axis=1)])
        supported |= together
    is_one = len(sets) == 1
    return Bundle(
        poses=kept, supported=supported, camera=camera, is_one=is_one, points=placed if is_one else np.zeros((0, 3))
    )


def _model(
    tracks: Tracks, poses: Pose, camera: Camera, asked: NDArray[np.bool_], *, free_focal: bool
) -> tuple[pycolmap.Reconstruction, dict[int, int]]:
    """The views `asked` for as COLMAP has them, view k as image k + 1; and its numbers of the points they share."""
    import pycolmap

    model = pycolmap.Reconstruction()
    tall = camera.fx / camera.fy if free_focal else 1.0  # so many times as high, pixels are square: one focal length
    focal = [camera.fx] if free_focal else [camera.fx, camera.fy]
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(
            camera_id=1, model="SIMPLE_PINHOLE" if free_focal else "PINHOLE", width=camera.width,
            height=camera.height, params=[*focal, camera.cx, tall * camera.cy],
        )
    )  # fmt: skip
    is_asked = asked[tracks.view]
    point, view, pixel = tracks.point[is_asked], tracks.view[is_asked], tracks.pixel[is_asked] * [1.0, tall]
    for number in asked.nonzero()[0].tolist():
        u, _, vt = np.linalg.svd(poses[number, :3, :3])
        rotation = (u @ vt).T
        image = pycolmap.Image(
            name=str(number), image_id=number + 1, camera_id=1, keypoints=pixel[view == number],
        )  # fmt: skip
        motion = pycolmap.Rigid3d(pycolmap.Rotation3d(rotation), -rotation @ poses[number, :3, 3])
        model.add_image_with_trivial_frame(image, motion)
    place = np.zeros(len(view), dtype=np.int64)  # of an observation among those of its view
    for number in asked.nonzero()[0]:
        place[view == number] = np.arange((view == number).sum())
    numbers = {}
    order = np.argsort(point, kind="stable")
    for seen in np.split(order, np.flatnonzero(np.diff(point[order])) + 1):
        if len(seen) > 1:
            track = pycolmap.Track()
            for k in seen.tolist():
                track.add_element(int(view[k]) + 1, int(place[k]))
            mine = int(point[seen[0]])
            numbers[mine] = model.add_point3D(tracks.points[mine], track)
    return model, numbers


def _supported(tracks: Tracks, points: NDArray[np.float64], poses: Pose, camera: Camera) -> list[NDArray[np.bool_]]:
    """Sets of views, (N,) each, that see enough of `points` (P, 3) where they should be, and hang together by these."""
    camera_from_world = inverse(poses)[tracks.view]
    rotation, shift = camera_from_world[:, :3, :3], camera_from_world[:, :3, 3]
    x, y, z = (np.einsum("oij,oj->oi", rotation, points[tracks.point]) + shift).T
    ahead = np.where(z > 0, z, np.nan)
    there = np.stack([camera.fx * x / ahead + camera.cx, camera.fy * y / ahead + camera.cy], axis=1)
    agrees = np.linalg.norm(there - tracks.pixel, axis=1) < AGREES
    count, size = len(poses), len(poses) + len(points)
    view, point = tracks.view[agrees], tracks.point[agrees]
    links = coo_array((np.ones(len(view)), (view, count + point)), shape=(size, size))
    _, sets = connected_components(links, directed=False)
    enough = np.bincount(view, minlength=count) >= MIN_POINTS
    found = [enough & (sets[:count] == each) for each in np.unique(sets[:count][enough])]
    return [together for together in found if together.sum() >= MIN_VIEWS]


class _Frame(NamedTuple):
    """Another frame: turned, scaled, and its middle elsewhere."""

    rotation: NDArray[np.float64]  # (3, 3)
    scale: float
    turned_middle: NDArray[np.float64]  # (3,)
    middle: NDArray[np.float64]  # (3,)

    def points(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (P, 3) in it."""
        return self.scale * (points @ self.rotation.T - self.turned_middle) + self.middle

    def poses(self, poses: Pose) -> Pose:
        """Poses (N, 4, 4) in it."""
        found = poses.copy()
        found[:, :3, :3] = self.rotation @ poses[:, :3, :3]
        found[:, :3, 3] = self.points(poses[:, :3, 3])
        return found


def _frame_of(before: Pose, after: Pose, of: NDArray[np.bool_]) -> _Frame:
    """The frame in which the views `of`, of the poses `after`, are turned least from `before`, their centres nearest.

    By the chordal mean of their rotations (Hartley et al., *Rotation Averaging*, IJCV 2013, sec. 5.3).
    """
    u, _, vt = np.linalg.svd(np.einsum("nij,nkj->ik", before[of, :3, :3], after[of, :3, :3]))
    rotation = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    there, turned = before[of, :3, 3], after[of, :3, 3] @ rotation.T
    middle, turned_middle = there.mean(axis=0), turned.mean(axis=0)
    spread = np.sum((turned - turned_middle) ** 2)
    scale = float(np.sum((there - middle) * (turned - turned_middle)) / spread) if spread > 0 else 1.0
    return _Frame(rotation, scale, turned_middle, middle)
