"""The official layout of NeRF-Synthetic (Mildenhall et al. 2020): transforms_{train,test}.json and RGBA images."""

from __future__ import annotations

from pathlib import Path

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

NAME = "blender"
_SPLITS = ("train", "test")  # the frames of `val` are neither shown nor judged


def objection(folder: Path) -> str | None:
    """Why this folder is not of this layout; None where it is."""
    for split in _SPLITS:
        if not (folder / f"transforms_{split}.json").is_file():
            return f"no transforms_{split}.json"
    return None


def read(folder: Path) -> Recording:
    """Training views are those of `train`, held-out views those of `test`. Raises SceneError.

    The published files say `camera_angle_x` alone; files that were split from one `transforms.json` say all that it
    did, and are read as it is.
    """
    frames, cameras, files = [], [], [folder / f"transforms_{split}.json" for split in _SPLITS]
    for split, path in zip(_SPLITS, files, strict=True):
        raw = read_json(path)
        for name, frame in frames_of(raw, path):
            image = find_image(folder, frame["file_path"], f"{split} {name}", NAME)
            cameras.append(listed(f"{split} {name}", image, raw, frame, path))
            pose = opencv_from_opengl(frame["transform_matrix"], name, path)
            frames.append(Frame(name=f"{split} {name}", image=image, pose=pose, heldout=split == "test"))
    lenses = read_intrinsics(cameras)
    taken = tuple(
        Frame(name=frame.name, image=frame.image, pose=frame.pose, heldout=frame.heldout, optics=own)
        for frame, own in zip(frames, lenses.own, strict=True)
    )
    return Recording(
        folder=folder, frames=taken, optics=lenses.optics, files=tuple(files), upright=lenses.upright,
        notes=lenses.notes,
    )  # fmt: skip


LAYOUT = Layout(name=NAME, version=2, reference="exact", objection=objection, read=read)
