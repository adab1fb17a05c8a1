"""A COLMAP model beside its images, as COLMAP, 3D Gaussian Splatting and Mip-NeRF 360 have it: images/ and sparse/0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.poses_io.colmap import models_in, pose_of, read_model
from bench.scene import SceneError
from bench.task import Camera
from datasets.images.decode import image_size
from datasets.images.lens import Array, Bend, Distortion, Fisheye, Optics
from datasets.loaders.image_files import DOWNSCALED, SUFFIXES, natural
from datasets.loaders.recording import Frame, Layout, Recording

if TYPE_CHECKING:
    import pycolmap

NAME = "colmap"
HELDOUT_EVERY = 8  # of the images by name, as in Mip-NeRF 360 and 3D Gaussian Splatting
_HOMES = ("", "dense", "dense/0", "colmap", "distorted")
"""Where the model may lie, or its `sparse`; `dense/0` is what COLMAP's automatic reconstruction undistorted."""
_IMAGES = ("images", "input", "rgb", *(f"images_{n}" for n in DOWNSCALED), "")
_NO_PLANE = ("EQUIRECTANGULAR",)
"""Cameras that no pinhole can show; pycolmap ends the process when it is asked for their focal length."""


@dataclass(frozen=True, kw_only=True)
class ColmapBend:
    """Any other lens that COLMAP knows (FOV, thin prism, ...), asked of COLMAP itself."""

    model: str
    params: tuple[float, ...]

    def __call__(self, x: Array, y: Array) -> tuple[Array, Array]:
        import pycolmap

        camera = pycolmap.Camera(model=self.model, width=2, height=2, params=list(self.params))
        flat = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
        seen = np.asarray(camera.img_from_cam(flat), dtype=np.float64).reshape(*x.shape, 2)
        return (
            (seen[..., 0] - camera.principal_point_x) / camera.focal_length_x,
            (seen[..., 1] - camera.principal_point_y) / camera.focal_length_y,
        )


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    models = _model_folders(folder)
    if not models:
        return "no sparse/0 with cameras and images as .bin or .txt"
    if any(_holds_images(home) for home in _image_folders(folder, models[0])):
        return None
    return f"{models[0].relative_to(folder)} is a model, but no folder `images` is beside it"


def read(folder: Path) -> Recording:
    """Registered images in the natural order of their names, the first of every 8 held out. Raises SceneError.

    Images without a pose are left out, and a note says so. Of several models the first is read: COLMAP's largest.
    """
    models = _model_folders(folder)
    try:
        model = read_model(models[0])
        images = sorted((image for image in model.images.values() if image.has_pose), key=_place)
        poses = [pose_of(image, models[0]) for image in images]
    except ValueError as error:
        raise SceneError(str(error)) from error
    if not images:
        raise SceneError(f"{models[0]}: no image of this model has a pose")
    notes = [f"{models[0].name} of {len(models)} models is read"] if len(models) > 1 else []
    homes = _image_folders(folder, models[0])
    files = [_image(homes, image.name, folder) for image in images]
    cameras = {key: _optics(camera, models[0]) for key, camera in model.cameras.items()}
    fitted = [_fitted(cameras[image.camera_id], file, image.name) for image, file in zip(images, files, strict=True)]
    if len(set(fitted)) > 1:
        notes.append(f"{len(set(fitted))} cameras: all images are brought to the first one's intrinsics")
    beside = {path for home in {file.parent for file in files} for path in home.glob(f"*{files[0].suffix}")}
    if without := len(beside - set(files)):
        notes.append(f"{without} of {len(beside)} images have no pose in the model and are left out")
    frames = tuple(
        Frame(name=image.name, image=file, pose=pose, heldout=False, optics=own if len(set(fitted)) > 1 else None)
        for image, file, pose, own in zip(images, files, poses, fitted, strict=True)
    )
    described = tuple(
        sorted(
            path
            for path in models[0].iterdir()
            if path.suffix in (".bin", ".txt") and path.stem in ("cameras", "images")
        )
    )
    recording = Recording(folder=folder, frames=frames, optics=fitted[0], files=described, notes=tuple(notes))
    return recording.split_every(HELDOUT_EVERY)


def _place(image: pycolmap.Image) -> list[tuple[int, int, str]]:
    return natural(image.name)


def _model_folders(folder: Path) -> list[Path]:
    """Models of the first home that has some, and images; of the first that has some where none has images."""
    found = [models for home in _HOMES if (models := models_in(folder / home))]
    illustrated = (models for models in found if any(map(_holds_images, _image_folders(folder, models[0]))))
    return next(illustrated, found[0] if found else [])


def _image_folders(folder: Path, model: Path) -> list[Path]:
    """Where the images of a model may lie: in its workspace, else in the scene's folder."""
    workspaces = [place for place in (model, *model.parents) if place.is_relative_to(folder)]
    return [place / name for place in workspaces if place.name != "sparse" for name in _IMAGES]


def _holds_images(home: Path) -> bool:
    """Whether images are in it or, as of rigs, in its folders."""
    return home.is_dir() and any(path.suffix in SUFFIXES for glob in ("*", "*/*") for path in home.glob(glob))


def _image(homes: Sequence[Path], name: str, folder: Path) -> Path:
    """The image of a name, in the first folder that has it. Raises SceneError."""
    if ".." in Path(name).parts or Path(name).is_absolute():
        raise SceneError(f"{folder}: COLMAP's model names an image outside of it: {name}")
    for home in homes:
        if (path := home / name).is_file():
            return path
    raise SceneError(f"colmap: the model names {name}, which is not in {folder}/images")


def _fitted(optics: Optics, file: Path, frame: str) -> Optics:
    """Optics at the size of the image itself: `images_4` may lie beside a model of the full size. Raises SceneError."""
    width, height = image_size(file, frame)
    camera = optics.camera
    if (camera.width, camera.height) == (width, height):
        return optics
    if abs(camera.width * height - camera.height * width) > 2 * max(camera.width, camera.height):
        raise SceneError(
            f"{frame}: {file} is {width}x{height} px, but COLMAP's camera is {camera.width}x{camera.height} px"
        )
    return optics.resized(width, height)


def _optics(camera: pycolmap.Camera, folder: Path) -> Optics:
    if camera.model.name in _NO_PLANE:
        raise SceneError(
            f"{folder}: camera {camera.camera_id} is {camera.model.name}, which no pinhole camera can show; cut "
            "perspective images out of it beforehand"
        )
    if min(camera.width, camera.height) < 1 or not np.isfinite(camera.params).all() or camera.focal_length_x <= 0:
        raise SceneError(f"{folder}: camera {camera.camera_id} has no size, or intrinsics that are none")
    pinhole = Camera(
        width=camera.width, height=camera.height, fx=camera.focal_length_x, fy=camera.focal_length_y,
        cx=camera.principal_point_x, cy=camera.principal_point_y,
    )  # fmt: skip
    return Optics(camera=pinhole, bend=_bend(camera))


def _bend(camera: pycolmap.Camera) -> Bend | None:
    """Terms by COLMAP's own names for them; `k` is the first radial one."""
    model = camera.model.name
    terms = dict(zip(camera.params_info.replace(" ", "").split(","), camera.params.tolist(), strict=True))
    bending = {("k1" if name == "k" else name): value for name, value in terms.items() if name[0] in "kp"}
    if model in ("SIMPLE_PINHOLE", "PINHOLE"):
        return None
    if model in ("SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"):
        return Distortion(**bending) if any(bending.values()) else None
    if model in ("SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "OPENCV_FISHEYE"):
        return Fisheye(**bending)
    return ColmapBend(model=model, params=tuple(camera.params.tolist()))


LAYOUT = Layout(name=NAME, version=2, reference="colmap", objection=objection, read=read)
