"""Where the cameras of the embedded scenes stand: the rig of NeRF-Synthetic, with a prior that is true of it."""

from __future__ import annotations

import math

import numpy as np

from bench.task import Camera, Pose, PosePrior, look_at

TRAIN, HELDOUT = 100, 25
FIELD_OF_VIEW = 0.6911112  # horizontal, radians: that of NeRF-Synthetic

PRIOR = PosePrior(elevation_by="area", radius=(4.0, 4.0), near=2.0, far=6.0)
"""All that is told of the cameras: on the upper hemisphere of radius 4, evenly by area, looking at the origin."""


def camera(side: int) -> Camera:
    focal = 0.5 * side / math.tan(0.5 * FIELD_OF_VIEW)
    return Camera(width=side, height=side, fx=focal, fy=focal, cx=0.5 * side, cy=0.5 * side)


def viewpoints(rng: np.random.Generator, count: int) -> Pose:
    """Poses (count, 4, 4) drawn from the prior, one in each of `count` bands of equal area.

    Each single view is distributed as the prior says; together they leave no part of the hemisphere unseen, as
    independent draws would. Azimuths advance by the golden angle, so neighbouring bands look from different sides.
    """
    height = (np.arange(count) + rng.random(count)) / count  # sine of the elevation
    turn = rng.random() + np.arange(count) * (3 - math.sqrt(5)) / 2 + rng.uniform(-0.5, 0.5, count) / math.sqrt(count)
    azimuth, flat = 2 * math.pi * turn, np.sqrt(1 - height**2)
    centres = PRIOR.radius[0] * np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), height], axis=1)
    return look_at(centres, np.zeros(3), np.array([0.0, 0.0, 1.0]))
