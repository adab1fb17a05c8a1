"""Rays meet solids where a march along the ray first finds itself inside."""

import numpy as np
import pytest

from datasets.procedural.shapes import Sphere, box, cylinder, prism, wedge

TRIANGLE = np.array([[-0.5, -0.4], [0.6, -0.3], [0.0, 0.5]])


def _turned(points, yaw):
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.column_stack([c * points[:, 0] + s * points[:, 1], c * points[:, 1] - s * points[:, 0], points[:, 2]])


def _in_box(p):
    q = _turned(p - [0.1, -0.2, 0], 30)
    return (np.abs(q[:, 0]) < 0.3) & (np.abs(q[:, 1]) < 0.2) & (q[:, 2] > -0.4) & (q[:, 2] < 0.5)


def _in_wedge(p):
    q = _turned(p - [0.1, -0.2, 0], 30)
    ramp = -0.4 + 0.9 * (q[:, 0] + 0.3) / 0.6
    return (np.abs(q[:, 0]) < 0.3) & (np.abs(q[:, 1]) < 0.2) & (q[:, 2] > -0.4) & (q[:, 2] < ramp)


def _in_prism(p):
    sides = [np.subtract(TRIANGLE[(k + 1) % 3], TRIANGLE[k]) for k in range(3)]
    left = [s[0] * (p[:, 1] - t[1]) - s[1] * (p[:, 0] - t[0]) > 0 for s, t in zip(sides, TRIANGLE, strict=True)]
    return np.all(left, axis=0) & (np.abs(p[:, 2]) < 0.3)


def _in_round(bottom, top):
    def inside(p):
        radius = bottom + (top - bottom) * (p[:, 2] + 0.3) / 0.8
        return (np.hypot(p[:, 0] - 0.2, p[:, 1]) < radius) & (p[:, 2] > -0.3) & (p[:, 2] < 0.5)

    return inside


SOLIDS = {
    "sphere": (
        Sphere(centre=np.array([0.1, 0.2, -0.1]), radius=0.5),
        lambda p: np.linalg.norm(p - [0.1, 0.2, -0.1], axis=1) < 0.5,
    ),
    "box": (box((0.6, 0.4), at=(0.1, -0.2), z=(-0.4, 0.5), yaw=30), _in_box),
    "wedge": (wedge((0.6, 0.4), at=(0.1, -0.2), z=(-0.4, 0.5), yaw=30), _in_wedge),
    "prism": (prism(TRIANGLE, at=(0, 0), z=(-0.3, 0.3)), _in_prism),
    "cylinder": (cylinder(0.4, at=(0.2, 0), z=(-0.3, 0.5)), _in_round(0.4, 0.4)),
    "cone": (cylinder(0.4, at=(0.2, 0), z=(-0.3, 0.5), top=0.0), _in_round(0.4, 0.0)),
    "flower pot": (cylinder(0.2, at=(0.2, 0), z=(-0.3, 0.5), top=0.5), _in_round(0.2, 0.5)),
}


@pytest.mark.parametrize("name", SOLIDS)
def test_a_ray_enters_where_a_march_first_finds_itself_inside(name):
    shape, inside = SOLIDS[name]
    rng = np.random.default_rng(1)
    steps = np.arange(0.5, 4.0, 0.004)
    hits = 0
    for origin in 2.0 * np.array([[1, 0.2, 0.3], [-0.5, 0.6, 0.9], [0.1, 0.2, -1.1], [-0.7, -0.8, 0.05]]):
        rays = 0.6 * rng.standard_normal((60, 3)) * [1, 1, 1] - origin
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        found = shape.hit(origin, rays.T)
        for ray, t, part in zip(rays, found.t, found.part, strict=True):
            marched = steps[inside(origin + steps[:, None] * ray)]
            if len(marched) < 3:  # a graze, which a march may miss
                continue
            hits += 1
            assert marched[0] - 0.0045 < t < marched[0] + 1e-6
            point = (origin + t * ray)[None]
            normal = np.atleast_2d(shape.surface(point, int(part)).normals)[0]
            assert np.linalg.norm(normal) == pytest.approx(1)
            assert normal @ ray < 0  # outward: against the ray that enters
            assert inside(point - 1e-3 * normal)[0] and not inside(point + 1e-3 * normal)[0]
        missed = np.isinf(found.t)
        assert not any(len(steps[inside(origin + steps[:, None] * ray)]) > 1 for ray in rays[missed])
    assert hits > 20


@pytest.mark.parametrize("name", SOLIDS)
def test_the_hull_contains_the_solid(name):
    shape, inside = SOLIDS[name]
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 3))
    points = points[inside(points)]
    directions = np.random.default_rng(1).standard_normal((200, 3))
    assert len(points) > 50
    assert ((points @ directions.T).max(axis=0) <= (shape.hull @ directions.T).max(axis=0) + 1e-9).all()
