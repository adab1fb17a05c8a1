"""Rigid groups: views whose relative poses matched features make sure, as one body in the frame of the prior.

The partial models of structure from motion are groups. Where the matches of two views alone say how a smaller group, or
a single view, is turned to the largest, it is *joined* to it: it looks at the same point, from as far.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from bench.files import replacing
from bench.task import Camera, Capture, Job, Pose, PosePrior, ViewId
from methods.gnerf.config import GnerfConfig
from methods.nerf.field.bounds import meeting_point
from methods.sfm.config import SfmConfig

if TYPE_CHECKING:
    from methods.sfm.reconstruct import Turn

SMALLEST = 3
"""Views of a group: two always agree."""

ORIENTATIONS = 4096
"""Rotations that a group is tried at, before the best is refined."""

SLACK = 5.0
"""Degrees outside of the prior's ranges that count as one standard deviation."""

OPEN_ROLL = 90.0
"""Degrees of a prior's `roll_std` from which on it says nothing of how cameras are rolled."""

AGREED = 20.0
"""Degrees within which the matches of several pairs of views say the same of how two groups are turned."""

VOTES = 1000
"""Pairs of views that vote, those with the most matches: each is held against each."""


@dataclass(frozen=True, kw_only=True)
class RigidGroup:
    """K views and their poses in one frame, that of the prior as far as the prior can say."""

    views: tuple[ViewId, ...]
    poses: Pose  # (K, 4, 4)
    camera: Camera  # as given, or as the matches have it
    joined: bool = False  # to the largest group, whose frame it is in to within the errors of two views' matches
    relaxed: bool = False  # its model asks for few matches: it is about right, and no more
    sure: int | None = None  # so many, the first ones, are of a model; of the others two views' matches tell. None: all


Edge = tuple[NDArray[np.float64], int]
"""What the matches of one pair of views say of how a group is to be turned (3, 3), and how many they are."""


def rigid_groups(capture: Capture, config: GnerfConfig, job: Job) -> list[RigidGroup]:
    """Groups of views by structure from motion on matched features: the largest, of at least SMALLEST views, first;
    after it, what is joined to it, and after that the others."""
    if capture.prior is None or config.features == "none":
        return []
    from methods.sfm.reconstruct import partial_models

    asked = SfmConfig(features=config.features, intrinsics=config.intrinsics, masks=config.masks)
    kept, prior = job.workdir / "groups.json", capture.prior
    if (read := _read(kept)) is not None:  # a fit that is killed after this goes on from here
        return read
    folder = job.workdir / "sfm"
    found = partial_models(capture, asked, folder, job.seed, job.threads, job.progress, prepared=job.prepared)
    groups: list[RigidGroup] = []
    taken: set[ViewId] = set()
    for model, camera in sorted(found.models, key=lambda found: len(found[0]), reverse=True):
        views = tuple(view for view in capture.images if view in model and view not in taken)
        if len(views) < SMALLEST:
            continue
        taken |= set(views)
        poses = np.stack([model[view] for view in views])
        groups.append(RigidGroup(views=views, poses=poses, camera=camera, relaxed=found.relaxed))
    groups = joined(groups, found.turns, prior)
    _write(groups, kept)
    return groups


def joined(groups: Sequence[RigidGroup], turns: Sequence[Turn], prior: PosePrior) -> list[RigidGroup]:
    """Groups of any frames in that of the prior, and single views: behind the first what `turns` join to it; of the
    others, what they join is one group.

    All cameras are taken to look at one point, so that a turn alone says where a group is.
    """
    grouped = {view for group in groups for view in group.views}
    others = dict.fromkeys(view for turn in turns for view in (turn.first, turn.second) if view not in grouped)
    ahead = np.eye(4)[None].copy()
    ahead[0, 2, 3] = -1.0  # looks along z at the origin
    waiting = list(groups)
    if groups:
        waiting += [RigidGroup(views=(view,), poses=ahead, camera=groups[0].camera) for view in others]
    made: list[RigidGroup] = []
    while waiting:
        parts = _gathered(waiting, turns)
        own = np.concatenate([part.poses for part in parts])
        if made and len(own) == 1:
            continue
        sure = len(parts[0].views) if len(parts[0].views) > 1 else 0
        # single views look at the origin, from 1 away: where their axes meet, nearly parallel ones could not say
        poses = in_frame_of(prior, own) if sure else _placed(prior, own, (0.0, 0.0, 0.0), 1.0)
        if made:
            views = tuple(view for part in parts for view in part.views)
            made.append(replace(parts[0], views=views, poses=poses, sure=sure))
        else:
            ends = np.cumsum([len(part.views) for part in parts])[:-1]
            each = zip(parts, np.split(poses, ends), strict=True)
            made = [replace(part, poses=at, joined=part is not parts[0]) for part, at in each]
    return made


def _gathered(waiting: list[RigidGroup], turns: Sequence[Turn]) -> list[RigidGroup]:
    """The first of those that are `waiting`, and in its frame what is joined to it; they wait no more.

    Of what could be joined next, the surest is: that with the most matches to what is in the frame already.
    """
    first = waiting.pop(0)
    if not turns:
        return [first]
    of_view: dict[ViewId, list[int]] = {}
    for index, turn in enumerate(turns):
        for view in (turn.first, turn.second):
            of_view.setdefault(view, []).append(index)
    there = {
        view: (number, pose)
        for number, group in enumerate(waiting)
        for view, pose in zip(group.views, group.poses, strict=True)
    }
    edges: list[dict[int, Edge]] = [{} for _ in waiting]  # of each that waits, by the number of the turn
    matches = [0] * len(waiting)
    left, made = list(range(len(waiting))), [replace(first, poses=_turned(first.poses, np.eye(3)))]
    while True:
        for view, pose in zip(made[-1].views, made[-1].poses, strict=True):
            for index in of_view.get(view, ()):
                turn = turns[index]
                number, own = there.get(turn.second if view == turn.first else turn.first, (None, pose))
                if number is not None:
                    rotation = turn.rotation.T if view == turn.first else turn.rotation
                    # rotation is second_from_first, or its inverse: camera there to camera here, and on to the frame
                    edges[number][index] = (pose[:3, :3] @ rotation @ own[:3, :3].T, turn.matches)
                    matches[number] += turn.matches
        best = max(left, key=matches.__getitem__, default=None)
        if best is None or not edges[best]:
            break
        left.remove(best)
        group = waiting[best]
        for view in group.views:
            del there[view]
        made.append(replace(group, poses=_turned(group.poses, _agreed([edges[best][k] for k in sorted(edges[best])]))))
    waiting[:] = [waiting[number] for number in left]
    return made


def _agreed(edges: Sequence[Edge]) -> NDArray[np.float64]:
    """The rotation (3, 3) that most matches say: the mean of those near the median one, each weighing its matches."""
    edges = sorted(edges, key=lambda edge: -edge[1])[:VOTES] if len(edges) > VOTES else edges
    rotations = Rotation.from_matrix(np.stack([rotation for rotation, _ in edges]))
    weights = np.array([matches for _, matches in edges], dtype=np.float64)
    apart = np.degrees(np.stack([(each.inv() * rotations).magnitude() for each in rotations]))
    near = apart[np.argmin(apart @ weights)] < AGREED
    return rotations[near].mean(weights=weights[near]).as_matrix()


def _turned(poses: Pose, rotation: NDArray[np.float64]) -> Pose:
    """Poses (K, 4, 4) turned by `rotation` (3, 3) about the point that they look at, which comes to the origin, and
    their median distance to 1."""
    made = poses.copy()
    if len(poses) > 1:
        target, distance = meeting_point(poses[:, :3, 3], poses[:, :3, 2])
        made[:, :3, 3] = (poses[:, :3, 3] - target) / distance
    made[:, :3] = rotation @ made[:, :3]
    return made


def _write(groups: list[RigidGroup], path: Path) -> None:
    rows = [{**vars(group), "poses": group.poses.tolist(), "camera": asdict(group.camera)} for group in groups]
    with replacing(path) as draft:
        draft.write_text(json.dumps(rows) + "\n")


def _read(path: Path) -> list[RigidGroup] | None:
    """None where there are none, or none as this version writes them."""
    if not path.exists():
        return None
    names = {field.name for field in fields(RigidGroup)}
    try:
        rows: list[dict[str, Any]] = json.loads(path.read_text())
        if any(set(row) != names for row in rows):
            return None
        return [
            RigidGroup(
                **{
                    **row,
                    "views": tuple(row["views"]),
                    "poses": np.array(row["poses"]),
                    "camera": Camera(**row["camera"]),
                }
            )
            for row in rows
        ]
    except (TypeError, ValueError):
        return None


def in_frame_of(prior: PosePrior, poses: Pose) -> Pose:
    """Poses (K, 4, 4) of a frame of their own, moved as one body to where `prior` finds them likeliest.

    What they look at comes to the prior's look-at point, their median distance to the middle of its radii; of
    rotations, the one that breaks its ranges of azimuth and elevation and its roll least. What the prior leaves open,
    a turn about its axis for one, stays arbitrary.
    """
    target, distance = meeting_point(poses[:, :3, 3], poses[:, :3, 2])
    return _placed(prior, poses, target, distance)


def _placed(prior: PosePrior, poses: Pose, target: ArrayLike, distance: float) -> Pose:
    """What `in_frame_of` says, of poses that look at `target` (3,) from `distance`."""
    scale = sum(prior.radius) / 2 / distance
    centred = poses.copy()
    centred[:, :3, 3] = scale * (poses[:, :3, 3] - np.asarray(target))
    rng = np.random.default_rng(0)
    tried = Rotation.random(ORIENTATIONS, rng=rng).as_matrix()
    best = tried[np.argsort(_misfit(prior, centred, tried), kind="stable")[:8]]
    for spread in (16.0, 8.0, 4.0, 2.0, 1.0, 0.5):
        noise = Rotation.from_rotvec(np.radians(spread) * rng.standard_normal((64, 3))).as_matrix()
        tried = np.concatenate([best, (noise[:, None] @ best[None]).reshape(-1, 3, 3)])
        best = tried[np.argsort(_misfit(prior, centred, tried), kind="stable")[:8]]
    placed = centred.copy()
    placed[:, :3] = best[0] @ centred[:, :3]
    placed[:, :3, 3] += prior.look_at
    return placed


def _misfit(prior: PosePrior, poses: Pose, rotations: NDArray[np.float64]) -> NDArray[np.float64]:
    """How ill each of M rotations (M, 3, 3) of `poses` (K, 4, 4) about the look-at point agrees with the prior (M,)."""
    k = "xyz".index(prior.up)
    turned = rotations[:, None] @ poses[None, :, :3]  # (M, K, 3, 4)
    offset = turned[..., 3] / np.linalg.norm(turned[..., 3], axis=-1, keepdims=True)
    elevation = np.degrees(np.arcsin(offset[..., k].clip(-1, 1)))
    azimuth = np.degrees(np.arctan2(offset[..., (k + 2) % 3], offset[..., (k + 1) % 3]))
    roll = np.degrees(np.arctan2(turned[..., k, 0], -turned[..., k, 1]))
    terms = [_beyond(elevation, prior.elevation, None) / SLACK, _beyond(azimuth, prior.azimuth, 360.0) / SLACK]
    if prior.roll_std < OPEN_ROLL:
        terms.append(roll / max(prior.roll_std, SLACK))
    off = [np.minimum(term**2, 9.0) for term in terms]
    # what the ranges leave open: as far from their ends as can be, so that the other views find room beside
    inside = [_away(elevation, prior.elevation, None) / 90, _away(azimuth, prior.azimuth, 360.0) / 90]
    if prior.azimuth[1] - prior.azimuth[0] >= 360:
        inside.pop()
    return np.sum([*off, *(1e-3 * value**2 for value in inside)], axis=0).mean(axis=1)


def _beyond(values: NDArray[np.float64], ends: tuple[float, float], period: float | None) -> NDArray[np.float64]:
    """How far values lie outside of a range, on a circle where there is a `period`."""
    return np.maximum(np.abs(_away(values, ends, period)) - (ends[1] - ends[0]) / 2, 0.0)


def _away(values: NDArray[np.float64], ends: tuple[float, float], period: float | None) -> NDArray[np.float64]:
    """How far values lie from the middle of a range."""
    away = values - sum(ends) / 2
    return away if period is None else (away + period / 2) % period - period / 2
