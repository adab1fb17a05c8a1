"""What a method was given beside its images, in full: what a reader must know before two numbers are compared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bench.judge.metrics import rotation_errors, translation_errors
from bench.scene import Truth
from bench.task import Camera, Capture, Pose, PosePrior, ViewId

NOT_GIVEN = "not given"


def inputs_in_full(capture: Capture, truth: Truth) -> dict[str, str]:
    """The capture as its method was shown it, held against the truth: a sentence for each kind of input.

    `images`, `intrinsics`, `prior`, `masks`, `start` are always there, `estimate` where poses were submitted.
    """
    height, width, channels = capture.shape
    kind = "silhouettes" if channels == 1 else "images"
    texts = {
        "images": f"{len(capture.images)} {kind} of {width}x{height} px",
        "intrinsics": _intrinsics(capture.camera, truth.camera if truth.poses else None),
        "prior": prior_in_words(capture.prior) if capture.prior else NOT_GIVEN,
        "masks": "of the object in every view" if capture.masks is not None else NOT_GIVEN,
        "start": _start(capture.start, truth.poses) if capture.start is not None else NOT_GIVEN,
    }
    if capture.estimate is not None:
        views = f"poses of {len(capture.estimate.poses)} of {len(capture.images)} views, made elsewhere"
        texts["estimate"] = views + (", and intrinsics of their own" if capture.estimate.camera else "")
    return texts


def prior_in_words(prior: PosePrior) -> str:
    """The family, what of it is known outright, what lies in a range, and the degrees of freedom that a view has left.

    Lengths are in scene units. Of the six degrees of freedom of a pose, those count that the prior does not pin.
    """
    look_at = ", ".join(f"{value:g}" for value in prior.look_at)
    parts = [
        f"azimuth {_range(prior.azimuth)} deg",
        f"elevation {_range(prior.elevation)} deg, even by {prior.elevation_by}",
        f"radius {_range(prior.radius)}" + (" (known)" if prior.radius[0] == prior.radius[1] else ""),
        f"looking at ({look_at})" + (f" within a std of {prior.look_at_std:g}" if prior.look_at_std else ""),
        f"roll within a std of {prior.roll_std:g} deg" if prior.roll_std else f"no roll about {prior.up} up",
        f"depths {prior.near:g} to {prior.far:g}",
    ]
    ranges = (prior.azimuth, prior.elevation, prior.radius)
    free = sum(low < high for low, high in ranges) + 2 * bool(prior.look_at_std) + bool(prior.roll_std)
    return f"{prior.family}: {'; '.join(parts)}; {free} of 6 degrees of freedom left"


def _range(span: tuple[float, float]) -> str:
    low, high = span
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _intrinsics(camera: Camera | None, truth: Camera | None) -> str:
    if camera is None:
        return NOT_GIVEN
    focal = (camera.fx + camera.fy) / 2
    if truth is None:
        return f"focal length {focal:.1f} px, as the scene's files say"
    error = focal / ((truth.fx + truth.fy) / 2) * truth.width / camera.width - 1
    return f"focal length {focal:.1f} px, " + ("true" if abs(error) < 1e-6 else f"{error:+.1%} off")


def _start(start: Mapping[ViewId, Pose], truth: Mapping[ViewId, Pose]) -> str:
    """How far off the start poses are, in the truth's own frame: that is where they are given."""
    E, T = (np.stack([poses[view] for view in start]) for poses in (start, truth))
    rotation, distance = rotation_errors(E, T), translation_errors(E, T)
    off = (rotation > 1e-6) | (distance > 1e-9 * np.abs(T[:, :3, 3]).max())
    if not off.any():
        return f"true poses of all {len(E)} views"
    centres = T[:, :3, 3]
    size = np.sqrt(((centres - centres.mean(axis=0)) ** 2).sum(axis=1).mean())
    return (
        f"true poses of {(~off).sum()} of {len(E)} views; the others {np.median(rotation[off]):.1f} deg "
        f"(at most {rotation[off].max():.1f}) and {np.median(distance[off]) / size:.3f} rig radii off in the median"
    )
