"""A walk round a fitted scene: cameras along a path in the method's own frame, rendered by a worker, as a film.

Nothing here knows the truth: the path goes where the method's own estimates of the training cameras were.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.files import read_arrays, write_arrays
from bench.geometry import nearest_to_axes
from bench.matrix.method_ref import MethodRef
from bench.poses_io.saved_fit import read_fit, refuse_changed
from bench.record import read_json
from bench.runner import scratch, worker_io
from bench.runner.executors.base import Executor, Request, WorkerEnd
from bench.runner.method_probe import code_of
from bench.task import Camera, Pose, look_at

Kind = Literal["orbit", "spiral"]
Array = NDArray[np.float64]

LIMIT = 3600.0
"""Wall seconds after which a film is given up."""

SURROUNDED = np.radians(200.0)
"""Azimuth covered from which on a capture is walked round; one that covers less is swung in."""


@dataclass(frozen=True, kw_only=True)
class Viewpoints:
    """Training cameras as seen from what they look at, in cylindrical terms about `up`."""

    target: Array  # (3,) the point nearest to all viewing axes
    axes: Array  # (3, 3) rows: two horizontal directions and up
    azimuth: tuple[float, float]  # range that the cameras cover, radians; a whole turn where they surround the target
    elevation: Array  # (M,) radians
    distance: float  # median
    inward: bool  # whether the cameras look at the target, or away from it

    @property
    def surrounds(self) -> bool:
        return self.azimuth[1] - self.azimuth[0] >= 2 * np.pi - 1e-9


def viewpoints(poses: Pose) -> Viewpoints:
    """Of estimated cameras (M, 4, 4). Raises ValueError for fewer than three, or for cameras in one place."""
    if len(poses) < 3:
        raise ValueError(f"render: a path needs three registered views, this fit has {len(poses)}")
    centres, forward = poses[:, :3, 3], poses[:, :3, 2]
    spread = float(np.sqrt(((centres - centres.mean(axis=0)) ** 2).sum(axis=1).mean()))
    if not np.isfinite(poses).all() or spread <= 1e-9 * max(1.0, float(np.abs(centres).max())):
        raise ValueError("render: the estimated cameras coincide, so there is no path between them")
    up = _up(poses)
    ahead = centres.mean(axis=0) + 4 * spread * forward.mean(axis=0)
    target, _ = nearest_to_axes(centres, forward, towards=ahead, pull=1e-3)  # parallel axes meet a few spreads ahead
    east = np.cross(np.eye(3)[np.argmin(np.abs(up))], up)
    axes = np.stack([east / np.linalg.norm(east), np.cross(up, east / np.linalg.norm(east)), up])
    x, y, z = ((centres - target) @ axes.T).T
    level = np.hypot(x, y)
    return Viewpoints(
        target=target, axes=axes, azimuth=_covered(np.arctan2(y, x)), elevation=np.arctan2(z, level),
        distance=float(np.median(np.hypot(level, z))),
        inward=bool(np.median(((target - centres) * forward).sum(axis=1)) > 0),
    )  # fmt: skip


def _up(poses: Pose) -> Array:
    """The direction (3,) that no camera's x axis leans to, and that the images' tops point to where that is not one."""
    right, top = poses[:, :3, 0], -poses[:, :3, 1].mean(axis=0)
    _, directions = np.linalg.eigh(right.T @ right / len(poses) - 1e-3 * np.outer(top, top))
    return directions[:, 0] * (1 if directions[:, 0] @ top >= 0 else -1)


def _covered(azimuth: Array) -> tuple[float, float]:
    """The range outside the widest gap; a whole turn where that gap is small."""
    ordered = np.sort(azimuth)
    gaps = np.diff(np.append(ordered, ordered[0] + 2 * np.pi))
    widest = int(np.argmax(gaps))
    if 2 * np.pi - gaps[widest] >= SURROUNDED:
        return 0.0, 2 * np.pi
    start = ordered[(widest + 1) % len(ordered)]
    return float(start), float(start + 2 * np.pi - gaps[widest])


def path(poses: Pose, kind: Kind, frames: int) -> Pose:
    """Cameras (frames, 4, 4) that end where they began, among the estimated ones (M, 4, 4). Raises ValueError.

    `orbit` keeps the median elevation; `spiral` goes round twice while it rises from the low to the high cameras and
    sinks back. Where the cameras do not surround what they look at, both swing to and fro within what was seen.
    """
    seen = viewpoints(poses)
    t = np.arange(frames) / frames
    low, middle, high = np.quantile(seen.elevation, [0.1, 0.5, 0.9])
    turns = 1 if kind == "orbit" else 2
    if seen.surrounds:
        azimuth = 2 * np.pi * turns * t
    else:
        centre, half = np.mean(seen.azimuth), (seen.azimuth[1] - seen.azimuth[0]) / 2
        azimuth = centre + half * np.sin(2 * np.pi * turns * t)
    rise = (1 - np.cos(2 * np.pi * t)) / 2
    elevation = np.full(frames, middle) if kind == "orbit" else low + (high - low) * rise
    offset = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=1
    )
    centres = seen.target + seen.distance * offset @ seen.axes
    return look_at(centres, seen.target if seen.inward else 2 * centres - seen.target, seen.axes[2])


@dataclass(frozen=True, kw_only=True)
class Frames:
    """A rendered path: colours (N, H, W, C) uint8, depth (N, H, W), opacity (N, H, W), float32."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    opacity: NDArray[np.float32]


def render(
    cell: Path, kind: Kind, *, frames: int, side: int, device: str, executor: Executor, progress: Callable[[int], None]
) -> Frames:
    """Have a worker render a path round the fit in a cell's folder; `progress` hears how many frames are there.

    Raises ValueError where there is no field, or where it cannot be rendered.
    """
    fit = read_fit(cell / "fit")
    poses = path(worker_io.stacked(fit.poses, list(fit.poses)), kind, frames)
    return seen_from(cell, poses, side=side, device=device, executor=executor, progress=progress)[0]


def seen_from(
    cell: Path, poses: Pose, *, side: int | None, device: str, executor: Executor, progress: Callable[[int], None]
) -> tuple[Frames, Camera]:
    """Have a worker render the fit in a cell's folder from `poses` (N, 4, 4) of its own frame, by the camera that is
    returned: the fit's, its longest side `side` px (None: as the images that it was shown). Raises ValueError."""
    refuse_changed(cell / "fit", "field/")
    camera = read_fit(cell / "fit").camera or _shown_camera(cell / "fit")
    scale = 1.0 if side is None else side / max(camera.width, camera.height)
    camera = camera.resized(round(camera.width * scale), round(camera.height * scale))
    request = read_json(cell / "fit" / "request.json")
    method = MethodRef(**request["method"])
    with scratch.lent(cell) as folder:
        write_arrays(folder / "in" / "views.npz", {"poses": poses})
        worker_io.write_request(folder, {
            "method": request["method"], "config": request["config"], "device": device,
            "camera": asdict(camera),
        })  # fmt: skip
        end = _watched(executor, Request(
            verb="path", folder=folder, code=code_of(method), limit=LIMIT, inputs={"field": cell / "fit" / "field"},
        ), progress)  # fmt: skip
        answer = worker_io.read_outcome(folder) or {}
        if answer.get("status") != "done":
            raise ValueError(f"render: {answer.get('reason') or end.reason}")
        frames_folder = worker_io.own(folder / "out" / "frames")
        held = [read_arrays(file) for file in sorted(frames_folder.glob("[0-9]*.npz"))]
    seen = Frames(**{name: np.stack([each[name] for each in held]) for name in ("rgb", "depth", "opacity")})
    return seen, camera


def _shown_camera(fit: Path) -> Camera:
    given = read_json(fit / "capture.json")["camera"]
    if given is None:
        raise ValueError("render: this fit neither was given intrinsics nor estimated any")
    return Camera(**given)


def _watched(executor: Executor, request: Request, progress: Callable[[int], None]) -> WorkerEnd:
    """Run the worker while counting its frames."""
    found: list[WorkerEnd | BaseException] = []

    def work() -> None:
        try:
            found.append(executor.run(request))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(timeout=0.1)
            progress(len(list((request.folder / "out" / "frames").glob("[0-9]*.npz"))))
    except BaseException:
        executor.stop()
        thread.join()
        raise
    (ended,) = found
    if isinstance(ended, BaseException):
        raise ended
    return ended


def pictures(frames: Frames) -> Iterator[NDArray[np.uint8]]:
    """Each frame (H, 2 W, 3): colours beside depth, near is bright; one range for the whole film."""
    import matplotlib as mpl

    solid = frames.opacity > 0.5
    values = frames.depth[solid & np.isfinite(frames.depth)]
    low, high = np.percentile(values, [1, 99]) if len(values) else (0.0, 1.0)
    for rgb, depth, opacity in zip(frames.rgb, frames.depth, frames.opacity, strict=True):
        nearness = np.clip(1 - (np.nan_to_num(depth) - low) / max(float(high - low), 1e-9), 0, 1)
        shaded = mpl.colormaps["magma"](nearness * (opacity > 0.5), bytes=True)[..., :3]
        yield np.concatenate([np.broadcast_to(rgb, (*rgb.shape[:2], 3)), shaded], axis=1)


def check_film(file: Path) -> None:
    """Raises ValueError where `write_film` could not write this file: asked before minutes of rendering."""
    match file.suffix.lower():
        case ".gif":
            pass
        case ".mp4":
            if shutil.which("ffmpeg") is None:
                raise ValueError("render: an .mp4 needs ffmpeg on the PATH; name a .gif")
        case other:
            raise ValueError(f"render: cannot write {other!r} files; name a .gif or an .mp4")


def write_film(frames: Frames, file: Path, fps: int) -> None:
    """GIF by Pillow, or MP4 by ffmpeg, by the file's ending. Raises ValueError for another, or without ffmpeg."""
    check_film(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.stem}.tmp{file.suffix}")
    match file.suffix.lower():
        case ".gif":
            from PIL import Image

            first, *rest = [Image.fromarray(picture).quantize(128) for picture in pictures(frames)]
            first.save(draft, save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
        case _:
            _mp4(frames, draft, fps)
    draft.replace(file)


def default_suffix() -> str:
    return ".mp4" if shutil.which("ffmpeg") else ".gif"


def _mp4(frames: Frames, file: Path, fps: int) -> None:
    tool = shutil.which("ffmpeg") or "ffmpeg"
    held = [picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2] for picture in pictures(frames)]
    height, width = held[0].shape[:2]  # H.264 wants even sides
    command = [tool, "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
               "-r", str(fps), "-i", "-", "-pix_fmt", "yuv420p", str(file)]  # fmt: skip
    done = subprocess.run(command, input=b"".join(p.tobytes() for p in held), capture_output=True, check=False)
    if done.returncode:
        raise ValueError(f"render: ffmpeg: {' '.join(done.stderr.decode(errors='replace').split())[:200]}")
