"""What stands where in the embedded scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from datasets.procedural.casting import Solid
from datasets.procedural.shapes import Sphere, box, cylinder, prism, wedge
from datasets.procedural.textures import Paint, bands, bricks, confetti, flat, mosaic, runes

FLOOR = -0.42


def blocks() -> list[Solid]:
    """A toy town: no two sides of it have the same outline or the same colours, seen from above either."""
    rng = np.random.default_rng(20210322)
    brick = bricks(rng, ["#c8553d", "#b5482f", "#d97b5b"], "#efe0cf", size=(0.125, 0.0625))
    slate = bands(rng, ["#264653", "#3d6d80", "#1b3038", "#7fa7b5"], widths=(0.03, 0.05))
    lawn = mosaic(rng, ["#a7c957", "#6a994e", "#c9dd8e", "#386641", "#e9e5b5"], smallest=0.07, extent=2.4)
    party = confetti(rng, "#f4f1de", ["#e63946", "#1d3557", "#f1a208", "#2a9d8f", "#8338ec"])
    timber = bands(rng, ["#e9c46a", "#d9a441", "#b07d2b", "#f6e3b0"], widths=(0.03, 0.07))
    sea = confetti(rng, "#0077b6", ["#caf0f8", "#00b4d8", "#03045e", "#ffffff"], count=150)
    script = runes(rng, "#5a189a", ["#ffd6ff", "#e0aaff", "#ffffff"])
    candy = mosaic(rng, ["#ff70a6", "#ff9770", "#ffd670", "#e9ff70", "#70d6ff"], smallest=0.06)
    stone = bricks(rng, ["#adb5bd", "#ced4da", "#868e96"], "#495057", size=(0.167, 0.1))
    rust = runes(rng, "#9c6644", ["#ede0d4", "#7f4f24", "#e6ccb2"], pitch=0.125)
    return _town([lawn, brick, slate, stone, stone, candy, party, timber, sea, script, rust, candy])


def blocks_plain() -> list[Solid]:
    """The same town in flat colours: nothing for a blob detector to hold on to but corners."""
    codes = ["#8fb05a", "#c8553d", "#264653", "#adb5bd", "#adb5bd", "#ff9770", "#f4d8a0", "#d9a441"]
    codes += ["#0096c7", "#7b2cbf", "#9c6644", "#ff70a6"]
    return _town([flat(code) for code in codes])


def blocks_repeat() -> list[Solid]:
    """A court of four towers under one repeated tile: turned by a right angle it is nearly itself again."""
    rng = np.random.default_rng(5)
    tile = runes(rng, "#f2e8cf", ["#bc4749", "#386641", "#1d3557"], pitch=0.125, extent=0.25)
    corners = [(0.55, 0.55), (-0.55, 0.55), (-0.55, -0.55), (0.55, -0.55)]
    towers = [box((0.42, 0.42), at=at, z=(FLOOR, 0.30)) for at in corners]
    shapes = [box((1.62, 1.62), at=(0, 0), z=(FLOOR - 0.1, FLOOR)), *towers]
    shapes += [cylinder(0.24, at=(0, 0), z=(FLOOR, 0.12)), box((0.2, 0.2), at=corners[0], z=(0.30, 0.46))]
    return [Solid(shape=shape, paint=tile) for shape in shapes]


def _town(paints: list[Paint]) -> list[Solid]:
    island = np.array([[-1.10, -0.30], [-0.55, -1.00], [0.84, -0.83], [1.04, -0.20], [0.55, 1.04], [-0.88, 0.76]])
    hexagon = 0.2 * np.array([[np.cos(a), np.sin(a)] for a in np.arange(6) * np.pi / 3])
    shapes = [
        prism(island, at=(0, 0), z=(FLOOR - 0.10, FLOOR)),
        box((0.36, 0.34), at=(-0.50, -0.28), z=(FLOOR, 0.42), yaw=24),
        cylinder(0.31, at=(-0.50, -0.28), z=(0.42, 0.80), top=0.0),
        box((0.16, 0.24), at=(0.23, -0.62), z=(FLOOR, 0.0), yaw=-12),
        box((0.16, 0.24), at=(0.68, -0.52), z=(FLOOR, 0.0), yaw=-12),
        box((0.74, 0.26), at=(0.455, -0.57), z=(0.0, 0.13), yaw=12.5),
        Sphere(centre=np.array([0.34, 0.62, FLOOR + 0.25]), radius=0.25),
        wedge((0.56, 0.32), at=(0.70, 0.10), z=(FLOOR, -0.08), yaw=118),
        cylinder(0.15, at=(-0.62, 0.42), z=(FLOOR, 0.10)),
        prism(hexagon, at=(0.06, 0.08), z=(FLOOR, -0.16), yaw=11),
        box((0.44, 0.17), at=(-0.15, 0.55), z=(FLOOR, -0.22), yaw=62),
        Sphere(centre=np.array([-0.62, 0.42, 0.26]), radius=0.18),
    ]
    return [Solid(shape=shape, paint=paint) for shape, paint in zip(shapes, paints, strict=True)]


SCENES: Mapping[str, tuple[Callable[[], list[Solid]], str]] = {
    "blocks": (blocks, "embedded: a textured toy town, asymmetric in outline and in colour; exact poses"),
    "blocks-plain": (blocks_plain, "embedded: the town of `blocks` without texture; exact poses"),
    "blocks-repeat": (blocks_repeat, "embedded: four towers under one repeated tile, nearly symmetric; exact poses"),
}
