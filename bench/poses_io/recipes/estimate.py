"""Poses from a feed-forward estimator, in the estimator's own environment: nothing of this project is imported here.

    python estimate.py vggt EXPORT ANSWER [--device cuda] [--weights NAME]

EXPORT is what `unposed data export` wrote: images/v000.png, ... ANSWER becomes a transforms.json, which
`unposed submit` reads. Each function below says in which convention its library answers, and returns
world_from_camera (N, 4, 4) with OpenCV camera axes; the calls are those of the libraries' own READMEs (2026-11).
"""

# pyright: reportMissingImports=false
# Each library lives in an environment of its own.

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def vggt(images: list[Path], weights: str, device: str) -> np.ndarray:
    """VGGT (Wang et al., CVPR 2025): camera_from_world (1, N, 3, 4), OpenCV."""
    import torch
    from vggt.models.vggt import VGGT
    from vggt.utils.load_fn import load_and_preprocess_images
    from vggt.utils.pose_enc import pose_encoding_to_extri_intri

    model = VGGT.from_pretrained(weights).to(device)
    shown = load_and_preprocess_images([str(path) for path in images]).to(device)
    with torch.no_grad():
        answer = model(shown)
    extrinsics, _ = pose_encoding_to_extri_intri(answer["pose_enc"], shown.shape[-2:])
    return inverted(squared(numbers(extrinsics)[0]))


def da3(images: list[Path], weights: str, device: str) -> np.ndarray:
    """Depth Anything 3 (2025): camera_from_world (N, 3, 4), OpenCV."""
    from depth_anything_3.api import DepthAnything3

    model = DepthAnything3.from_pretrained(weights).to(device)
    return inverted(squared(numbers(model.inference([str(path) for path in images]).extrinsics)))


def mapanything(images: list[Path], weights: str, device: str) -> np.ndarray:
    """MapAnything (Keetha et al., 2025): world_from_camera (1, 4, 4) a view, OpenCV."""
    from mapanything.models import MapAnything
    from mapanything.utils.image import load_images

    model = MapAnything.from_pretrained(weights).to(device)
    answers = model.infer(load_images([str(path) for path in images]))
    return np.stack([numbers(answer["camera_poses"])[0] for answer in answers])


def pi3(images: list[Path], weights: str, device: str) -> np.ndarray:
    """Pi3 (Wang et al., 2025): world_from_camera (1, N, 4, 4), OpenCV."""
    import torch
    from pi3.models.pi3 import Pi3
    from pi3.utils.basic import load_images_as_tensor

    model = Pi3.from_pretrained(weights).to(device).eval()
    shown = load_images_as_tensor(str(images[0].parent), interval=1).to(device)
    with torch.no_grad():
        return numbers(model(shown[None])["camera_poses"])[0]


def mast3r(images: list[Path], weights: str, device: str) -> np.ndarray:
    """MASt3R-SfM (Duisterhof et al., 3DV 2025): world_from_camera (N, 4, 4), OpenCV."""
    from dust3r.utils.image import load_images
    from mast3r.cloud_opt.sparse_ga import sparse_global_alignment
    from mast3r.image_pairs import make_pairs
    from mast3r.model import AsymmetricMASt3R

    model = AsymmetricMASt3R.from_pretrained(weights).to(device)
    names = [str(path) for path in images]
    pairs = make_pairs(load_images(names, size=512), scene_graph="complete", prefilter=None, symmetrize=True)
    with tempfile.TemporaryDirectory() as cache:
        scene = sparse_global_alignment(names, pairs, cache, model, device=device, shared_intrinsics=True)
        return numbers(scene.get_im_poses())


ESTIMATORS = {
    "vggt": (vggt, "facebook/VGGT-1B"),
    "da3": (da3, "depth-anything/DA3-BASE"),
    "mapanything": (mapanything, "facebook/map-anything-apache"),
    "pi3": (pi3, "yyfz233/Pi3"),
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


def inverted(poses: np.ndarray) -> np.ndarray:
    """camera_from_world <-> world_from_camera, (N, 4, 4)."""
    return np.linalg.inv(poses)


def write(path: Path, images: list[Path], poses: np.ndarray) -> None:
    """transforms.json, whose cameras have OpenGL axes. Intrinsics are left out: an estimator's are of its own crop."""
    if poses.shape != (len(images), 4, 4) or not np.isfinite(poses).all():
        raise SystemExit(f"estimate.py: {len(images)} images, and poses {poses.shape}: is this another version?")
    opengl = poses @ np.diag([1.0, -1.0, -1.0, 1.0])
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
    write(asked.answer, images, estimate(images, asked.weights or weights, asked.device))


if __name__ == "__main__":
    main()
