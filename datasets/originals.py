"""The photographs behind the views of a scene: their names, and themselves at full size, as a pinhole took them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.scene import shuffled_ids
from bench.task import Camera, ViewId
from datasets.folder import FolderScene
from datasets.images.decode import Darkroom, darkroom, is_turned
from datasets.loaders.recording import Frame


@dataclass(frozen=True, kw_only=True)
class Original:
    name: str  # its path below the folder that holds all of them: IMG_0012.JPG, cam1/0001.png
    frame: Frame


def originals(source: FolderScene) -> Mapping[ViewId, Original]:
    """What each training view was taken from. Raises SceneError."""
    frames = source.recording.frames
    home = Path(os.path.commonpath([frame.image.parent for frame in frames]))
    train = [frame for frame in frames if not frame.heldout]
    order = shuffled_ids(source.name, len(train))
    named = {
        view: Original(name=frame.image.relative_to(home).as_posix(), frame=frame)
        for view, frame in zip(order, train, strict=True)
    }
    return dict(sorted(named.items()))


def full_size(source: FolderScene) -> Darkroom:
    """How its images are developed at the size of the first: lens, orientation and background as ever. Raises
    SceneError."""
    recording = source.recording
    return darkroom(
        recording.optics, source.behind, max(recording.optics.camera.width, recording.optics.camera.height),
        upright=recording.upright,
        others=[frame.optics for frame in recording.frames if frame.optics is not None],
    )  # fmt: skip


def hand_over(source: FolderScene, folder: Path) -> Iterator[tuple[ViewId, str, Camera]]:
    """Write the photographs of all training views into `folder`, and yield each one's name there and its pinhole.

    One that a pinhole took as it is stored is copied byte for byte; any other is developed, and written as PNG. Raises
    SceneError.
    """
    from PIL import Image

    room = full_size(source)
    for view, original in originals(source).items():
        frame, name = original.frame, original.name
        optics = frame.optics or room.optics
        as_stored = optics.bend is None and optics.camera == room.shown and not frame.turn
        if as_stored and not (room.upright and is_turned(frame.image, frame.name)):
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(frame.image, place)
        else:
            name = str(Path(name).with_suffix(".png"))
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            image, _ = room.develop(frame.image, frame.name, frame.optics, turn=frame.turn)
            Image.fromarray(image).save(folder / name)
        yield view, name, room.shown
