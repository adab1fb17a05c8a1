"""A COLMAP model, text or binary: its cameras, and its images' camera_from_world in OpenCV axes, by pycolmap."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench.poses_io.pose_format import IMAGES, Form, Note, Reading, collect, one_camera, view_of
from bench.task import Camera, Estimate, Pose, ViewId

if TYPE_CHECKING:
    import pycolmap

MODEL = Path("sparse/0")
MODELS = {
    "PINHOLE": (), "SIMPLE_PINHOLE": (), "SIMPLE_RADIAL": ("k",), "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"), "FULL_OPENCV": ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
}  # fmt: skip
"""Cameras whose straight part is a pinhole, with the terms that bend it."""

LOOSE, ROUNDED = 0.05, 1e-9
"""By how much a rotation times its inverse may differ from the identity before it is refused, and before it is made a
rotation: files have quaternions of few digits."""


def objection(path: Path) -> str | None:
    if not path.is_dir():
        return "not a folder"
    found = models_in(path)
    if len(found) > 1:
        names = ", ".join(each.relative_to(path).as_posix() for each in found)
        return f"it holds several models, {names}: name one of them"
    return None if found else f"neither it nor {MODEL} in it holds cameras and images as .bin or .txt"


def models_in(path: Path) -> list[Path]:
    """A folder may be the model, or hold models by number, itself or in `sparse`."""
    homes = [home for home in (path, path / "sparse") if home.is_dir()]
    return [place for home in homes for place in (home, *sorted(home.glob("[0-9]*"))) if _suffix(place)]


def _suffix(folder: Path) -> str | None:
    ends = (".bin", ".txt")
    return next(
        (end for end in ends if all((folder / f"{name}{end}").is_file() for name in ("cameras", "images"))), None
    )


def read(path: Path) -> Reading:
    """The model in a folder, or in `sparse/0` of it. Raises ValueError."""
    (folder,) = models_in(path)
    model = read_model(folder)
    images = [image for _, image in sorted(model.images.items())]
    named = [(view_of(image.name, str(folder)), pose_of(image, folder)) for image in images]
    notes: dict[str, Note] = {}
    cameras = [_camera(model.cameras[image.camera_id], folder, notes) for image in images]
    return Reading(estimate=Estimate(poses=collect(named, folder), camera=one_camera(cameras, notes)), notes=notes)


def read_model(folder: Path) -> pycolmap.Reconstruction:
    """Cameras and images alone. COLMAP reads a points file that was cut short for ever, and poses need no points."""
    import pycolmap

    suffix = _suffix(folder)
    if suffix == ".bin":
        _refuse_forged(folder)
    with tempfile.TemporaryDirectory() as bare:
        for name in ("cameras", "images"):
            shutil.copy(folder / f"{name}{suffix}", bare)
        if suffix == ".txt":
            _with_point_lines(Path(bare) / "images.txt", folder)
        (Path(bare) / f"points3D{suffix}").write_bytes(bytes(8) if suffix == ".bin" else b"")  # 8 bytes: a count of 0
        try:
            model = pycolmap.Reconstruction(bare)
        except (ValueError, RuntimeError, IndexError, MemoryError) as error:
            text = re.sub(r"^\[[^\]]*\] ", "", " ".join(str(error).split()))
            raise ValueError(f"{folder}: COLMAP cannot read its cameras and images ({text[:120]})") from error
    if suffix == ".bin":
        _refuse_cut(folder, model)
    return model


def _with_point_lines(path: Path, folder: Path) -> None:
    """Give each image its line of 2D points, an empty one, in a file that was written without them.

    COLMAP takes every second line for points, and would lose half of such a file's images without a word. Raises
    ValueError where some images have a line of points and some have none.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in text.splitlines() if not line.lstrip().startswith("#")]
    heads = [line for line in lines if _is_head(line)]
    others = [line for line in lines if line and not _is_head(line)]
    paired, k = 0, 0
    while k < len(lines):  # as COLMAP reads: a head, and whatever line follows
        if lines[k]:
            paired += 1
            k += 1
        k += 1
    if not heads or paired == len(heads):
        return
    if others:
        raise ValueError(
            f"{folder / 'images.txt'}: {len(heads)} images but {len(others)} lines of points; each image takes two "
            "lines, the second one empty where it has no points"
        )
    path.write_text("".join(f"{line}\n\n" for line in heads), encoding="utf-8")


def _is_head(line: str) -> bool:
    """Whether a line names an image: an id, seven numbers, a camera's id, a name. Points come in threes."""
    words = line.split()
    if len(words) < 10 or not (words[0].isdigit() and words[8].isdigit()):
        return False
    return len(words) % 3 != 0 or not all(map(_is_number, words))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _refuse_forged(folder: Path) -> None:
    """COLMAP believes the counts of a binary file, takes memory for them, and may die of it: images and their points
    are counted first. Layout as in its `reconstruction_io_binary.cc`."""
    path = folder / "images.bin"
    held = path.read_bytes()
    at = 8
    for _ in range(_count(held, 0, 73, path)):
        end = held.find(b"\0", at + 64)
        if end < 0:
            raise ValueError(f"{path}: an image's name has no end; copy it again")
        at = end + 9 + 24 * _count(held, end + 1, 24, path)
    if at != len(held):
        raise ValueError(f"{path}: has {len(held)} bytes where {at} are announced; copy it again")
    path = folder / "cameras.bin"
    _count(path.read_bytes(), 0, 32, path)  # a camera has a parameter at least


def _count(held: bytes, at: int, least: int, path: Path) -> int:
    """How many entries a file announces at this byte. Raises ValueError where they, of so many bytes each or more, are
    more than it holds."""
    count = int.from_bytes(held[at : at + 8], "little")
    if len(held) < at + 8 + count * least:
        raise ValueError(f"{path}: has {len(held)} bytes where {at + 8 + count * least} are announced; copy it again")
    return count


def _refuse_cut(folder: Path, model: pycolmap.Reconstruction) -> None:
    """COLMAP reads on past the end of a file. Sizes as in its `reconstruction_io_binary.cc`."""
    sizes = {
        "cameras.bin": 8 + sum(24 + 8 * len(each.params) for each in model.cameras.values()),
        "images.bin": 8 + sum(73 + len(i.name.encode()) + 24 * i.num_points2D() for i in model.images.values()),
    }
    for name, size in sizes.items():
        if (held := (folder / name).stat().st_size) != size:
            raise ValueError(f"{folder / name}: has {held} bytes where {size} are announced; copy it again")


def pose_of(image: pycolmap.Image, folder: Path) -> Pose:
    pose = np.eye(4)
    pose[:3] = image.cam_from_world().inverse().matrix()
    if not np.isfinite(pose).all():
        raise ValueError(f"{folder}: the pose of {image.name} is not finite (NaN or infinity)")
    squares = pose[:3, :3].T @ pose[:3, :3]
    if not np.allclose(squares, np.eye(3), rtol=0, atol=LOOSE):
        length = float(np.linalg.norm(image.cam_from_world().rotation.quat))
        raise ValueError(f"{folder}: the rotation of {image.name} is none: its quaternion has a length of {length:.4g}")
    if np.abs(squares - np.eye(3)).max() > ROUNDED:  # a quaternion of few digits
        u, _, v = np.linalg.svd(pose[:3, :3])
        pose[:3, :3] = u @ v
        pose[:3, 3] = -pose[:3, :3] @ image.cam_from_world().translation
    return pose


def _camera(found: pycolmap.Camera, folder: Path, notes: dict[str, Note]) -> Camera:
    model = found.model.name
    if model not in MODELS:
        raise ValueError(f"{folder}: camera model {model} is no pinhole camera, as the images' is: use PINHOLE")
    terms = dict(zip(found.params_info.replace(" ", "").split(","), found.params.tolist(), strict=True))
    if any(terms[term] for term in MODELS[model]):
        notes["distortion_dropped"] = ", ".join(f"{term}={terms[term]:.4g}" for term in MODELS[model])
    fx, fy = (terms["f"], terms["f"]) if "f" in terms else (terms["fx"], terms["fy"])
    return Camera(width=found.width, height=found.height, fx=fx, fy=fy, cx=terms["cx"], cy=terms["cy"])


def write(folder: Path, poses: Mapping[ViewId, Pose], camera: Camera, images: Mapping[ViewId, str]) -> Path:
    """`sparse/0` in `folder`, as text, without points. Images go by their paths below the folder `images`."""
    import pycolmap

    model = pycolmap.Reconstruction()
    params = [camera.fx, camera.fy, camera.cx, camera.cy]
    model.add_camera_with_trivial_rig(
        pycolmap.Camera(model="PINHOLE", width=camera.width, height=camera.height, params=params, camera_id=1)
    )
    for k, (view, pose) in enumerate(poses.items(), start=1):
        world_from_camera = pycolmap.Rigid3d(np.ascontiguousarray(pose[:3]))
        model.add_image_with_trivial_frame(
            pycolmap.Image(name=images[view].partition(f"{IMAGES}/")[2], camera_id=1, image_id=k),
            world_from_camera.inverse(),
        )
    path = folder / MODEL
    draft = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    model.write_text(draft)
    shutil.rmtree(path, ignore_errors=True)
    draft.replace(path)
    return path


FORM = Form(
    name="colmap", summary="a COLMAP model in sparse/0, text or binary",
    objection=objection, read=read, write=write,
)  # fmt: skip
