"""Do the given poses fit the images? Matches between views against the epipolar lines that the poses put them on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.geometry import OPENGL_AXES, inverse
from bench.scene import Scene
from bench.task import Camera, Image, Pose
from datasets.matches import match

STRETCHES, LONG = 4, 4
"""Of the views, as they were taken: evenly spread, from the first to the last, and so many neighbours long."""

PAIRS = 20  # of neighbours, those with the most matches, which are judged by

ENOUGH = 100  # matches, to say anything
FITS = 1.5  # px, median: poses that are right are within half a pixel as a rule
SUSPECT = 0.6  # px, median: beyond, likely mistakes are tried
CLEARLY = 3.0  # times nearer another reading must be, to be named
ZOOMS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.25, 1.4, 1.7, 2.0)  # of the focal length


READINGS: Mapping[str, Callable[[Pose], Pose]] = {
    "poses look inverted: they fit as camera_from_world": inverse,
    "poses look like another convention of axes (OpenCV's where OpenGL's are meant, or mirrored)": (
        lambda poses: poses @ OPENGL_AXES
    ),
    "poses look inverted, and in another convention of axes": lambda poses: inverse(poses) @ OPENGL_AXES,
}


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """What matches say of poses. Errors are median distances to epipolar lines, in px of the images looked at."""

    views: tuple[int, int]  # looked at, and of how many
    matches: int
    error: float
    control: float  # of wrong poses: those of other views
    verdict: str | None  # a mistake by its name; None where the poses fit, or nothing can be said
    points: NDArray[np.float64] | None = None  # (P, 3) where matches meet by the given poses, in the truth's frame
    colours: NDArray[np.uint8] | None = None  # (P, 3) of these, sRGB

    @property
    def sentence(self) -> str:
        """For a person, with the control beside."""
        looked_at = f"{self.views[0]} of {self.views[1]} views"
        if self.matches < ENOUGH:
            return f"{self.matches} matches between {looked_at} are too few to say whether the poses fit"
        said = self.verdict or ("poses fit" if self.error < FITS else "matches say nothing of the poses")
        measured = f"median {self.error:.2g} px from the epipolar lines of {self.matches} matches between {looked_at}"
        return f"{said}: {measured} [{self.control:.2g} px with the poses of other views]"


def examine(scene: Scene) -> Geometry:
    """Match some of the training views, and hold them against their true poses and against likely mistakes."""
    posed = [view for view in scene.truth.order if view in scene.truth.poses]
    chosen, pairs = spread(len(posed))
    views = [posed[k] for k in chosen]
    poses = np.stack([scene.truth.poses[view] for view in views])
    found = sorted(
        zip(pairs, match([scene.capture.images[view] for view in views], pairs), strict=True),
        key=lambda item: -len(item[1]),
    )[:PAIRS]
    count, looked_at = sum(len(points) for _, points in found), (len(views), len(posed))
    if count < ENOUGH:
        return Geometry(views=looked_at, matches=count, error=float("nan"), control=float("nan"), verdict=None)
    camera = scene.truth.camera
    given = error_px(poses, camera, found)
    control = error_px(poses[_strangers(len(poses))], camera, found)
    points, colours = triangulated(poses, camera, found, [scene.capture.images[view] for view in views])
    return Geometry(
        views=looked_at,
        matches=count,
        error=given,
        control=control,
        verdict=_verdict(poses, camera, found, given, scene.truth.reference == "exact"),
        points=points,
        colours=colours,
    )


def spread(count: int) -> tuple[list[int], list[tuple[int, int]]]:
    """Which of so many views are looked at, and the pairs of them that are neighbours, by their places among these."""
    starts = {round(k * max(0, count - LONG) / (STRETCHES - 1)) for k in range(STRETCHES)}
    stretches = [range(start, min(start + LONG, count)) for start in sorted(starts)]
    chosen = sorted({k for stretch in stretches for k in stretch})
    place = {k: at for at, k in enumerate(chosen)}
    pairs = {(place[a], place[b]) for stretch in stretches for a, b in combinations(stretch, 2)}
    return chosen, sorted(pairs)


Found = Sequence[tuple[tuple[int, int], NDArray[np.float64]]]


def triangulated(
    poses: Pose, camera: Camera, found: Found, images: Sequence[Image]
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Midpoints (P, 3) of the shortest line between the rays of matches, where these meet in front of both cameras and
    at an angle of a degree or more, and the colours (P, 3) there."""
    from_pixel = np.linalg.inv(camera.matrix)
    points, colours = [np.empty((0, 3))], [np.empty((0, 3), np.uint8)]
    for (a, b), matched in found:
        one = np.ones((len(matched), 1))
        rays = []
        for k, pixels in ((a, matched[:, :2]), (b, matched[:, 2:])):
            along = np.hstack([pixels, one]) @ from_pixel.T @ poses[k, :3, :3].T
            rays.append(along / np.linalg.norm(along, axis=1, keepdims=True))
        apart = poses[b, :3, 3] - poses[a, :3, 3]
        cosine = np.sum(rays[0] * rays[1], axis=1)
        sine2 = np.maximum(1 - cosine**2, 1e-12)
        s = (rays[0] @ apart - cosine * (rays[1] @ apart)) / sine2
        t = (cosine * (rays[0] @ apart) - rays[1] @ apart) / sine2
        kept = (s > 0) & (t > 0) & (sine2 > np.sin(np.radians(1)) ** 2)
        ends = (poses[a, :3, 3] + s[:, None] * rays[0], poses[b, :3, 3] + t[:, None] * rays[1])
        points.append(((ends[0] + ends[1]) / 2)[kept])
        u, v = np.floor(matched[kept, :2].T).astype(int)
        height, width = images[a].shape[:2]
        shade = images[a][np.clip(v, 0, height - 1), np.clip(u, 0, width - 1)]
        colours.append(np.broadcast_to(shade, (len(shade), 3)))
    return np.concatenate(points), np.concatenate(colours)


def _strangers(count: int) -> NDArray[np.intp]:
    """A view for each, in no order: neighbours on a ring that all move on by one place would fit as before."""
    order = np.random.default_rng(0).permutation(count)
    return order if count < 2 or (order != np.arange(count)).any() else np.roll(order, 1)


def _verdict(poses: Pose, camera: Camera, found: Found, given: float, exact: bool) -> str | None:
    if given < SUSPECT:
        return None
    readings = {name: error_px(change(poses), camera, found) for name, change in READINGS.items()}
    best = min(readings, key=lambda name: readings[name])
    if readings[best] < FITS and readings[best] * CLEARLY < given:
        return f"{best} ({readings[best]:.2g} px)"
    zooms = {zoom: error_px(poses, replace(camera, fx=camera.fx * zoom, fy=camera.fy * zoom), found) for zoom in ZOOMS}
    zoom = min(zooms, key=lambda each: zooms[each])
    if zooms[zoom] * CLEARLY < given:
        return f"intrinsics look wrong: {zoom:g} times the focal length fits better ({zooms[zoom]:.2g} px)"
    return None if exact or given < FITS else "poses do not fit the images, or their texture repeats"


def error_px(poses: Pose, camera: Camera, found: Found) -> float:
    """Median over all matches of the larger distance, in either image, to the epipolar line of the other's point."""
    baseline = np.linalg.norm(poses[:, None, :3, 3] - poses[None, :, :3, 3], axis=-1)
    if baseline.max() <= 1e-6 * max(1.0, float(np.abs(poses[:, :3, 3]).max())):
        return float("inf")  # cameras in one point put every match on its line: that is no fit
    K = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    from_pixel = np.linalg.inv(K)
    errors = []
    for (a, b), points in found:
        relative = inverse(poses[b]) @ poses[a]  # camera b from camera a
        x, y, z = relative[:3, 3]
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        F = from_pixel.T @ cross @ relative[:3, :3] @ from_pixel
        one = np.ones((len(points), 1))
        at_a, at_b = np.hstack([points[:, :2], one]), np.hstack([points[:, 2:], one])
        line_b, line_a = at_a @ F.T, at_b @ F
        residual = np.abs(np.sum(at_b * line_b, axis=1))
        normal = np.minimum(np.linalg.norm(line_a[:, :2], axis=1), np.linalg.norm(line_b[:, :2], axis=1))
        errors.append(residual / np.maximum(normal, 1e-12))
    return float(np.median(np.concatenate(errors)))
