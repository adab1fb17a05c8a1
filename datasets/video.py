"""Photographs out of a video: evenly spread over what the camera moved, each the sharpest of its share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench.scene import SceneError
from datasets.loaders.photographs import FEWEST

if TYPE_CHECKING:
    from types import ModuleType

ENDINGS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".3gp")
LOOKED_AT = 256  # px, longest side of the small grey frames that motion and sharpness are measured on
MOST_FRAMES = 100_000  # three quarters of an hour
STILL = 0.05  # of the median motion, at least, between two frames: a camera that stands is given some photographs too
QUALITY = 95  # JPEG


def is_video(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS


def extract(video: Path, folder: Path, count: int) -> list[Path]:
    """Write `count` frames of a video as `folder/0001.jpg`, ..., turned upright, and return them: all or, where it has
    fewer than `FEWEST`, none. Raises SceneError."""
    motion, sharpness = [], []
    earlier: NDArray[np.float32] | None = None
    for _, frame in _frames(video):
        grey = _grey(frame)
        motion.append(0.0 if earlier is None else float(np.abs(grey - earlier).mean()))
        sharpness.append(_sharpness(grey))
        earlier = grey
        if len(motion) > MOST_FRAMES:
            raise SceneError(f"{video}: has more than {MOST_FRAMES} frames; cut it to the part that shows the scene")
    if not motion:
        raise SceneError(f"{video}: no frame of it can be decoded; export it again")
    chosen = choose(motion, sharpness, count)
    if len(chosen) < FEWEST:
        raise SceneError(
            f"{video}: of its {len(motion)} frames {len(chosen)} would be taken, and {FEWEST} photographs are the "
            "fewest of a scene; film for longer, or while you walk"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        draft = Path(name) / "frames"
        draft.mkdir()
        written, wanted = [], set(chosen)
        for k, frame in _frames(video):
            if k in wanted:
                written.append(f"{len(written) + 1:04d}.jpg")
                _picture(frame).save(draft / written[-1], quality=QUALITY)
        draft.rename(folder)
    return [folder / each for each in written]


def choose(motion: Sequence[float], sharpness: Sequence[float], count: int) -> list[int]:
    """Indices of at most `count` frames: one for each equal share of the whole motion, the sharpest of that share.

    `motion` is the change from the frame before, `sharpness` larger where a frame is sharper.
    """
    moved = np.asarray(motion, dtype=np.float64)
    moved = np.maximum(moved, STILL * float(np.median(moved[1:])) if len(moved) > 1 else 1.0)
    if not moved.any():  # nothing moves: evenly in time
        moved = np.ones(len(moved))
    middle = np.cumsum(moved) - moved / 2
    share = np.minimum((middle / moved.sum() * count).astype(int), count - 1)
    order = np.asarray(sharpness)
    return [int(members[np.argmax(order[members])]) for members in _groups(share)]


def _groups(share: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    return (np.flatnonzero(share == k) for k in np.unique(share))


def _sharpness(grey: NDArray[np.float32]) -> float:
    """Variance of the Laplacian."""
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.var())


def _grey(frame: Any) -> NDArray[np.float32]:
    scale = min(1.0, LOOKED_AT / max(frame.width, frame.height))
    width, height = (max(4, round(side * scale)) for side in (frame.width, frame.height))
    return frame.reformat(width=width, height=height, format="gray").to_ndarray().astype(np.float32)


def _picture(frame: Any) -> Any:
    """The frame, turned as the video says: phones film lying down."""
    return frame.to_image().rotate(frame.rotation, expand=True) if frame.rotation else frame.to_image()


def _frames(video: Path) -> Iterator[tuple[int, Any]]:
    """Frames of the first picture stream, one at a time. Raises SceneError."""
    av = _av(video)
    try:
        with av.open(str(video)) as container:
            if not container.streams.video:
                raise SceneError(f"{video}: holds no pictures")
            container.streams.video[0].thread_type = "AUTO"
            yield from enumerate(container.decode(container.streams.video[0]))
    except (av.FFmpegError, OSError) as error:
        raise SceneError(f"{video}: cannot be read as a video ({error})") from error


def _av(video: Path) -> ModuleType:
    try:
        import av  # pyright: ignore[reportMissingImports] - an extra
    except ImportError as error:
        raise SceneError(
            f"{video}: reading a video needs PyAV: pip install 'unposed[video]'; or write its frames into a "
            f"folder with `ffmpeg -i {video.name} -vf fps=3 frames/%04d.jpg`, and add that"
        ) from error
    return av
