"""How much there is to hold on to: SIFT keypoints of an image, counted as COLMAP finds them.

In a process of its own, as everywhere: pycolmap does not get on with every library that may be loaded beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture

from bench.files import read_arrays, write_arrays
from bench.record import read_json, write_json
from bench.task import Image

ENLARGE_TO, MAX_ENLARGEMENT = 400, 2.0
"""Small images are shown to SIFT this large (longest side), but not more than so many times: as `colmap_nerf` does."""


def count(images: Sequence[Image]) -> list[int]:
    """Keypoints in each image (H, W, 1 or 3). Raises RuntimeError where the process dies."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_arrays(folder / "images.npz", {f"{k:06d}": image for k, image in enumerate(images)})
        done = subprocess.run(
            [sys.executable, "-m", "bench.degrade.keypoints", name], env=_one_thread(), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"counting keypoints failed: {done.stderr.strip()[-500:]}")
        return read_json(folder / "counts.json")


def _one_thread() -> dict[str, str]:
    shares = dict.fromkeys((f"{library}_NUM_THREADS" for library in ("OMP", "MKL", "OPENBLAS")), "1")
    tree = str(Path(__file__).resolve().parents[2])
    return {**os.environ, **shares, "PYTHONPATH": os.pathsep.join([tree, os.environ.get("PYTHONPATH", "")])}


def _grey(image: Image) -> NDArray[np.uint8]:
    """(H, W), enlarged; COLMAP's own weights (Rec. 709), which give its own counts."""
    factor = float(np.clip(ENLARGE_TO / max(image.shape[:2]), 1, MAX_ENLARGEMENT))
    picture = Picture.fromarray(image.squeeze(-1) if image.shape[2] == 1 else image).convert("RGB")
    size = (round(picture.width * factor), round(picture.height * factor))
    colours = np.asarray(picture.resize(size, Picture.Resampling.BICUBIC), np.float64)
    return np.round(colours @ [0.2126, 0.7152, 0.0722]).astype(np.uint8)


def main(folder: Path) -> None:
    import pycolmap

    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.WARNING)
    options = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    options.sift.max_num_features = 2**16  # all of them
    sift = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
    images = read_arrays(folder / "images.npz")
    counts = [len(sift.extract_from_uint8_array(_grey(images[name]))[0]) for name in sorted(images)]
    write_json(folder / "counts.json", counts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
