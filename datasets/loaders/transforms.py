"""`transforms.json` as instant-ngp and nerfstudio write it: one file for all frames, with intrinsics and distortion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.scene import SceneError
from datasets.loaders.intrinsics import listed, read_intrinsics
from datasets.loaders.recording import (
    Frame,
    Layout,
    Recording,
    find_image,
    frames_of,
    opencv_from_opengl,
    read_json,
)

NAME = "transforms"
HELDOUT_EVERY = 8  # where no frame says its split


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    return None if (folder / "transforms.json").is_file() else "no transforms.json"


def read(folder: Path) -> Recording:
    """Frames in the order of their file names; held out are those of the split `test`, else every 8th.

    A split is said by each frame's `split`, or by nerfstudio's lists `train_filenames` and `test_filenames`. Frames
    of any other split (`val`) are neither shown nor judged. `applied_transform` is a change of frame, which is free.
    Masks of pixels to ignore (`mask_path`) are not read, and a note says so. Raises SceneError.
    """
    path = folder / "transforms.json"
    raw = read_json(path)
    named = sorted(frames_of(raw, path), key=lambda item: item[1]["file_path"])
    splits = _splits(raw, named)
    kept = [(name, frame) for name, frame in named if not splits or splits.get(name) in ("train", "test")]
    if not kept:
        raise SceneError(f"{path}: no frame has a `split` of train or test")
    images = [find_image(folder, frame["file_path"], name, NAME) for name, frame in kept]
    lenses = read_intrinsics(
        [listed(name, image, raw, frame, path) for (name, frame), image in zip(kept, images, strict=True)]
    )
    frames = tuple(
        Frame(
            name=name,
            image=image,
            pose=opencv_from_opengl(frame["transform_matrix"], name, path),
            heldout=splits.get(name) == "test",
            optics=own,
        )
        for (name, frame), image, own in zip(kept, images, lenses.own, strict=True)
    )
    recording = Recording(
        folder=folder, frames=frames, optics=lenses.optics, files=(path,), upright=lenses.upright,
        notes=(*lenses.notes, *_ignored_masks([frame for _, frame in kept])),
    )  # fmt: skip
    return recording if splits else recording.split_every(HELDOUT_EVERY)


def _ignored_masks(frames: list[dict[str, Any]]) -> list[str]:
    count = sum(bool(frame.get("mask_path")) for frame in frames)
    if not count:
        return []
    return [
        f"{count} of {len(frames)} frames name a mask of pixels to ignore (`mask_path`), which is not read: methods "
        "are shown those pixels and judged by them"
    ]


def _splits(raw: Mapping[str, Any], named: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """Split of each frame by its name, as far as the file says; empty where it says nothing."""
    lists = {file: split for split in ("train", "test") for file in raw.get(f"{split}_filenames") or ()}
    told = {name: frame.get("split", lists.get(frame["file_path"])) for name, frame in named}
    return {name: str(split) for name, split in told.items() if split is not None}


LAYOUT = Layout(name=NAME, version=2, reference="colmap", objection=objection, read=read)
