"""A cache folder of the tests' own, a small embedded scene, and folders written in the layouts that are read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from written import POSES, llff, opengl, picture, projection

from bench.scene import Scene
from datasets.procedural import EmbeddedScene


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNPOSED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def blocks() -> Scene:
    return EmbeddedScene(name="blocks").load(64)


@pytest.fixture
def transforms_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder with transforms.json: nine images of 40 x 30 px; keywords go to the top of the file."""

    def write(*, frames: Sequence[dict[str, Any]] | None = None, images: int = 9, **top: Any) -> Path:
        folder = tmp_path / "scene"
        (folder / "images").mkdir(parents=True)
        for k in range(images):
            picture(k).save(folder / "images" / f"{k:02d}.png")
        listed = frames or [{"file_path": f"images/{k:02d}.png"} for k in range(images)]
        listed = [{"transform_matrix": opengl(POSES[k]), **frame} for k, frame in enumerate(listed)]
        raw = {"fl_x": 50.0, "fl_y": 51.0, "cx": 21.0, "cy": 14.0, "w": 40, "h": 30, **top, "frames": listed}
        raw = {key: value for key, value in raw.items() if value is not None}
        (folder / "transforms.json").write_text(json.dumps(raw))
        return folder

    return write


@pytest.fixture
def blender_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder in NeRF-Synthetic's layout: six training and three test images, RGBA, 40 x 40 px."""

    def write(*, size: int = 40, angle: float = 0.7) -> Path:
        folder = tmp_path / "scene"
        for split, chosen in (("train", range(6)), ("test", range(6, 9))):
            (folder / split).mkdir(parents=True)
            frames = []
            for k in chosen:
                picture(k, (size, size), "RGBA").save(folder / split / f"r_{k}.png")
                frames.append({"file_path": f"./{split}/r_{k}", "rotation": 0.1, "transform_matrix": opengl(POSES[k])})
            raw = {"camera_angle_x": angle, "frames": frames}
            (folder / f"transforms_{split}.json").write_text(json.dumps(raw))
        return folder

    return write


@pytest.fixture
def llff_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder in LLFF's layout: nine images, of 40 x 30 px in `images_8`, that were taken at 320 x 240 px."""

    def write(
        *,
        taken: tuple[int, int] = (320, 240),
        focal: float = 400.0,
        sizes: Mapping[str, tuple[int, int]] | None = None,
    ) -> Path:
        folder = tmp_path / "scene"
        for name, size in (sizes or {"images_8": (40, 30)}).items():
            (folder / name).mkdir(parents=True)
            for k in range(len(POSES)):
                picture(k, size).save(folder / name / f"image{k:03d}.png")
        np.save(folder / "poses_bounds.npy", llff(POSES, *taken, focal))
        return folder

    return write


@pytest.fixture
def dtu_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder of MonoSDF's files: nine images, and matrices for 1600 x 1200 px; keywords replace arrays."""

    def write(*, size: tuple[int, int] = (40, 30), **arrays: np.ndarray) -> Path:
        folder = tmp_path / "scene"
        folder.mkdir()
        K = np.array([[2000.0, 0, 823], [0, 1990, 619], [0, 0, 1]])
        scale = np.array([[200.0, 0, 0, 40], [0, 200, 0, -20], [0, 0, 200, 600], [0, 0, 0, 1]])  # metric from unit
        held = {}
        for k, pose in enumerate(POSES):
            picture(k, size).save(folder / f"{k:06d}_rgb.png")
            held |= {f"scale_mat_{k}": scale, f"world_mat_{k}": 3 * projection(pose, K) @ np.linalg.inv(scale)}
        np.savez(folder / "cameras.npz", allow_pickle=True, **held | arrays)
        return folder

    return write


@pytest.fixture
def middlebury_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder in Middlebury's layout: an image of 40 x 30 px from each of the cameras `views`."""

    def write(*, views: Sequence[int] = range(9), K: Sequence[float] = (50, 0, 21, 0, 51, 14, 0, 0, 1)) -> Path:
        folder = tmp_path / "scene"
        folder.mkdir()
        lines = [str(len(views))]
        for k, view in enumerate(views):
            picture(k).save(folder / f"mine{k:04d}.png")
            camera_from_world = np.linalg.inv(POSES[view])
            numbers = [*K, *camera_from_world[:3, :3].ravel(), *camera_from_world[:3, 3]]
            lines.append(" ".join([f"mine{k:04d}.png", *(repr(float(number)) for number in numbers)]))
        (folder / "mine_par.txt").write_text("\n".join(lines) + "\n")
        return folder

    return write
