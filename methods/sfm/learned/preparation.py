"""What the networks find in a capture: asked for once, kept in a folder, and the same for every seed and mapper.

The networks have a process of their own (see `process.py`), which never meets COLMAP.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.files import read_arrays, replacing, write_arrays
from bench.task import Capture
from methods.sfm.config import LEARNED_OPTIONS, SfmConfig
from methods.sfm.learned import process

FOUND, MADE = "found.npz", "seconds.json"
"""What was found, and, written last, what it belongs to and how long it took."""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Keypoints of each view, in the capture's order, and matches of pairs of views, both by number."""

    keypoints: list[NDArray[np.float32]]  # (N, 2) x and y in pixels of the images shown, the first one's middle at 0.5
    pairs: list[tuple[int, int]]  # the smaller number first
    matches: list[NDArray[np.int32]]  # (M, 2) for each pair
    seconds: float  # that finding them took, be it now or for another cell


def find(
    capture: Capture, config: SfmConfig, size: tuple[int, int], folder: Path, threads: int,
    say: Callable[[str], None] = lambda phase: None,
) -> Matches:  # fmt: skip
    """Keypoints and matches of images shown at `size` (width, height): those in `folder` where they belong to this
    capture and these options, else new ones, which are kept there. Raises RuntimeError where the networks fail."""
    of = _digest(capture, config, size)
    if (kept := _read(folder, of)) is not None:
        return kept
    began = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    asked, shown = folder / "asked.json", folder / "shown.npz"
    arrays = {"images": np.stack(list(capture.images.values()))}
    if config.masks and capture.masks:
        arrays["masks"] = np.stack([capture.masks[view] for view in capture.images])
    write_arrays(shown, arrays)
    options = {name: getattr(config, name) for name in LEARNED_OPTIONS}
    asked.write_text(json.dumps({**options, "matcher": config.matched_by, "size": size, "threads": threads}))
    _run(asked, shown, folder / FOUND, say)
    asked.unlink()
    shown.unlink()
    made = {"seconds": time.monotonic() - began, "of": of, "sha256": _sha256(folder / FOUND)}
    with replacing(folder / MADE) as draft:
        draft.write_text(json.dumps(made))
    found = _read(folder, of)
    assert found is not None
    return found


def _run(asked: Path, shown: Path, result: Path, say: Callable[[str], None]) -> None:
    """One thread for each share of the work, none within: the same numbers on any number of threads."""
    alone = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    path = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | alone | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": path}
    command = [sys.executable, "-m", process.__name__, *map(str, (asked, shown, result))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as child:
        assert child.stdout
        for line in child.stdout:
            say(line.strip())
    if child.returncode:
        raise RuntimeError(f"finding keypoints with networks failed (exit {child.returncode}): see stderr.txt")


def _read(folder: Path, of: str) -> Matches | None:
    """What `find` left in `folder`, or None where there is nothing, or something else, or it is not as it was left."""
    try:
        made: dict[str, Any] = json.loads((folder / MADE).read_text())
        if made["of"] != of or made["sha256"] != _sha256(folder / FOUND):
            return None
        arrays = read_arrays(folder / FOUND)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Matches(
        keypoints=_parts(arrays["keypoints"], arrays["of_view"]),
        pairs=[(a, b) for a, b in arrays["pairs"].tolist()],
        matches=_parts(arrays["matches"], arrays["of_pair"]),
        seconds=float(made["seconds"]),
    )


def _parts(joined: NDArray[Any], counts: NDArray[Any]) -> list[NDArray[Any]]:
    return np.split(joined, np.cumsum(counts)[:-1]) if len(counts) else []


def _digest(capture: Capture, config: SfmConfig, size: tuple[int, int]) -> str:
    """Of all that decides what is found."""
    digest = hashlib.sha256(json.dumps([[getattr(config, name) for name in LEARNED_OPTIONS], size]).encode())
    for view, image in capture.images.items():
        digest.update(view.encode() + np.ascontiguousarray(image).tobytes())
        if config.masks and capture.masks:
            digest.update(np.ascontiguousarray(capture.masks[view]).tobytes())
    return digest.hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
