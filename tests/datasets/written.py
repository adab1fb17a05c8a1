"""Scenes written by hand in the layouts that are read, and the arithmetic that they are checked against."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.task import Camera, look_at

POSES = look_at(
    np.array(
        [[3.0, 1, 2], [-2, 3, 1], [1, -3, 2], [-3, -1, 1], [2, 2, 3], [0.5, 3, 2], [3, -2, 1], [-2, -2, 3], [1, 3, 1]]
    ),
    np.zeros(3),
    np.array([0.0, 0, 1]),
)
"""Nine cameras (9, 4, 4), OpenCV axes, that the written folders use."""


def opengl(pose: np.ndarray) -> list[list[float]]:
    """The matrix as Blender and instant-ngp write it: the camera's y and z axes turned round."""
    matrix = pose.copy()
    matrix[:3, 1] = -matrix[:3, 1]
    matrix[:3, 2] = -matrix[:3, 2]
    return matrix.tolist()


def llff(poses: np.ndarray, width: int, height: int, focal: float) -> np.ndarray:
    """The rows (N, 17) of poses_bounds.npy, as LLFF's imgs2poses.py makes them of OpenCV's axes."""
    x, y, z, centre = np.moveaxis(poses[:, :3], -1, 0)
    hwf = np.tile([height, width, focal], (len(poses), 1))
    matrices = np.stack([y, x, -z, centre, hwf], axis=-1)  # (N, 3, 5)
    return np.column_stack([matrices.reshape(len(poses), 15), np.tile([1.5, 6.0], (len(poses), 1))])


def projection(pose: np.ndarray, K: np.ndarray) -> np.ndarray:
    """P (4, 4) of homogeneous points: pixels, depth and 1, before the division by depth."""
    out = np.eye(4)
    out[:3, :3] = K
    return out @ np.linalg.inv(pose)


def picture(k: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> Image.Image:
    """An image (width, height) of noise that is the k-th's own."""
    rng = np.random.default_rng(k)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8), mode=None)


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file in place."""
    raw = json.loads(path.read_text())
    change(raw)
    path.write_text(json.dumps(raw))


def project(points: np.ndarray, pose: np.ndarray, camera: Camera) -> np.ndarray:
    """Pixels (N, 2) of world points (N, 3), written out: x right, y down, z forward."""
    out = []
    for point in points:
        x, y, z = np.linalg.inv(pose)[:3] @ [*point, 1.0]
        out.append([camera.fx * x / z + camera.cx, camera.fy * y / z + camera.cy])
    return np.array(out)


_SIFT = """
import sys, numpy as np, pycolmap
options = pycolmap.FeatureExtractionOptions()
options.num_threads = 1
extractor = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
found = {}
for k, image in enumerate(np.load(sys.argv[1])):
    grey = np.ascontiguousarray(image.mean(axis=-1).round().astype(np.uint8))
    keypoints, descriptors = extractor.extract(pycolmap.Bitmap.from_array(grey))
    found[f"points{k}"] = np.array([(point.x, point.y) for point in keypoints])
    found[f"descriptors{k}"] = np.asarray(descriptors.data)
np.savez(sys.argv[2], **found)
"""


def sift(images: np.ndarray, folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Keypoints (K, 2) in pixels, centres at +0.5, and descriptors of images (N, H, W, 3): pycolmap, on its own."""
    np.save(folder / "images.npy", images)
    command = [sys.executable, "-c", _SIFT, str(folder / "images.npy"), str(folder / "found.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "found.npz") as found:
        return [(found[f"points{k}"], found[f"descriptors{k}"]) for k in range(len(images))]
