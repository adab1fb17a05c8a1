"""The official layout of NeRF-Synthetic (Mildenhall et al. 2020): transforms_{train,test}.json and RGBA images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from datasets.loaders.image_files import find_image, masks_named, masks_said, moved
from datasets.loaders.intrinsics import listed, read_intrinsics
from datasets.loaders.recording import (
    Frame,
    Layout,
    Recording,
    frames_of,
    opencv_from_opengl,
    read_json,
    reference_of,
    seen_through,
)

NAME = "blender"


def _judged(folder: Path) -> Path:
    """The file of the held-out views; beside it the frames of `val` are neither shown nor judged."""
    test, val = folder / "transforms_test.json", folder / "transforms_val.json"
    return val if val.is_file() and not test.is_file() else test


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    if not (folder / "transforms_train.json").is_file():
        return "no transforms_train.json"
    return None if _judged(folder).is_file() else "no transforms_test.json or transforms_val.json"


def read(folder: Path) -> Recording:
    """Training views are those of `train`, held-out views those of `test`, or of `val` where there is no such file.

    Raises SceneError.

    The published files say `camera_angle_x` alone; files that were split from one `transforms.json` say all that it
    did, and are read as it is.
    """
    frames, cameras, listed_frames, reference = [], [], [], None
    files = (folder / "transforms_train.json", _judged(folder))
    for path in files:
        raw, split = read_json(path), path.stem.removeprefix("transforms_")
        if set(raw) - {"camera_angle_x", "frames"}:  # more than the published files say: another program's
            reference = reference_of(raw, path)
        for name, frame in frames_of(raw, path):
            listed_frames.append((f"{split} {name}", frame))
            image = find_image(folder, frame["file_path"], f"{split} {name}", NAME)
            cameras.append(listed(f"{split} {name}", image, raw, frame, path))
            pose = opencv_from_opengl(frame["transform_matrix"], name, path)
            frames.append(Frame(name=f"{split} {name}", image=image, pose=pose, heldout=split != "train"))
    lenses = read_intrinsics(cameras)
    masks = masks_named(folder, listed_frames, NAME)
    strays = moved(folder, [frame["file_path"] for _, frame in listed_frames], [frame.image for frame in frames])
    frames = [replace(frame, mask=mask) for frame, mask in zip(frames, masks, strict=True)]
    return Recording(
        folder=folder, frames=seen_through(frames, lenses.own), optics=lenses.optics, files=files,
        upright=lenses.upright, notes=(*strays, *lenses.notes, *masks_said(masks)), reference=reference,
    )  # fmt: skip


LAYOUT = Layout(name=NAME, version=4, reference="exact", objection=objection, read=read)
