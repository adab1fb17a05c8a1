"""COLMAP's database of one capture: keypoints, matches, and which of them agree on two views' geometry.

SIFT's are found by COLMAP itself, those of networks come from a process of their own (see `learned/`); what the two
views' geometry makes of either is COLMAP's to say, under the same options.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pycolmap
from PIL import Image as Picture

from bench.task import Camera, Capture
from methods.sfm.config import SfmConfig
from methods.sfm.learned.preparation import Matches, find


@dataclass(frozen=True, kw_only=True)
class Project:
    """The files that COLMAP works on, and the camera at the size that it sees (None: to be estimated)."""

    folder: Path
    camera: Camera | None

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def masks(self) -> Path:
        return self.folder / "masks"

    @property
    def database(self) -> Path:
        return self.folder / "database.db"


def matched(
    capture: Capture, config: SfmConfig, folder: Path, prepared: Path, seed: int, threads: int,
    say: Callable[[str], None],
) -> tuple[Project, dict[str, str | float]]:  # fmt: skip
    """A project in `folder`, which is emptied, with verified matches, and what is to be noted of how they came."""
    project = _write(capture, config, folder)
    _number_images(project)
    if config.is_learned:
        found = find(capture, config, _size(capture, config), prepared, threads, say)
        store(found, project.database, [f"{view}.png" for view in capture.images])
        _verify(project, seed, threads)
        told = {"features": config.features, "matcher": config.matched_by}
        return project, {**told, "keypoints": round(float(np.mean([len(each) for each in found.keypoints])), 1)}
    say("features")
    _find_sift(project, config, threads)
    say("matching")
    _match_sift(project, seed, threads)
    return project, {}


def enlargement(capture: Capture, config: SfmConfig) -> float:
    """How many times larger the images are shown: SIFT's finest scale, and the networks' cells of 8 pixels, are coarse
    for small ones."""
    longest = max(capture.shape[:2])
    if config.is_learned:
        return max(config.network_side / longest, 1.0)
    return float(np.clip(config.enlarge_to / longest, 1, config.max_enlargement))


def _size(capture: Capture, config: SfmConfig) -> tuple[int, int]:
    """Width and height at which the images are shown."""
    factor = enlargement(capture, config)
    return round(capture.shape[1] * factor), round(capture.shape[0] * factor)


def store(found: Matches, database: Path, names: list[str]) -> None:
    """Write keypoints and matches into a database that has images of these names, in the order of `found`, and no
    features."""
    with pycolmap.Database.open(database) as opened:
        numbers = {image.name: image.image_id for image in opened.read_all_images()}
        ids = [numbers[name] for name in names]
        for image, keypoints in zip(ids, found.keypoints, strict=True):
            opened.write_keypoints(image, np.ascontiguousarray(keypoints, np.float32).reshape(-1, 2))
        for (a, b), matches in zip(found.pairs, found.matches, strict=True):
            if len(matches):
                opened.write_matches(ids[a], ids[b], np.ascontiguousarray(matches, np.uint32))


def _write(capture: Capture, config: SfmConfig, folder: Path) -> Project:
    """Lay out `<view>.png`, and masks as COLMAP wants them: `<view>.png.png`, keypoints where not black."""
    shutil.rmtree(folder, ignore_errors=True)
    size = _size(capture, config)
    given = capture.camera if config.intrinsics == "given" else None
    project = Project(folder=folder, camera=given.resized(*size) if given else None)
    project.images.mkdir(parents=True)
    for view, image in capture.images.items():
        picture = Picture.fromarray(image).resize(size, Picture.Resampling.BICUBIC)
        picture.save(project.images / f"{view}.png", compress_level=1)
    if config.masks and capture.masks:
        project.masks.mkdir()
        for view, mask in capture.masks.items():
            on_object = Picture.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8))
            on_object.resize(size, Picture.Resampling.NEAREST).save(project.masks / f"{view}.png.png")
    return project


def _reader(project: Project) -> pycolmap.ImageReaderOptions:
    reader = pycolmap.ImageReaderOptions(camera_model="PINHOLE" if project.camera else "SIMPLE_PINHOLE")
    if camera := project.camera:
        reader.camera_params = ",".join(repr(float(x)) for x in (camera.fx, camera.fy, camera.cx, camera.cy))
    if project.masks.exists():
        reader.mask_path = project.masks
    return reader


def _names(project: Project) -> list[str]:
    return sorted(path.name for path in project.images.iterdir())


def _number_images(project: Project) -> None:
    """In order: threads that find features would number them in the order in which they finish."""
    pycolmap.Database.open(project.database).close()  # makes an empty one
    single = pycolmap.CameraMode.SINGLE
    pycolmap.import_images(project.database, project.images, single, _names(project), _reader(project))


def _find_sift(project: Project, config: SfmConfig, threads: int) -> None:
    options = pycolmap.FeatureExtractionOptions(num_threads=threads, use_gpu=False)
    options.sift.max_num_features = config.max_features
    pycolmap.extract_features(
        project.database, project.images, _names(project), pycolmap.CameraMode.SINGLE, _reader(project), options,
        device=pycolmap.Device.cpu,
    )  # fmt: skip


def _verification(seed: int) -> pycolmap.TwoViewGeometryOptions:
    options = pycolmap.TwoViewGeometryOptions()
    options.ransac.random_seed = seed
    return options


def _match_sift(project: Project, seed: int, threads: int) -> None:
    pycolmap.match_exhaustive(
        project.database,
        matching_options=pycolmap.FeatureMatchingOptions(num_threads=threads, use_gpu=False),
        verification_options=_verification(seed),
        device=pycolmap.Device.cpu,
    )


def _verify(project: Project, seed: int, threads: int) -> None:
    pycolmap.geometric_verification(
        project.database,
        verifier_options=pycolmap.GeometricVerifierOptions(num_threads=threads),
        two_view_geometry_options=_verification(seed),
    )
