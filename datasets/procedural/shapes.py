"""Solids whose intersection with a ray has a closed form: exact geometry is what makes an embedded scene a truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What shading needs to know of N points of one smooth part of a solid."""

    normals: Array  # (N, 3), or (3,) where they are all alike: outward, unit length
    uv: Array  # (N, 2) surface coordinates in scene units, from which a texture is looked up


@dataclass(frozen=True, kw_only=True)
class Hits:
    """Where R rays enter a solid."""

    t: Array  # (R,) ray parameter; inf where they miss
    part: NDArray[np.int8]  # (R,) which smooth part they meet: a face, a cap, ...; anything where they miss


class Shape(Protocol):
    """A convex solid in world coordinates; the camera is outside of it."""

    @property
    def hull(self) -> Array:
        """(M, 3) points whose convex hull contains the solid."""
        ...

    def hit(self, origin: Array, directions: Array) -> Hits:
        """Where the rays `origin` (3,) + t `directions` (3, R) enter, t > 0."""
        ...

    def surface(self, points: Array, part: int) -> Surface:
        """The surface at `points` (N, 3), which lie on this part of it up to rounding."""
        ...


@dataclass(frozen=True, kw_only=True)
class Polyhedron:
    """The intersection of half-spaces `normals @ p <= offsets`: boxes, prisms, wedges, pyramids."""

    normals: Array  # (F, 3)
    offsets: Array  # (F,)
    hull: Array  # (M, 3) its vertices
    tangents: Array  # (F, 2, 3) axes of the surface coordinates, per face

    def hit(self, origin: Array, directions: Array) -> Hits:
        """Where the last of the planes that face the ray is passed before the first of the others (Kay-Kajiya)."""
        kind = directions.dtype
        gaps = (self.offsets - self.normals @ origin).astype(kind)
        enter = np.zeros(directions.shape[1], dtype=kind)
        leave = np.full(directions.shape[1], np.inf, dtype=kind)
        part = np.zeros(directions.shape[1], dtype=np.int8)
        for face, (normal, gap) in enumerate(zip(self.normals.astype(kind), gaps, strict=True)):
            approach = normal @ directions  # (R,)
            approach[approach == 0] = 1e-12  # a parallel ray: the quotient's sign tells inside from outside
            t = gap / approach
            if gap < 0:  # the origin is on the outer side of this plane: the ray enters here, or not at all
                t[approach > 0] = np.inf
                later = t > enter
                part[later] = face
                np.maximum(enter, t, out=enter)
            else:
                t[approach < 0] = np.inf
                np.minimum(leave, t, out=leave)
        enter[enter >= leave] = np.inf
        return Hits(t=enter, part=part)

    def surface(self, points: Array, part: int) -> Surface:
        kind = points.dtype
        start = _START * part - self.tangents[part] @ self.hull.mean(axis=0)
        uv = points @ self.tangents[part].T.astype(kind) + start.astype(kind)
        return Surface(normals=self.normals[part].astype(kind), uv=uv)


@dataclass(frozen=True, kw_only=True)
class Sphere:
    centre: Array  # (3,)
    radius: float

    @property
    def hull(self) -> Array:
        return self.centre + self.radius * _CUBE

    def hit(self, origin: Array, directions: Array) -> Hits:
        offset = (origin - self.centre).astype(directions.dtype)
        a = np.einsum("ir,ir->r", directions, directions)
        b = offset @ directions
        root = b * b - a * (offset @ offset - directions.dtype.type(self.radius**2))
        t = (-b - np.sqrt(np.maximum(root, 0))) / a
        t[(root <= 0) | (t <= 0)] = np.inf
        return Hits(t=t, part=np.zeros(len(t), dtype=np.int8))

    def surface(self, points: Array, part: int) -> Surface:
        """Coordinates are those of a cube's faces, blown up to the sphere: no poles, where texture would shrink."""
        kind = points.dtype
        normals = (points - self.centre.astype(kind)) / kind.type(self.radius)
        axis = np.argmax(np.abs(normals), axis=1)
        row = np.arange(len(normals))
        along = normals[row, axis]
        across = np.stack([normals[row, (axis + k) % 3] for k in (1, 2)], axis=1)
        uv = kind.type(self.radius) * np.arctan(across / np.abs(along)[:, None])
        uv += (2 * axis + (along > 0))[:, None] * _START.astype(kind)
        return Surface(normals=normals, uv=uv)


@dataclass(frozen=True, kw_only=True)
class Frustum:
    """A cone cut at both ends; a cylinder where both radii are equal, a cone where `top` is 0."""

    foot: Array  # (3,) centre of the lower cap
    axis: Array  # (3,) unit, towards the upper cap
    height: float
    bottom: float  # radius
    top: float

    @property
    def hull(self) -> Array:
        middle = self.foot + 0.5 * self.height * self.axis
        u, v = _tangents(self.axis)
        wide = max(self.bottom, self.top)
        return middle + _CUBE @ np.stack([wide * u, wide * v, 0.5 * self.height * self.axis])

    @property
    def slope(self) -> float:
        """Growth of the radius along the axis."""
        return (self.top - self.bottom) / self.height

    def hit(self, origin: Array, directions: Array) -> Hits:
        """Parts: 0 the lower cap, 1 the upper cap, 2 the side."""
        kind, k = directions.dtype, self.slope
        offset, axis = (origin - self.foot).astype(kind), self.axis.astype(kind)
        rise, start = axis @ directions, float(axis @ offset)
        radius = self.bottom + k * start  # of the cone, at the height of the origin
        a = np.einsum("ir,ir->r", directions, directions) - (1 + k * k) * rise * rise
        b = offset @ directions - start * rise - k * radius * rise
        root = b * b - a * (float(offset @ offset) - start**2 - radius**2)
        a[a == 0] = 1e-12
        spread = np.sqrt(np.maximum(root, 0))
        nearest = np.full(rise.shape, np.inf, dtype=kind)
        part = np.full(rise.shape, 2, dtype=np.int8)
        for t in ((-b - spread) / a, (-b + spread) / a):
            height = start + t * rise
            on_side = (root > 0) & (t > 0) & (height >= 0) & (height <= self.height)
            nearest = np.where(on_side & (t < nearest), t, nearest)
        rise[rise == 0] = 1e-12
        for cap, (level, size) in enumerate(((0.0, self.bottom), (self.height, self.top))):
            t = (level - start) / rise
            out = offset[:, None] + t * directions - level * axis[:, None]
            on_cap = (t > 0) & (t < nearest) & (np.einsum("ir,ir->r", out, out) <= size * size)
            nearest[on_cap], part[on_cap] = t[on_cap], cap
        return Hits(t=nearest, part=part)

    def surface(self, points: Array, part: int) -> Surface:
        """The side is unrolled about the axis."""
        kind = points.dtype
        axis, tangents = self.axis.astype(kind), _tangents(self.axis).astype(kind)
        offset = points - self.foot.astype(kind)
        xy = offset @ tangents.T
        if part < 2:
            return Surface(normals=(axis if part else -axis), uv=xy + (_START * part).astype(kind))
        unrolled = np.arctan2(xy[:, 1], xy[:, 0]) * kind.type(max(self.bottom, self.top))
        outward = (xy / np.maximum(np.linalg.norm(xy, axis=1, keepdims=True), 1e-9)) @ tangents
        normals = (outward - kind.type(self.slope) * axis) / kind.type(np.hypot(1.0, self.slope))
        return Surface(normals=normals, uv=np.stack([unrolled, offset @ axis], axis=1))


def prism(outline: Array, *, at: tuple[float, float], z: tuple[float, float], yaw: float = 0.0) -> Polyhedron:
    """A convex outline (K, 2), counter-clockwise, drawn up between two heights; `yaw` in degrees."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    ring = np.asarray(outline) @ np.array([[c, s], [-s, c]]) + at
    vertices = np.concatenate([np.column_stack([ring, np.full(len(ring), level)]) for level in z])
    edges = np.roll(ring, -1, axis=0) - ring
    sides = np.column_stack([edges[:, 1], -edges[:, 0], np.zeros(len(ring))])
    return _polyhedron(np.concatenate([sides, [[0, 0, -1], [0, 0, 1]]]), vertices)


def box(size: tuple[float, float], *, at: tuple[float, float], z: tuple[float, float], yaw: float = 0.0) -> Polyhedron:
    """A box of `size` (x, y) that stands between two heights; `yaw` in degrees."""
    x, y = size[0] / 2, size[1] / 2
    return prism(np.array([[-x, -y], [x, -y], [x, y], [-x, y]]), at=at, z=z, yaw=yaw)


def wedge(
    size: tuple[float, float], *, at: tuple[float, float], z: tuple[float, float], yaw: float = 0.0
) -> Polyhedron:
    """A ramp that rises along its own x axis from the lower height to the upper one."""
    block = box(size, at=at, z=z, yaw=yaw)
    run = np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw)), 0.0])
    slope = np.array([0, 0, size[0]]) - (z[1] - z[0]) * run
    behind = (block.hull - [*at, 0]) @ run < 0
    vertices = block.hull[~(behind & (block.hull[:, 2] > z[0]))]
    keep = [k for k, normal in enumerate(block.normals) if normal @ run > -0.999 and normal[2] < 0.999]
    return _polyhedron(np.concatenate([block.normals[keep], slope[None]]), vertices)


def cylinder(radius: float, *, at: tuple[float, float], z: tuple[float, float], top: float | None = None) -> Frustum:
    """An upright cylinder, or a cone or frustum where `top` gives another upper radius."""
    foot, up = np.array([*at, z[0]]), np.array([0.0, 0.0, 1.0])
    return Frustum(foot=foot, axis=up, height=z[1] - z[0], bottom=radius, top=radius if top is None else top)


_START = np.array([0.381966, 0.236068])  # each part of a solid starts elsewhere on the canvas
_CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])


def _tangents(normal: Array) -> Array:
    """(2, 3): level and rising axes of a plane, as a bricklayer would choose them."""
    level = np.cross([0, 0, 1], normal) if abs(normal[2]) < 0.999 else np.array([1.0, 0.0, 0.0])
    level = level / np.linalg.norm(level)
    return np.stack([level, np.cross(normal, level)])


def _polyhedron(normals: Array, vertices: Array) -> Polyhedron:
    """The smallest half-spaces with these normals that contain the vertices."""
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    offsets = (vertices @ normals.T).max(axis=0)
    tangents = np.stack([_tangents(normal) for normal in normals])
    return Polyhedron(normals=normals, offsets=offsets, hull=vertices, tangents=tangents)
