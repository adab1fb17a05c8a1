"""TUM text (Sturm et al. 2012), which SLAM systems write and evo reads: `t x y z qx qy qz qw`, world_from_camera.

It has no names: the timestamp of a pose is the number of its view, 12 for v012. It has no camera either.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.files import replacing
from bench.poses_io.pose_format import Form, Reading, collect
from bench.task import Camera, Estimate, Pose, ViewId

FILE = "poses.tum"
SUFFIXES = (".tum", ".txt")
COLUMNS = "t x y z qx qy qz qw"


def objection(path: Path) -> str | None:
    if path.name in ("images.txt", "cameras.txt", "points3D.txt"):
        return "a part of a COLMAP model: name its folder"
    return None if path.is_file() and path.suffix in SUFFIXES else f"not a file {' or '.join(SUFFIXES)}"


def read(path: Path) -> Reading:
    """Lines that begin with # are comments. Raises ValueError naming the line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not text") from error
    named = [
        _pose(line, f"{path}: line {k}")
        for k, line in enumerate(lines, start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    return Reading(estimate=Estimate(poses=collect(named, path)))


def _pose(line: str, where: str) -> tuple[ViewId, Pose]:
    from scipy.spatial.transform import Rotation

    try:
        numbers = np.array([float(word) for word in line.replace(",", " ").split()])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != 8 or not np.isfinite(numbers).all():
        raise ValueError(f"{where} is not `{COLUMNS}`, eight finite numbers")
    time, quaternion = numbers[0], numbers[4:]
    if time != int(time) or time < 0:
        raise ValueError(f"{where} has the timestamp {time:g}; it must be the number of a view, 12 for v012")
    if abs(np.linalg.norm(quaternion) - 1) > 1e-2:
        raise ValueError(f"{where} has a quaternion of length {np.linalg.norm(quaternion):.3g}, which must be 1")
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat(quaternion).as_matrix()
    pose[:3, 3] = numbers[1:4]
    return ViewId(f"v{int(time):03d}"), pose


def write(folder: Path, poses: Mapping[ViewId, Pose], camera: Camera, images: Mapping[ViewId, str]) -> Path:
    """`poses.tum` in `folder`; camera and images have no place in it."""
    from scipy.spatial.transform import Rotation

    lines = [f"# {COLUMNS}, world_from_camera in OpenCV axes; t is the number of the view, 12 for v012"]
    for view, pose in poses.items():
        numbers = [*pose[:3, 3].tolist(), *Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()]
        lines.append(" ".join([str(int(view[1:])), *map(repr, numbers)]))
    path = folder / FILE
    with replacing(path) as draft:
        draft.write_text("\n".join(lines) + "\n")
    return path


FORM = Form(
    name="tum", summary="TUM text, `t x y z qx qy qz qw`, world_from_camera",
    objection=objection, read=read, write=write,
)  # fmt: skip
