"""`transforms.json` of nerfstudio: camera-to-world matrices in OpenGL axes, intrinsics at the top or by frame."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.geometry import OPENGL_AXES
from bench.poses_io.pose_format import Form, Note, Reading, collect, one_camera, view_of
from bench.record import write_json
from bench.task import Camera, Estimate, Pose, ViewId

FILE = "transforms.json"
FOCAL = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")
SIZE = ("w", "h")
PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def objection(path: Path) -> str | None:
    if path.is_dir():
        return None if (path / FILE).is_file() else f"no {FILE}"
    return None if path.suffix == ".json" else "not a .json file"


def read(path: Path) -> Reading:
    """A file, or the folder that holds it. Without a focal length, in px or as the angle of view, there is no camera in
    it. Raises ValueError."""
    from datasets.loaders.recording import frames_of, opencv_from_opengl, read_json

    path = path / FILE if path.is_dir() else path
    raw = read_json(path)
    notes: dict[str, Note] = {}
    poses, cameras = [], []
    for name, frame in frames_of(raw, path):
        view = view_of(frame["file_path"], f"{path}: {name}")
        poses.append((view, opencv_from_opengl(frame["transform_matrix"], name, path)))
        lens = {**{key: value for key, value in raw.items() if key != "frames"}, **frame}
        if any(key in lens for key in FOCAL):
            cameras.append(_camera(lens, path, notes))
    if cameras and len(cameras) < len(poses):
        without = len(poses) - len(cameras)
        raise ValueError(f"{path}: {without} frames have no focal length and others have; give all or none")
    return Reading(estimate=Estimate(poses=collect(poses, path), camera=one_camera(cameras, notes)), notes=notes)


def _camera(lens: Mapping[str, Any], path: Path, notes: dict[str, Note]) -> Camera:
    from datasets.loaders.intrinsics import focal_px
    from datasets.loaders.recording import number

    model = str(lens.get("camera_model", "OPENCV"))
    if model not in PINHOLES:
        raise ValueError(f"{path}: camera_model {model} is no pinhole camera, as the images' is: use one of {PINHOLES}")
    bent = {key: number(lens, key, path) for key in DISTORTION if lens.get(key)}
    if bent:
        notes["distortion_dropped"] = ", ".join(f"{key}={value:.4g}" for key, value in bent.items())
    width, height = (int(number(lens, key, path)) for key in SIZE)
    fx, fy = focal_px(lens, "x", width, path), focal_px(lens, "y", height, path)
    return Camera(
        width=width, height=height, fx=fx or fy or 0.0, fy=fy or fx or 0.0,
        cx=number(lens, "cx", path, width / 2), cy=number(lens, "cy", path, height / 2),
    )  # fmt: skip


def write(folder: Path, poses: Mapping[ViewId, Pose], camera: Camera, images: Mapping[ViewId, str]) -> Path:
    """`transforms.json` in `folder`, which nerfstudio opens."""
    path = folder / FILE
    write_json(path, describe({images[view]: pose for view, pose in poses.items()}, camera))
    return path


def describe(poses: Mapping[str, Pose], camera: Camera) -> dict[str, Any]:
    """The content of the file, `poses` by the path of their image."""
    return {
        "camera_model": "PINHOLE",
        "w": camera.width, "h": camera.height,
        "fl_x": camera.fx, "fl_y": camera.fy, "cx": camera.cx, "cy": camera.cy,
        "frames": [{"file_path": path, "transform_matrix": pose @ OPENGL_AXES} for path, pose in poses.items()],
    }  # fmt: skip


FORM = Form(
    name="transforms", summary="transforms.json of nerfstudio (OpenGL axes)",
    objection=objection, read=read, write=write,
)  # fmt: skip
