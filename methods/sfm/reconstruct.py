"""Structure from motion by COLMAP: from matches (see `project.py`) to poses, by incremental or global mapping.

Incremental: Schoenberger and Frahm 2016; global (GLOMAP, part of COLMAP since 4.0): Pan et al. 2024.
The same poses come out twice: features and matches are the same on any number of threads, and mapping keeps to one.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pycolmap
from numpy.typing import NDArray

from bench.task import Camera, Capture, Collapsed, Pose, ViewId
from methods.sfm.config import SfmConfig
from methods.sfm.project import Project, enlargement, matched

Note = str | float | int | bool
FORWARD_FACING = 60.0
"""Degrees: views that look no further than this from their mean direction face one way."""

LENS_VIEWS = 12
"""Views from which on principal point and distortion are estimated: of fewer, cameras and lens explain each other."""

OFF_MIDDLE, OFF_FOCAL = 0.1, 0.2
"""Principal points further off the middle than this share of the image, and focal lengths that move by more than this
share, are no lens but a mistake."""

RELAXED_INLIERS = 15
"""Points by which a second attempt registers a view: half of COLMAP's own minimum."""

Models = Mapping[int, pycolmap.Reconstruction]


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """The largest model found, in its own arbitrary frame. A view absent from `poses` was not registered."""

    poses: Mapping[ViewId, Pose]
    points: NDArray[np.float64]  # (P, 3)
    camera: Camera  # at the capture's size: as given, or as estimated
    notes: Mapping[str, Note] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How two views are turned to each other, by the matches of these two alone (a calibrated two-view geometry)."""

    first: ViewId
    second: ViewId
    rotation: NDArray[np.float64]  # (3, 3): second_from_first
    matches: int  # that agree with it


@dataclass(frozen=True, kw_only=True)
class PartialModels:
    """What matches make sure, be it of some views only."""

    models: Sequence[tuple[Mapping[ViewId, Pose], Camera]]  # each in its own frame; its camera at the capture's size
    turns: Sequence[Turn] = ()  # where cameras are known: of pairs that are not both in the largest model
    relaxed: bool = False  # the models are of the second attempt, which asks for half as many matches


def reconstruct(
    capture: Capture, config: SfmConfig, folder: Path, seed: int, threads: int,
    say: Callable[[str], None] = lambda phase: None, *, prepared: Path | None = None,
) -> Reconstruction:  # fmt: skip
    """Poses of as many views as COLMAP finds; `folder` is emptied and holds its files. `say` is told of each part.
    What networks found is kept in `prepared`, by default beside `folder`, and taken from there where it is this.

    Raises Collapsed when no model holds `config.min_registered` of the views.
    """
    project, told = _begun(capture, config, folder, seed, threads, say, prepared)
    say("mapping")
    count = len(capture.images)
    relaxed = False
    if config.mapper == "global":
        model, views = _largest(_map_globally(project, seed), config)
    else:
        model, views = _largest(_map_incrementally(project, seed), config)
        if len(views) < config.relax_below * count:
            other, more = _largest(_map_incrementally(project, seed, relaxed=True), config)
            if relaxed := len(more) > len(views) and _face_one_way(_poses(other, more)):
                model, views = other, more
    least = max(config.min_views, math.ceil(config.min_registered * count))
    if model is None or len(views) < least:
        raise Collapsed(f"no model of at least {least} of the {count} views: the largest holds {len(views)}")
    if project.camera is None and config.lens == "free" and len(views) >= LENS_VIEWS:
        model = _with_free_lens(model)
    points = [point for point in model.points3D.values() if point.track.length() >= config.min_track]
    return Reconstruction(
        poses=_poses(model, views),
        points=np.array([point.xyz for point in points]).reshape(-1, 3),
        camera=_estimated(model, capture) if project.camera is None else capture.camera or project.camera,
        notes={
            "mapper": config.mapper,
            **told,
            "relaxed_for_forward_facing": relaxed,
            "registered": len(views),
            "dropped_for_few_points": model.num_reg_images() - len(views),
            "points": len(points),
            "reprojection_error_px": round(model.compute_mean_reprojection_error() / enlargement(capture, config), 4),
        },
    )


def partial_models(
    capture: Capture, config: SfmConfig, folder: Path, seed: int, threads: int,
    say: Callable[[str], None] = lambda phase: None, *, prepared: Path | None = None,
) -> PartialModels:  # fmt: skip
    """Of each model found, the views that it supports well, however few; asked as `reconstruct` is.

    Incremental mapping begins another model where it cannot go on; a view may be in several. Where no model has
    `relax_below` of the views, a second attempt asks for half as many matches; it counts if a model of it has more.
    """
    project, _ = _begun(capture, config, folder, seed, threads, say, prepared)
    say("mapping")
    found = _each(_map_incrementally(project, seed), config)
    most, relaxed = max((len(views) for _, views in found), default=0), False
    if most < config.relax_below * len(capture.images):
        half = config.model_copy(update={"min_points": min(config.min_points, RELAXED_INLIERS)})
        others = _each(_map_incrementally(project, seed, relaxed=True), half)
        if relaxed := max((len(views) for _, views in others), default=0) > most:
            found = others
    models = [(_poses(model, views), _estimated(model, capture)) for model, views in found]
    largest = max((poses for poses, _ in models), key=len, default={})
    needless = project.camera is None or len(largest) == len(capture.images)
    return PartialModels(models=models, turns=[] if needless else _turns(project, largest.keys()), relaxed=relaxed)


def _begun(
    capture: Capture, config: SfmConfig, folder: Path, seed: int, threads: int, say: Callable[[str], None],
    prepared: Path | None,
) -> tuple[Project, dict[str, Note]]:  # fmt: skip
    """The project with its matches, and what is to be noted of them."""
    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.WARNING)
    pycolmap.logging.logtostderr = True  # else it leaves log files behind
    return matched(capture, config, folder, prepared or folder.with_name("prepared"), seed, threads, say)


def _map_incrementally(project: Project, seed: int, *, relaxed: bool = False) -> Models:
    """`relaxed` is for views that face one way: their first pair has little parallax, and few points in common."""
    refine = project.camera is None
    options = pycolmap.IncrementalPipelineOptions(
        num_threads=1,
        random_seed=seed,
        min_model_size=3,  # COLMAP's own 10 throws away what small captures give
        extract_colors=False,
        ba_refine_focal_length=refine,
        ba_refine_principal_point=False,
        ba_refine_extra_params=False,
    )
    options.mapper.abs_pose_refine_focal_length = refine
    options.mapper.abs_pose_refine_extra_params = False
    if relaxed:
        options.mapper.init_min_tri_angle = 4.0
        options.mapper.init_min_num_inliers = 30
        options.mapper.abs_pose_min_num_inliers = RELAXED_INLIERS
    return pycolmap.incremental_mapping(project.database, project.images, _output(project), options)


def _map_globally(project: Project, seed: int) -> Models:
    refine = project.camera is None
    if refine:  # global mapping takes focal lengths as known: they come from the fundamental matrices first
        pycolmap.calibrate_view_graph(project.database, pycolmap.ViewGraphCalibrationOptions(random_seed=seed))
    options = pycolmap.GlobalPipelineOptions(num_threads=1, random_seed=seed)
    options.mapper.global_positioning.use_gpu = False
    options.mapper.bundle_adjustment.ceres.use_gpu = False
    options.mapper.bundle_adjustment.refine_focal_length = refine
    options.mapper.bundle_adjustment.refine_principal_point = False
    options.mapper.bundle_adjustment.refine_extra_params = False
    return pycolmap.global_mapping(project.database, project.images, _output(project), options)


def _with_free_lens(model: pycolmap.Reconstruction) -> pycolmap.Reconstruction:
    """The model adjusted once more with its principal point and two radial terms free, or as it was where these run
    away. A phone's principal point is a percent off the middle, which turns every camera by half a degree."""
    freed = pycolmap.Reconstruction(model)
    for camera in freed.cameras.values():
        focal = camera.focal_length
        camera.params, camera.model = (
            [focal, camera.principal_point_x, camera.principal_point_y, 0.0, 0.0],
            pycolmap.CameraModelId.RADIAL,
        )
    options = pycolmap.BundleAdjustmentOptions(
        refine_focal_length=True, refine_principal_point=True, refine_extra_params=True, print_summary=False
    )
    options.ceres.solver_options.num_threads = 1
    pycolmap.bundle_adjustment(freed, options)
    for before, after in zip(model.cameras.values(), freed.cameras.values(), strict=True):
        moved = [after.principal_point_x / after.width - 0.5, after.principal_point_y / after.height - 0.5]
        if max(map(abs, moved)) > OFF_MIDDLE or abs(after.focal_length / before.focal_length - 1) > OFF_FOCAL:
            return model
    return freed


def _turns(project: Project, placed: Collection[ViewId]) -> list[Turn]:
    """Of pairs whose matches passed COLMAP's verification, but for those of two views that are both `placed`."""
    with pycolmap.Database.open(str(project.database)) as database:
        images = {image.image_id: image for image in database.read_all_images()}
        cameras = {camera.camera_id: camera for camera in database.read_all_cameras()}
        read = cache(lambda number: database.read_keypoints(number)[:, :2].astype(np.float64))  # a view has many pairs
        found = []
        for pair, geometry in zip(*database.read_two_view_geometries(), strict=True):
            both = [images[number] for number in pycolmap.pair_id_to_image_pair(pair)]
            first, second = (ViewId(Path(image.name).stem) for image in both)
            sure = geometry.config == pycolmap.TwoViewGeometryConfiguration.CALIBRATED
            if not sure or (first in placed and second in placed):
                continue
            points = [read(image.image_id) for image in both]
            lenses = [cameras[image.camera_id] for image in both]
            if not pycolmap.estimate_two_view_geometry_pose(lenses[0], points[0], lenses[1], points[1], geometry):
                continue
            assert geometry.cam2_from_cam1 is not None
            rotation = np.asarray(geometry.cam2_from_cam1.rotation.matrix())
            found.append(Turn(first=first, second=second, rotation=rotation, matches=len(geometry.inlier_matches)))
    return found


def _output(project: Project) -> Path:
    folder = project.folder / "models"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def _each(models: Models, config: SfmConfig) -> list[tuple[pycolmap.Reconstruction, list[int]]]:
    """Of each model that supports some, the views that it supports well."""
    found = [_largest({number: model}, config) for number, model in sorted(models.items())]
    return [(model, views) for model, views in found if model is not None]


def _largest(models: Models, config: SfmConfig) -> tuple[pycolmap.Reconstruction | None, list[int]]:
    """The model with the most well-supported views, and their ids. It need not be the first.

    Incremental mapping asks for 30 inliers before it registers a view; global mapping asks for nothing, and gives
    views that see next to no points an arbitrary pose. Both are held to the same rule here.
    """
    best: tuple[pycolmap.Reconstruction | None, list[int]] = (None, [])
    for _, model in sorted(models.items()):
        seen = Counter(
            element.image_id
            for point in model.points3D.values()
            if point.track.length() >= config.min_track
            for element in point.track.elements
        )
        views = sorted(view for view in model.reg_image_ids() if seen[view] >= config.min_points)
        if len(views) > len(best[1]):
            best = model, views
    return best


def _face_one_way(poses: Mapping[ViewId, Pose]) -> bool:
    """Only such captures need the relaxed thresholds; elsewhere what they let in is mostly wrong."""
    forward = np.stack([pose[:3, 2] for pose in poses.values()])
    mean = forward.mean(axis=0)
    return bool((forward @ mean >= np.cos(np.radians(FORWARD_FACING)) * np.linalg.norm(mean)).all())


def _poses(model: pycolmap.Reconstruction | None, views: list[int]) -> dict[ViewId, Pose]:
    """COLMAP's cam_from_world, inverted; its axes are ours."""
    poses = {}
    for image in [] if model is None else [model.image(view) for view in views]:
        pose = np.eye(4)
        pose[:3] = image.cam_from_world().inverse().matrix()
        poses[ViewId(Path(image.name).stem)] = pose
    return poses


def _estimated(model: pycolmap.Reconstruction, capture: Capture) -> Camera:
    """The model's one camera, at the capture's size."""
    found = next(iter(model.cameras.values()))
    camera = Camera(
        width=found.width,
        height=found.height,
        fx=found.focal_length_x,
        fy=found.focal_length_y,
        cx=found.principal_point_x,
        cy=found.principal_point_y,
    )
    return camera.resized(capture.shape[1], capture.shape[0])
