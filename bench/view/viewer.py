"""A cell one can walk about in: cameras of truth and estimate, and the field rendered live. The only import of viser.

All is drawn in the truth's frame, moved and scaled so that the true cameras lie within a ball of radius RADIUS. The
field stays in the method's own frame: the eye is carried over to it. It runs in this process, which holds the truth;
there is nothing left to win by it, for the fit is done and judged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.geometry import mean_up
from bench.judge.similarity import Similarity
from bench.record import read_cameras
from bench.task import Camera, Field, Pose
from bench.view.fitted_field import load_field, truth_from_field

RADIUS = 3.0
FRUSTUM = 0.15  # depth of a drawn camera
MOVING, STILL = 64, 256
"""Longest side, in pixels, of the field while the eye moves and once it rests."""

COLOURS = {"truth": (130, 140, 150), "estimate": (213, 94, 0), "errors": (179, 64, 10), "held out": (185, 128, 0)}
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What is drawn, and the way from the drawing back to the method's frame."""

    lines: Mapping[str, Array]  # (n, 2, 3) line segments by name
    field_from_stage: Similarity
    up: Array  # (3,)
    first: Pose  # (4, 4) a camera to begin with


def stage(cell: Path) -> Stage:
    """Of a judged cell's folder. Raises ValueError where its cameras were not kept."""
    held = read_cameras(cell)
    if held is None or len(held["estimate"]) < 2:
        raise ValueError(f"view: {cell} keeps no cameras of truth and estimate; `unposed run` makes them")
    truth = {view: np.array(pose) for view, pose in held["truth"].items()}
    estimate = {view: np.array(pose) for view, pose in held["estimate"].items()}
    rig = np.stack(list((truth or estimate).values()))  # where nobody knows the truth, all is in the method's own frame
    centres = rig[:, :3, 3]
    middle = (centres.min(axis=0) + centres.max(axis=0)) / 2
    scale = RADIUS / max(float(np.linalg.norm(centres - middle, axis=1).max()), 1e-12)
    stage_from_truth = Similarity(scale=scale, rotation=np.eye(3), translation=-scale * middle)
    camera = Camera(**held["camera"])
    places = {"truth": truth, "estimate": estimate, "held out": {k: np.array(v) for k, v in held["heldout"].items()}}
    moved = {name: stage_from_truth.apply(np.stack(list(poses.values()))) for name, poses in places.items() if poses}
    lines = {name: frusta(poses, camera) for name, poses in moved.items()}
    if truth:
        pairs = [np.stack([truth[view][:3, 3], estimate[view][:3, 3]]) for view in estimate]
        lines["errors"] = stage_from_truth.points(np.stack(pairs))
    seen = stage_from_truth.apply(rig)
    return Stage(
        lines=lines, up=mean_up(seen), first=seen[0],
        field_from_stage=then(stage_from_truth.inverse(), truth_from_field(cell).inverse()),
    )  # fmt: skip


def then(first: Similarity, second: Similarity) -> Similarity:
    """`second` after `first`."""
    return Similarity(
        scale=first.scale * second.scale, rotation=second.rotation @ first.rotation,
        translation=second.points(first.translation),
    )  # fmt: skip


def frusta(poses: Pose, camera: Camera) -> Array:
    """Pyramids of cameras (N, 4, 4) as line segments (8 N, 2, 3)."""
    x, y = camera.width / (2 * camera.fx), camera.height / (2 * camera.fy)
    corners = FRUSTUM * np.array([[-x, -y, 1], [x, -y, 1], [x, y, 1], [-x, y, 1]])
    world = corners @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]  # (N, 4, 3)
    tips = np.broadcast_to(poses[:, None, :3, 3], world.shape)
    sides, base = np.stack([tips, world], axis=2), np.stack([world, np.roll(world, -1, axis=1)], axis=2)
    return np.concatenate([sides, base], axis=1).reshape(-1, 2, 3)


def seen_from(field: Field, place: Stage, pose: Pose, camera: Camera) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Colours (H, W, 3) and depth (H, W), in units of the drawing, from a pose (4, 4) of the drawing.

    What the field leaves empty is infinitely far, so that cameras behind it are seen.
    """
    rendering = field.render(place.field_from_stage.apply(pose)[None], camera)
    colours = (np.clip(np.nan_to_num(rendering.rgb[0]), 0, 1) * 255 + 0.5).astype(np.uint8)
    depth = np.where(rendering.opacity[0] > 0.5, rendering.depth[0] / place.field_from_stage.scale, np.inf)
    return np.broadcast_to(colours, (*colours.shape[:2], 3)), depth.astype(np.float32)


def camera_of(fov: float, aspect: float, side: int) -> Camera:
    """A pinhole camera with this vertical field of view (radians), its longest side `side` pixels."""
    width, height = (side, max(1, round(side / aspect))) if aspect >= 1 else (max(1, round(side * aspect)), side)
    focal = height / (2 * np.tan(fov / 2))
    return Camera(width=width, height=height, fx=focal, fy=focal, cx=width / 2, cy=height / 2)


class Viewer:
    """A server on 127.0.0.1 that shows one cell. Raises ValueError where viser is not installed."""

    def __init__(self, cell: Path, title: str, *, port: int, device: str) -> None:
        try:
            import viser  # pyright: ignore[reportMissingImports] - an extra
        except ImportError as error:
            raise ValueError("view: needs viser; pip install -c constraints.txt -e '.[viewer]'") from error
        self.stage = stage(cell)
        self.field = load_field(cell, device)
        self.server = viser.ViserServer(host="127.0.0.1", port=port, label=title, verbose=False)
        self._rendering = threading.Lock()  # one field, however many look at it
        self._furnish(title)
        self.server.on_client_connect(self._welcome)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.get_port()}"

    def _furnish(self, title: str) -> None:
        scene, gui = self.server.scene, self.server.gui
        scene.set_up_direction(tuple(float(v) for v in self.stage.up))
        gui.add_markdown(f"**{title}**" if self.field is not None else f"**{title}**\n\nno field: poses alone")
        for name, segments in self.stage.lines.items():
            shown = name != "held out"
            handle = scene.add_line_segments(
                f"/{name.replace(' ', '_')}", segments.astype(np.float32), COLOURS[name], line_width=1.5, visible=shown
            )
            box = gui.add_checkbox(name, initial_value=shown)
            box.on_update(_shows(box, handle))

    def _welcome(self, client: Any) -> None:
        from scipy.spatial.transform import Rotation

        x, y, z, w = Rotation.from_matrix(self.stage.first[:3, :3]).as_quat()
        client.camera.position = 1.3 * self.stage.first[:3, 3]
        client.camera.wxyz = np.array([w, x, y, z])
        if self.field is not None:
            _Eye(client, self).start()

    def picture(self, pose: Pose, camera: Camera) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        assert self.field is not None
        with self._rendering:
            return seen_from(self.field, self.stage, pose, camera)


def _shows(box: Any, handle: Any) -> Callable[[Any], None]:
    def update(_: Any) -> None:
        handle.visible = box.value

    return update


class _Eye(threading.Thread):
    """Renders what one client looks at: coarse while it moves, fine once it rests."""

    def __init__(self, client: Any, viewer: Viewer) -> None:
        super().__init__(daemon=True, name="eye")
        self.client, self.viewer = client, viewer
        self.moved, self.gone = threading.Event(), threading.Event()
        client.camera.on_update(lambda _: self.moved.set())
        viewer.server.on_client_disconnect(lambda other: self.gone.set() if other is client else None)
        self.moved.set()

    def run(self) -> None:
        while not self.gone.is_set():
            if not self.moved.wait(timeout=1.0):
                continue
            self.moved.clear()
            self._show(MOVING)
            if not self.moved.wait(timeout=0.25):
                self._show(STILL)

    def _show(self, side: int) -> None:
        from scipy.spatial.transform import Rotation

        eye = self.client.camera
        w, x, y, z = eye.wxyz
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = Rotation.from_quat([x, y, z, w]).as_matrix(), eye.position
        colours, depth = self.viewer.picture(pose, camera_of(eye.fov, eye.aspect, side))
        self.client.scene.set_background_image(colours, depth=np.nan_to_num(depth, posinf=100.0))
