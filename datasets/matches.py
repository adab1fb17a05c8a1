"""Matches between images, as COLMAP finds them: SIFT, and one epipolar geometry for each pair, whatever the poses.

`python -m datasets.matches FOLDER` is the child that looks.
It is a process of its own, as everywhere: pycolmap does not get on with every library that may be loaded beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.task import Image

RATIO = 0.8  # of the distances to the nearest and second nearest descriptor (Lowe 2004, sec. 7.1)
MOST = 2048  # keypoints an image
ERROR = 2.0  # px from the lines of a pair's own geometry
FEWEST = 16  # matches of a pair that agree on a geometry: fewer do by chance


def match(images: Sequence[Image], pairs: Sequence[tuple[int, int]]) -> list[NDArray[np.float64]]:
    """Points (M, 4) u, v, u', v' in px, pixel centres at +0.5, that look alike in both images of each pair.

    Mutual nearest neighbours that pass the ratio test and agree on a fundamental matrix of the pair's own; none where
    too few do. Raises RuntimeError where the child process dies.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays: dict[str, Any] = {f"{k:06d}": image for k, image in enumerate(images)}
        np.savez(folder / "images.npz", **arrays, pairs=np.array(pairs))
        threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
        tree = str(Path(__file__).resolve().parents[1])
        done = subprocess.run(
            [sys.executable, "-m", "datasets.matches", name], capture_output=True, text=True, check=False,
            env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join([tree, os.environ.get("PYTHONPATH", "")])},
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"looking for matches failed: {done.stderr.strip()[-500:]}")
        with np.load(folder / "matches.npz", allow_pickle=False) as file:
            return [file[f"{k:06d}"] for k in range(len(pairs))]


def _matched(
    points_a: NDArray[np.float64], a: NDArray[np.float32], points_b: NDArray[np.float64], b: NDArray[np.float32]
) -> NDArray[np.float64]:
    if len(a) < 2 or len(b) < 2:
        return np.zeros((0, 4))
    similar = a @ b.T  # of unit descriptors: cosines
    best = similar.argmax(axis=1)
    mutual = similar.argmax(axis=0)[best] == np.arange(len(a))
    two = -np.partition(-similar, 1, axis=1)[:, :2]
    first, second = np.sqrt(np.maximum(2 - 2 * two, 0)).T
    kept = mutual & (first < RATIO * second)
    return np.column_stack([points_a[kept], points_b[best[kept]]])


def _agreeing(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those of the matches (M, 4) that one fundamental matrix explains."""
    import pycolmap

    if len(points) < FEWEST:
        return points[:0]
    options = pycolmap.RANSACOptions(max_error=ERROR, max_num_trials=2000, random_seed=0)
    found = pycolmap.estimate_fundamental_matrix(points[:, :2], points[:, 2:], options)
    if found is None:
        return points[:0]
    inside = points[np.asarray(found["inlier_mask"], dtype=bool)]
    return inside if len(inside) >= FEWEST else points[:0]


def main(folder: Path) -> None:
    """`images.npz` (images and the pairs of them) -> `matches.npz`, an array (M, 4) a pair."""
    import pycolmap
    from PIL import Image as Picture

    pycolmap.logging.minloglevel = int(pycolmap.logging.Level.WARNING)
    options = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    options.sift.max_num_features = MOST
    sift = pycolmap.FeatureExtractor.create(options, pycolmap.Device.cpu)
    features = []
    with np.load(folder / "images.npz", allow_pickle=False) as arrays:
        pairs = arrays["pairs"].tolist()
        for name in sorted(set(arrays.files) - {"pairs"}):
            image = arrays[name]
            grey = np.asarray(Picture.fromarray(image.squeeze(-1) if image.shape[2] == 1 else image).convert("L"))
            keypoints, descriptors = sift.extract_from_uint8_array(np.ascontiguousarray(grey))
            values = np.asarray(descriptors.data, dtype=np.float32).reshape(len(keypoints), -1)
            points = np.array([(point.x, point.y) for point in keypoints], dtype=np.float64).reshape(-1, 2)
            features.append((points, values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)))
    found = [_agreeing(_matched(*features[a], *features[b])) for a, b in pairs]
    matches: dict[str, Any] = {f"{k:06d}": points for k, points in enumerate(found)}
    np.savez(folder / "matches.npz", **matches)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
