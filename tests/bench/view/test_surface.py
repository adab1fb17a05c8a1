"""Rendered depth of a known solid becomes that solid's surface."""

from __future__ import annotations

import numpy as np
import pytest

from bench.task import Camera, PosePrior
from bench.view.camera_path import Frames
from bench.view.surface import cloud, mesh, write_ply

CAMERA = Camera(width=64, height=48, fx=70, fy=70, cx=32, cy=24)
POSES = PosePrior(radius=(4, 4), elevation=(0, 90)).sample(np.random.default_rng(0), 24)
RADIUS = 0.8


def ball() -> Frames:
    """A ball about the origin, red above and blue below, as each camera sees it."""
    rgb, depth, opacity = [], [], []
    for pose in POSES:
        along = CAMERA.directions() / np.linalg.norm(CAMERA.directions(), axis=-1, keepdims=True)
        world = along @ pose[:3, :3].T
        b = world @ pose[:3, 3]
        root = b**2 - (pose[:3, 3] @ pose[:3, 3] - RADIUS**2)
        reach = -b - np.sqrt(np.maximum(root, 0))
        hit = root > 0
        top = pose[2, 3] + reach * world[..., 2] > 0
        rgb.append(np.where(top[..., None], [255, 0, 0], [0, 0, 255]).astype(np.uint8))
        depth.append(np.where(hit, reach * along[..., 2], 0).astype(np.float32))
        opacity.append(hit.astype(np.float32))
    return Frames(rgb=np.stack(rgb), depth=np.stack(depth), opacity=np.stack(opacity))


def test_a_ball_is_a_cloud_and_a_closed_mesh_of_its_radius_colour_and_orientation(tmp_path):
    seen = ball()
    found = cloud(seen, POSES, CAMERA)
    assert len(found.points) > 5000
    np.testing.assert_allclose(np.linalg.norm(found.points, axis=1), RADIUS, atol=1e-4)
    made = mesh(seen, POSES, CAMERA, found)
    apart = np.abs(np.linalg.norm(made.vertices, axis=1) - RADIUS)
    assert np.median(apart) < 0.015 and np.quantile(apart, 0.95) < 4 / 70  # a pixel, seen from 4 units away
    high = made.vertices[:, 2] > 0.1
    assert (made.colours[high] == [255, 0, 0]).all(axis=1).mean() > 0.99
    a, b, c = (made.vertices[made.faces[:, k]] for k in range(3))
    outward = np.einsum("fi,fi->f", np.cross(b - a, c - a), a + b + c)
    assert (outward > 0).mean() > 0.97
    lines = write_ply(tmp_path / "mesh.ply", made.vertices, made.colours, made.faces).read_bytes()
    head, _, body = lines.partition(b"end_header\n")
    assert f"element vertex {len(made.vertices)}\n".encode() in head
    assert len(body) == 15 * len(made.vertices) + 13 * len(made.faces)
    np.testing.assert_allclose(np.frombuffer(body, "<f4", 3), made.vertices[0], rtol=1e-6)


def test_a_surface_that_one_camera_alone_sees_is_none():
    seen = ball()
    one = Frames(rgb=seen.rgb[:1], depth=seen.depth[:1], opacity=seen.opacity[:1])
    with pytest.raises(ValueError, match="no surface is seen by two"):
        cloud(one, POSES[:1], CAMERA)
