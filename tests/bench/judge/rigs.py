"""Rigs of true cameras that the judge's tests share: poses (N, 4, 4), and mappings of them by view id."""

import numpy as np

from bench.task import ViewId, look_at

UP = np.array([0.0, 0.0, 1.0])


def sphere(rng, count=20, size=4.0):
    """Cameras all around a scene, `size` from its middle, rolled."""
    centres = rng.normal(size=(count, 3))
    centres *= size / np.linalg.norm(centres, axis=1, keepdims=True)
    return look_at(centres, np.zeros(3), UP, rng.uniform(-1, 1, size=count))


def ring(rng, count=20, size=4.0):
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    centres = np.stack([size * np.cos(angles), size * np.sin(angles), rng.uniform(0, size / 8, count)], axis=1)
    return look_at(centres, np.zeros(3), UP)


def forward_facing(rng, count=20, distance=9.0):
    """Cameras in a slab of the proportions of LLFF fern's, looking at a scene `distance` of its half width away."""
    centres = rng.uniform(-1, 1, size=(count, 3)) * [1.0, 0.06, 0.3]
    return look_at(centres, np.array([0.0, distance, 0.0]), UP)


def named(poses):
    return {ViewId(f"v{n:03d}"): pose for n, pose in enumerate(poses)}


def shifted(poses, rng, amount):
    """Centres off by N(0, amount^2) of the rig's RMS radius, in length; rotations exact."""
    centres = poses[:, :3, 3]
    size = np.sqrt(((centres - centres.mean(axis=0)) ** 2).sum(axis=1).mean())
    moved = poses.copy()
    moved[:, :3, 3] += amount * size / np.sqrt(3) * rng.normal(size=centres.shape)
    return moved


def rescaled(poses, factor):
    moved = poses.copy()
    moved[:, :3, 3] *= factor
    return moved
