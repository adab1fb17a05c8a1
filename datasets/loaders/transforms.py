"""`transforms.json` as instant-ngp and nerfstudio write it: one file for all frames, with intrinsics and distortion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bench.scene import SceneError
from bench.task import Pose
from datasets.loaders.image_files import find_image, masks_named, masks_said, moved, natural
from datasets.loaders.intrinsics import listed, read_intrinsics, uncalibrated
from datasets.loaders.recording import (
    Frame,
    Layout,
    Recording,
    frames_of,
    opencv_from_opengl,
    read_json,
    reference_of,
)

NAME = "transforms"
HELDOUT_EVERY = 8  # where no frame says its split


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    return None if (folder / "transforms.json").is_file() else "no transforms.json"


def read(folder: Path) -> Recording:
    """Frames in the order of their file names; held out are those of the split `test`, else every 8th.

    A split is said by each frame's `split`, or by nerfstudio's lists `train_filenames` and `test_filenames`. Frames
    of any other split are neither shown nor judged, unless none is of `test`: then those of `val` are held out.
    `applied_transform` is a change of frame, which is free. What `mask_path` names are the scene's masks. A file
    without poses is a scene without a truth, and so is one whose poses all coincide; where poses come from is what the
    file says. Raises SceneError.
    """
    path = folder / "transforms.json"
    raw = read_json(path)
    named = sorted(frames_of(raw, path, posed=False), key=lambda item: natural(item[1]["file_path"]))
    splits = _splits(raw, named)
    kept = [(name, frame) for name, frame in named if not splits or splits.get(name) in ("train", "test")]
    if not kept:
        raise SceneError(f"{path}: no frame has a `split` of train or test")
    images = [find_image(folder, frame["file_path"], name, NAME) for name, frame in kept]
    poses, notes = _poses(kept, path)
    said = [listed(name, image, raw, frame, path) for (name, frame), image in zip(kept, images, strict=True)]
    lenses = uncalibrated(said) or read_intrinsics(said)
    masks = masks_named(folder, kept, NAME)
    strays = moved(folder, [frame["file_path"] for _, frame in kept], images)
    frames = tuple(
        Frame(name=name, image=image, pose=pose, heldout=splits.get(name) == "test", optics=own, mask=mask)
        for (name, _), image, pose, own, mask in zip(
            kept, images, poses or [None] * len(kept), lenses.own, masks, strict=True
        )
    )
    recording = Recording(
        folder=folder, frames=frames, optics=lenses.optics, files=(path,), upright=lenses.upright,
        notes=(*notes, *strays, *lenses.notes, *masks_said(masks)),
        reference=reference_of(raw, path) if poses else "none", calibrated=lenses.calibrated,
    )  # fmt: skip
    return recording if splits else recording.split_every(HELDOUT_EVERY)


def _poses(named: list[tuple[str, dict[str, Any]]], path: Path) -> tuple[list[Pose] | None, list[str]]:
    """The pose of every frame, or None where there are none, and what is to be said of it."""
    without = [name for name, frame in named if "transform_matrix" not in frame]
    if len(without) == len(named):
        return None, []
    if without:
        raise SceneError(
            f"{path}: {without[0]} has no `transform_matrix`, and others have one ({len(without)} of {len(named)} have "
            "none); give poses to all frames or to none, and leave out those that have no pose"
        )
    poses = [opencv_from_opengl(frame["transform_matrix"], name, path) for name, frame in named]
    if len(poses) > 1 and np.abs(np.stack(poses) - poses[0]).max() < 1e-9:
        return None, ["its poses all coincide: they hold a place, and are read as none"]
    return poses, []


def _splits(raw: Mapping[str, Any], named: list[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """Split of each frame by its name, as far as the file says; empty where it says nothing."""
    lists = {file: split for split in ("train", "val", "test") for file in raw.get(f"{split}_filenames") or ()}
    told = {name: frame.get("split", lists.get(frame["file_path"])) for name, frame in named}
    splits = {name: str(split) for name, split in told.items() if split is not None}
    if "test" in splits.values():
        return splits
    return {name: "test" if split == "val" else split for name, split in splits.items()}


LAYOUT = Layout(name=NAME, version=5, reference="unknown", objection=objection, read=read)
