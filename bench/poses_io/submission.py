"""An estimate made elsewhere: held against what it answers, kept in its cell's folder, known by its digest.

`SUBMISSION/{estimate.json, renders.npz}` below a cell's folder is all that the cell needs to be settled again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from bench import poses_io
from bench.files import read_arrays, remove, replacing, write_arrays
from bench.record import read_json, write_json
from bench.scene import Truth
from bench.submission import Submission, plain
from bench.task import Camera, Capture, Estimate, Image, ViewId

SUBMISSION = "submission"
UNKNOWN_COST = "the poses were submitted: what it took to find them is not known"
ASPECT = 0.01
"""Relative difference of width over height that rounding to whole pixels explains."""


GIVEN = 1e-5
"""Relative difference of intrinsics below which they are those that were handed out, written and read again."""


def bring(path: Path, renders: Path | None, capture: Capture, truth: Truth) -> Submission:
    """Read an answer to `capture`, and renders of the held-out views of `truth`.

    Its camera is scaled to the images as they are shown, and left out where it is the one that was handed out.
    Raises ValueError, one sentence, for what does not fit.
    """
    from bench.poses_io.convention_check import mistaken

    form = poses_io.recognise(path)
    reading = form.read(path)
    estimate = reading.estimate
    if strangers := sorted(set(estimate.poses) - set(capture.images)):
        raise ValueError(
            f"{path}: has poses of {', '.join(strangers[:3])}, which were not shown; "
            f"the {len(capture.images)} views are {min(capture.images)} to {max(capture.images)}"
        )
    if estimate.camera is not None:
        camera = _at_size(estimate.camera, capture, path)
        own = capture.camera is None or not np.allclose(camera.matrix, capture.camera.matrix, rtol=GIVEN, atol=0)
        estimate = replace(estimate, camera=camera if own else None)
    mistake = mistaken(estimate.poses, truth.poses) if truth.poses else None
    return Submission(
        estimate=estimate,
        source=f"{path.resolve().name} ({form.name})",
        notes={**reading.notes, **({"mistaken": mistake} if mistake else {})},
        renders=read_renders(renders, truth) if renders else None,
    )


def _at_size(camera: Camera, capture: Capture, path: Path) -> Camera:
    height, width = capture.shape[:2]
    if abs(camera.width / camera.height * height / width - 1) > ASPECT:
        raise ValueError(
            f"{path}: its camera is {camera.width}x{camera.height} px but the images are {width}x{height} px, "
            "another shape; give intrinsics of the images that were handed out"
        )
    return camera.resized(width, height)


def read_renders(folder: Path, truth: Truth) -> dict[ViewId, Image]:
    """`h000.png`, ... of all held-out views, as they are judged. Raises ValueError."""
    if not folder.is_dir():
        raise ValueError(f"renders: {folder} is not a folder")
    paths = {view: folder / f"{view}.png" for view in truth.heldout.ids}
    if missing := [path.name for path in paths.values() if not path.is_file()]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ValueError(f"renders: {folder} lacks {', '.join(missing[:3])}{more} of the {len(paths)} held-out views")
    return {view: _read_render(path, truth.heldout.images.shape[1:]) for view, path in paths.items()}


def _read_render(path: Path, shape: tuple[int, ...]) -> Image:
    height, width, channels = shape
    try:
        with Picture.open(path) as picture:
            if picture.size != (width, height):
                size = f"{picture.width}x{picture.height}"
                raise ValueError(f"renders: {path} is {size} px, the held-out images are {width}x{height} px")
            if picture.mode not in ("RGB", "L"):
                raise ValueError(
                    f"renders: {path} has mode {picture.mode}; write 8-bit RGB on the capture's background"
                )
            pixels = np.asarray(picture.convert("RGB" if channels == 3 else "L"))
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG chunk
        raise ValueError(f"renders: {path} cannot be read as an image ({error})") from error
    return pixels.reshape(shape)


def keep(folder: Path, submission: Submission) -> None:
    """Write it below a cell's folder, in the place of an earlier one."""
    place = folder / SUBMISSION
    description = {**plain(submission.estimate), "source": submission.source, "notes": dict(submission.notes)}
    with replacing(place) as draft:
        draft.mkdir(parents=True)
        if submission.renders is not None:
            renders = {str(view): image for view, image in submission.renders.items()}
            write_arrays(draft / "renders.npz", renders)
        write_json(draft / "estimate.json", description)
        remove(place)


def same(a: Submission | None, b: Submission | None) -> bool:
    """Whether two submissions say the same."""
    return a is b or (a is not None and b is not None and _identity(a) == _identity(b))


def _identity(submission: Submission) -> tuple[object, ...]:
    return submission.digest, submission.renders_digest, submission.source, dict(submission.notes)


def kept(folder: Path) -> Submission | None:
    """What was submitted for the cell in `folder`, or None."""
    place = folder / SUBMISSION
    if not (place / "estimate.json").exists():
        return None
    raw = read_json(place / "estimate.json")
    renders = place / "renders.npz"
    return Submission(
        estimate=Estimate(
            poses={ViewId(view): np.array(pose, dtype=np.float64) for view, pose in raw["poses"].items()},
            camera=Camera(**raw["camera"]) if raw["camera"] else None,
        ),
        source=raw["source"],
        notes=raw["notes"],
        renders={ViewId(v): image for v, image in read_arrays(renders).items()} if renders.exists() else None,
    )
