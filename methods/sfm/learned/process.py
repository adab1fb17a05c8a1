"""The process: `python -m methods.sfm.learned.process REQUEST IMAGES FOUND`, asked by `preparation.py`.

It says on its output which part it has begun, a line each, and writes FOUND whole. Views are dealt to threads, each
network works on one: any number of threads gives the same numbers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Picture

from bench.files import read_arrays, write_arrays
from methods.sfm.learned import stand_ins
from methods.sfm.learned.networks import Extract, Found, extractor, likeness, matcher


def main(request: Path, images: Path, result: Path) -> None:
    """Read the request and the images, find, match, write."""
    stand_ins.install()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)
    asked = json.loads(request.read_text())
    shown = read_arrays(images)
    with torch.inference_mode(), ThreadPoolExecutor(asked["threads"], initializer=_quiet) as pool:
        _say("features")
        extract = extractor(asked["features"], asked["max_keypoints"])
        masks = shown.get("masks", [None] * len(shown["images"]))
        size = tuple(asked["size"])
        looks = [(extract, image, mask, size) for image, mask in zip(shown["images"], masks, strict=True)]
        views = list(pool.map(_find, looks))
        _say("matching")
        pairs = _worth_matching(views, asked["neighbours"], pool)
        match = matcher(asked["features"], asked["matcher"])
        matches = list(pool.map(lambda pair: _ordered(match(views[pair[0]], views[pair[1]])), pairs))
    write_arrays(result, _arrays(views, pairs, matches))


def _quiet() -> None:
    torch.set_grad_enabled(False)  # a thread's own


def _say(part: str) -> None:
    sys.stdout.write(f"{part}\n")
    sys.stdout.flush()


def _find(look: tuple[Extract, NDArray[np.uint8], NDArray[np.uint8] | None, tuple[int, int]]) -> Found:
    extract, image, mask, size = look
    picture = np.array(Picture.fromarray(image).resize(size, Picture.Resampling.BICUBIC))
    with torch.inference_mode():
        found = extract(torch.from_numpy(picture).permute(2, 0, 1).float() / 255)
        if mask is None:
            return found
        on_object = np.array(Picture.fromarray(np.where(mask > 0, 255, 0).astype(np.uint8)).resize(size, 0)) > 0
        x, y = found.keypoints.round().long().unbind(dim=1)
        return found.only(torch.from_numpy(on_object)[y.clamp(0, size[1] - 1), x.clamp(0, size[0] - 1)])


def _worth_matching(views: Sequence[Found], neighbours: int, pool: ThreadPoolExecutor) -> list[tuple[int, int]]:
    """Pairs of views of which one is among the `neighbours` that look most like the other; all of them for 0."""
    pairs = list(combinations(range(len(views)), 2))
    if not 0 < neighbours < len(views) - 1:
        return pairs
    alike = np.zeros((len(views), len(views)))
    for (a, b), how_much in zip(pairs, pool.map(lambda pair: likeness(*(views[k] for k in pair)), pairs), strict=True):
        alike[a, b] = alike[b, a] = how_much
    np.fill_diagonal(alike, -1)
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :neighbours]
    chosen = {(min(a, b), max(a, b)) for a, row in enumerate(nearest.tolist()) for b in row}
    return sorted(chosen)


def _ordered(matches: torch.Tensor) -> NDArray[Any]:
    """(M, 2), by the first image's numbers."""
    found = matches.numpy().astype(np.int32).reshape(-1, 2)
    return found[np.argsort(found[:, 0], kind="stable")]


def _arrays(views: Sequence[Found], pairs: list[tuple[int, int]], matches: list[NDArray[Any]]) -> dict[str, NDArray]:
    """Joined end to end, with how many belong to each view and pair. Places as COLMAP has them: the middle of the
    first pixel is at 0.5."""
    return {
        "keypoints": np.concatenate([view.keypoints.numpy().astype(np.float32) for view in views]) + np.float32(0.5),
        "of_view": np.array([len(view.keypoints) for view in views]),
        "pairs": np.array(pairs, dtype=np.int32).reshape(-1, 2),
        "matches": np.concatenate([*matches, np.zeros((0, 2), np.int32)]),
        "of_pair": np.array([len(found) for found in matches], dtype=np.int64),
    }


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
