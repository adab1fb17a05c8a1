"""A scene held against itself before anybody spends hours on it: what `unposed data verify` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.scene import HeldOut, Scene, SceneError, SceneSource
from bench.stated_prior import StatedPrior
from bench.task import Image, Pose, PosePrior, ViewId
from datasets import epipolar
from datasets.epipolar import Geometry

SIDE = 400
FEW = 4
"""Fewer training views than this cannot be aligned with a truth (the protocol, 1)."""


class Examined(NamedTuple):
    """A scene held against itself, in sentences."""

    faults: list[str]  # what is wrong with it; none: a good scene
    remarks: list[str]  # what was assumed, and what its geometry measures
    scene: Scene | None = None  # as it was read, where its poses are poses
    geometry: Geometry | None = None  # what matches say of its poses


def verify(source: SceneSource) -> Examined:
    """Decode everything, check every pose, and hold the poses against what can be matched between the images."""
    if source.missing:
        return Examined([f"is not here: {source.missing}"], [])
    try:
        scene = source.load(SIDE)
    except SceneError as error:
        return Examined([str(error)], [])
    faults = findings(scene)
    if not faults and not scene.truth.poses:
        unknown = "no poses: nobody knows the cameras, and none is held against the images"
        return Examined([], [*scene.notes, unknown], scene)
    if faults:
        return Examined(faults, list(scene.notes), None if _bad_poses(scene.truth.poses) else scene)
    geometry = epipolar.examine(scene)
    said = [geometry.sentence]
    if geometry.verdict:
        return Examined(said, list(scene.notes), scene, geometry)
    return Examined([], [*scene.notes, *said], scene, geometry)


def findings(scene: Scene) -> list[str]:
    """What is odd about a scene that could be read."""
    truth, capture = scene.truth, scene.capture
    heldout = dict(zip(truth.heldout.ids, truth.heldout.poses, strict=False))
    poses = {**truth.poses, **heldout}
    found = [*_counts(scene), *_bad_poses(poses)]
    if not found and poses:
        found += _coincident(poses)
        if capture.prior is not None and not isinstance(capture.prior, StatedPrior):  # which has a frame of its own
            found += _against_prior(poses, capture.prior)
    found += _pictures(capture.images) + _pictures(dict(zip(truth.heldout.ids, truth.heldout.images, strict=False)))
    if capture.masks is not None:
        found += [f"view {view}: its mask is empty" for view, mask in capture.masks.items() if not mask.any()]
    return found


def _counts(scene: Scene) -> list[str]:
    shown, true, heldout = set(scene.capture.images), set(scene.truth.poses), scene.truth.heldout
    found = []
    if (true and shown != true) or shown != set(scene.truth.order):
        found.append(f"{len(shown)} images, {len(true)} true poses and {len(scene.truth.order)} places do not agree")
    if len(shown) < FEW:
        found.append(f"only {len(shown)} training views; fewer than {FEW} cannot be aligned")
    if not len(heldout.ids) == len(heldout.images) > 0 or len(heldout.poses) != bool(true) * len(heldout.ids):
        found.append(_heldout_sentence(heldout))
    elif heldout.images.shape[1:] != scene.capture.shape:
        found.append(f"held-out images are {heldout.images.shape[1:]}, training images {scene.capture.shape}")
    return found


def _heldout_sentence(heldout: HeldOut) -> str:
    return f"{len(heldout.ids)} held-out views with {len(heldout.poses)} poses and {len(heldout.images)} images"


def _bad_poses(poses: Mapping[ViewId, Pose]) -> list[str]:
    found = []
    for view, pose in poses.items():
        rotation = pose[:3, :3]
        if not np.isfinite(pose).all():
            found.append(f"view {view}: its pose is not finite")
        elif np.abs(rotation.T @ rotation - np.eye(3)).max() > 1e-6 or np.linalg.det(rotation) < 0:
            found.append(f"view {view}: its pose is not a rotation")
    return found


def _coincident(poses: Mapping[ViewId, Pose]) -> list[str]:
    """Two views from one camera are a copied frame, or a held-out view that was shown."""
    views, stacked = list(poses), np.stack(list(poses.values()))
    centres = stacked[:, :3, 3]
    spread = float(np.linalg.norm(centres - centres.mean(axis=0), axis=1).max())
    if spread == 0:
        return ["all cameras stand in one point"]
    distance = np.abs(stacked[:, None, :3] - stacked[None, :, :3]).max(axis=(2, 3))
    pairs = np.argwhere(np.triu(distance < 1e-6 * max(spread, 1.0), k=1))
    return [f"views {views[a]} and {views[b]} have the same pose" for a, b in pairs]


def _against_prior(poses: Mapping[ViewId, Pose], prior: PosePrior) -> list[str]:
    """Cameras that the prior does not allow, with 2 degrees and 2 % to spare."""
    stacked = np.stack(list(poses.values()))
    offset = stacked[:, :3, 3] - prior.look_at
    radius = np.linalg.norm(offset, axis=1)
    k = "xyz".index(prior.up)
    elevation = np.degrees(np.arcsin(np.clip(offset[:, k] / radius, -1, 1)))
    azimuth = np.degrees(np.arctan2(offset[:, (k + 2) % 3], offset[:, (k + 1) % 3]))
    low, high = prior.azimuth
    turn = (azimuth - low + 2) % 360 + low - 2  # the representative that the range can contain
    aim = np.degrees(np.arccos(np.clip(-np.einsum("ni,ni->n", stacked[:, :3, 2], offset) / radius, -1, 1)))
    slack = 3 * prior.look_at_std
    aim_limit = 2 + np.degrees(np.arctan2(2 * slack, prior.radius[0]))
    return [
        sentence
        for sentence in (
            _outside("radius", radius, 0.98 * prior.radius[0] - slack, 1.02 * prior.radius[1] + slack),
            _outside("elevation", elevation, prior.elevation[0] - 2, prior.elevation[1] + 2),
            _outside("azimuth", turn, low - 2, high + 2),
            _outside("angle between view and centre", aim, 0.0, float(aim_limit)),
        )
        if sentence
    ]


def _outside(what: str, values: NDArray[np.float64], low: float, high: float) -> str | None:
    count = int(((values < low) | (values > high)).sum())
    if not count:
        return None
    return (
        f"{count} of {len(values)} cameras have a {what} that the prior does not allow "
        f"(found {values.min():.4g} to {values.max():.4g}, allowed {low:.4g} to {high:.4g})"
    )


def _pictures(images: Mapping[ViewId, Image]) -> list[str]:
    """Views of one colour, and views that are copies of each other."""
    found = [f"view {view}: its image is of one colour" for view, image in images.items() if np.ptp(image) == 0]
    seen: dict[bytes, ViewId] = {}
    for view, image in images.items():
        first = seen.setdefault(image.tobytes(), view)
        if first != view:
            found.append(f"views {first} and {view} have the same image")
    return found
