"""Poses from a feed-forward estimator, in the estimator's own environment: nothing of this project is imported here.

    python estimate.py vggt EXPORT ANSWER [--device cuda] [--weights NAME]

EXPORT is what `unposed data export` wrote: images/v000.png, ... ANSWER becomes a transforms.json, which
`unposed submit` reads, or, where it ends in .npz, arrays for the method `feedforward`. Each function below says in
which convention its library answers, and returns world_from_camera (N, 4, 4) with OpenCV camera axes, and
pixel_from_camera (N, 3, 3) of the images as they are exported, or None; the calls are those of the libraries' own
READMEs (2026-11).
"""

# pyright: reportMissingImports=false
# Each library lives in an environment of its own.

from __future__ import annotations

import argparse
import hashlib
import json
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

Answer = tuple[np.ndarray, "np.ndarray | None"]


def vggt(images: list[Path], weights: str, device: str) -> Answer:
    """VGGT (Wang et al., CVPR 2025): camera_from_world (1, N, 3, 4), OpenCV; intrinsics (1, N, 3, 3) of images that are
    518 px wide, their height a multiple of 14, and at most 518 of it, of the middle."""
    import torch
    from vggt.models.vggt import VGGT
    from vggt.utils.load_fn import load_and_preprocess_images
    from vggt.utils.pose_enc import pose_encoding_to_extri_intri

    model = VGGT.from_pretrained(weights).to(device)
    loaded = load_and_preprocess_images([str(path) for path in images])
    shown = (loaded[0] if isinstance(loaded, tuple) else loaded).to(device)  # masks beside it, in later ones
    with torch.no_grad():
        answer = model(shown)
    extrinsics, inner = pose_encoding_to_extri_intri(answer["pose_enc"], shown.shape[-2:])
    (width, height), (rows, columns) = size_of(images[0]), shown.shape[-2:]
    resized = max(round(height * columns / width / 14) * 14, rows)
    scale = (columns / width, resized / height)
    return inverted(squared(numbers(extrinsics)[0])), uncropped(numbers(inner)[0], scale, (0, (resized - rows) // 2))


def da3(images: list[Path], weights: str, device: str) -> Answer:
    """Depth Anything 3 (2025): camera_from_world (N, 3, 4), OpenCV; intrinsics (N, 3, 3) of images resized, uncropped,
    to the size of the depth."""
    from depth_anything_3.api import DepthAnything3

    model = DepthAnything3.from_pretrained(weights).to(device)
    answer = model.inference([str(path) for path in images])
    (width, height), (rows, columns) = size_of(images[0]), answer.depth.shape[-2:]
    inner = uncropped(numbers(answer.intrinsics), (columns / width, rows / height), (0, 0))
    return inverted(squared(numbers(answer.extrinsics))), inner


def mapanything(images: list[Path], weights: str, device: str) -> Answer:
    """MapAnything (Keetha et al., 2025): world_from_camera (1, 4, 4) a view, OpenCV; intrinsics (1, 3, 3) of an image
    that was resized to cover the size of `img_no_norm` (1, H, W, 3), and cropped to its middle."""
    from mapanything.models import MapAnything
    from mapanything.utils.image import load_images

    model = MapAnything.from_pretrained(weights).to(device)
    answers = model.infer(load_images([str(path) for path in images]))
    poses = np.stack([numbers(answer["camera_poses"])[0] for answer in answers])
    (width, height), (rows, columns) = size_of(images[0]), answers[0]["img_no_norm"].shape[1:3]
    scale = max(columns / width, rows / height)
    margins = ((round(width * scale) - columns) / 2, (round(height * scale) - rows) / 2)
    inner = np.stack([numbers(answer["intrinsics"])[0] for answer in answers])
    return poses, uncropped(inner, (scale, scale), margins)


def pi3(images: list[Path], weights: str, device: str) -> Answer:
    """Pi3 (Wang et al., 2025): world_from_camera (1, N, 4, 4), OpenCV; no intrinsics."""
    from pi3.models.pi3 import Pi3

    return _pi3(Pi3, images, weights, device)


def pi3x(images: list[Path], weights: str, device: str) -> Answer:
    """Pi3X, its successor: as Pi3."""
    from pi3.models.pi3x import Pi3X

    return _pi3(Pi3X, images, weights, device)


def _pi3(kind: Any, images: list[Path], weights: str, device: str) -> Answer:
    import torch
    from pi3.utils.basic import load_images_as_tensor

    model = kind.from_pretrained(weights).to(device).eval()
    shown = load_images_as_tensor(str(images[0].parent), interval=1).to(device)
    with torch.no_grad():
        return numbers(model(shown[None])["camera_poses"])[0], None


def mast3r(images: list[Path], weights: str, device: str) -> Answer:
    """MASt3R-SfM (Duisterhof et al., 3DV 2025): world_from_camera (N, 4, 4), OpenCV; focal lengths (N,) of images whose
    longer side is 512 px, then cropped to their middle."""
    import mast3r.utils.path_to_dust3r  # noqa: F401 - first: by it dust3r, a clone within the clone, is found
    from dust3r.utils.image import load_images
    from mast3r.cloud_opt.sparse_ga import sparse_global_alignment
    from mast3r.image_pairs import make_pairs
    from mast3r.model import AsymmetricMASt3R

    model = AsymmetricMASt3R.from_pretrained(weights).to(device)
    names = [str(path) for path in images]
    pairs = make_pairs(load_images(names, size=512), scene_graph="complete", prefilter=None, symmetrize=True)
    with tempfile.TemporaryDirectory() as cache:
        scene = sparse_global_alignment(names, pairs, cache, model, device=device, shared_intrinsics=True)
        width, height = size_of(images[0])
        inner = np.tile(np.eye(3), (len(images), 1, 1))
        inner[:, 0, 0] = inner[:, 1, 1] = numbers(scene.get_focals()).reshape(-1) * max(width, height) / 512
        inner[:, :2, 2] = width / 2, height / 2
        return numbers(scene.get_im_poses()), inner


ESTIMATORS = {
    "vggt": (vggt, "facebook/VGGT-1B"),
    "da3": (da3, "depth-anything/DA3-BASE"),
    "mapanything": (mapanything, "facebook/map-anything-apache"),
    "pi3": (pi3, "yyfz233/Pi3"),
    "pi3x": (pi3x, "yyfz233/Pi3X"),
    "mast3r": (mast3r, "naver/MASt3R_ViTLarge_BaseDecoder_512_catmlpdpt_metric"),
}
"""By name: the function, and the weights that it takes unless others are named."""


def numbers(tensor: Any) -> np.ndarray:
    """A tensor of any device and width, or an array, as float64."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu().double().numpy()
    return np.asarray(tensor, float)


def squared(poses: np.ndarray) -> np.ndarray:
    """(N, 3, 4) -> (N, 4, 4)."""
    last = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(poses), 1, 4))
    return np.concatenate([poses[:, :3], last], axis=1)


def size_of(image: Path) -> tuple[int, int]:
    """Width and height of a PNG, px, from its first bytes."""
    with image.open("rb") as file:
        return struct.unpack(">II", file.read(24)[16:])


def uncropped(inner: np.ndarray, scale: tuple[float, float], margins: tuple[float, float]) -> np.ndarray:
    """Intrinsics (N, 3, 3) of images before they were resized by `scale` (x, y), and before `margins` px (left, top) of
    the resized ones were cut off."""
    made = np.array(inner, float)
    made[:, :2, 2] += margins
    made[:, :2] /= np.array(scale)[:, None]
    return made


def digest(weights: str) -> str:
    """sha256 of the weight files, by their names; `unknown` where none can be found on this disk."""
    caches = Path(os.environ.get("HF_HUB_CACHE") or Path(os.environ.get("HF_HOME") or "~/.cache/huggingface") / "hub")
    kept = caches.expanduser() / f"models--{weights.replace('/', '--')}" / "snapshots"
    place = Path(weights) if Path(weights).exists() else kept
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.suffix in WEIGHTS)
    made = hashlib.sha256()
    for file in files:
        made.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while block := stream.read(2**24):
                made.update(block)
    return made.hexdigest() if files else "unknown"


WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


def inverted(poses: np.ndarray) -> np.ndarray:
    """camera_from_world <-> world_from_camera, (N, 4, 4)."""
    return np.linalg.inv(poses)


def keep(path: Path, images: list[Path], answer: Answer, weights: str) -> None:
    """Arrays: `views` (N,), `poses` (N, 4, 4), `intrinsics` (N or 0, 3, 3), and the digest of the `weights`."""
    poses, inner = checked(images, answer[0]), answer[1]
    inner = np.zeros((0, 3, 3)) if inner is None else inner
    views = np.array([image.stem for image in images])
    np.savez(path, views=views, poses=poses, intrinsics=inner, weights=np.array(digest(weights)))


def checked(images: list[Path], poses: np.ndarray) -> np.ndarray:
    if poses.shape != (len(images), 4, 4) or not np.isfinite(poses).all():
        raise SystemExit(f"estimate.py: {len(images)} images, and poses {poses.shape}: is this another version?")
    return poses


def write(path: Path, images: list[Path], poses: np.ndarray) -> None:
    """transforms.json, whose cameras have OpenGL axes. Intrinsics are left out: those of the scene stand."""
    opengl = checked(images, poses) @ np.diag([1.0, -1.0, -1.0, 1.0])
    frames = [
        {"file_path": f"images/{image.name}", "transform_matrix": pose.tolist()}
        for image, pose in zip(images, opengl, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"frames": frames}, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description="Poses from a feed-forward estimator, for `unposed submit`.")
    parser.add_argument("estimator", choices=list(ESTIMATORS))
    parser.add_argument("export", type=Path)
    parser.add_argument("answer", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights")
    asked = parser.parse_args()
    images = sorted((asked.export / "images").glob("v*.png"))
    if not images:
        raise SystemExit(f"estimate.py: {asked.export}/images holds no v000.png, ...: is it what `data export` wrote?")
    estimate, weights = ESTIMATORS[asked.estimator]
    answer = estimate(images, asked.weights or weights, asked.device)
    if asked.answer.suffix == ".npz":
        keep(asked.answer, images, answer, asked.weights or weights)
    else:
        write(asked.answer, images, answer[0])


if __name__ == "__main__":
    main()
