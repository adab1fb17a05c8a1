"""What every method must hold to, tried on a tiny scene through the real worker: `unposed check METHOD`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench import exchange
from bench.cell import Cell
from bench.degrade import parse
from bench.degrade.views import showing
from bench.executor import Executor
from bench.fitting import request_fit
from bench.matrix import Planned
from bench.provenance import cpu_count
from bench.registry import ConfiguredMethod, find_method, find_scene
from bench.scene import SIDE, Scene
from bench.start import generator_of, perturbed
from bench.task import METHOD_NAME, Capture, DifferentiableField, Field, Fit, Traits

VIEWS = 24
"""Views of the tiny scene: enough for structure from motion, few enough for seconds."""


class _BrokenContract(Exception):  # noqa: N818 - reads as what it says
    pass


def examine(label: str, *, scene: str = "blocks", limit: float = 120.0) -> Iterator[tuple[str, str | None]]:
    """Clauses of the contract in order, each with its fault or None. Later ones rest on earlier ones."""
    try:
        method = find_method(label)
    except ValueError as error:
        yield "it can be found, imported and configured", str(error)
        return
    yield "it can be found, imported and configured", None
    for name, clause in (
        ("it declares name, version, summary and traits", _declares),
        ("its config is frozen and refuses unknown options", _config),
        ("listing it imports neither torch nor numba", _light),
    ):
        yield name, _fault(lambda clause=clause: clause(method))
    with tempfile.TemporaryDirectory() as folder:
        yield from _fitted(method, small(find_scene(scene, ()).load(SIDE["smoke"])), Path(folder), limit)


def small(scene: Scene, views: int = VIEWS) -> Scene:
    """The same scene with its first training views only."""
    ids = list(scene.capture.images)[:views]
    return replace(scene, capture=showing(scene.capture, ids), truth=scene.truth.only(ids))


def _fitted(method: ConfiguredMethod, scene: Scene, folder: Path, limit: float) -> Iterator[tuple[str, str | None]]:
    traits = method.method.traits
    capture = replace(scene.capture, start=scene.truth.poses, exact=frozenset(scene.truth.poses))
    capture = perturbed(capture, traits.start, generator_of(scene.name, 0)).only(traits.needs | traits.uses)
    outcomes = []
    for attempt in ("first", "second"):
        outcome = _request(method, capture, folder / attempt / "fit", limit)
        fault = None if outcome["status"] in ("done", "collapsed") else f"{outcome['status']}: {outcome['reason']}"
        outcomes.append(outcome)
        if attempt == "first":
            yield "it answers on a tiny scene, or says that it has collapsed", fault
            if outcome["status"] != "done":
                return
    fit_folder = folder / "first" / "fit"
    yield (
        "its poses are rigid motions of views that it was shown",
        _fault(lambda: _poses(exchange.read_fit(fit_folder))),
    )
    same = outcomes[0].get("sha256") == outcomes[1].get("sha256")
    yield "the same seed gives the same answer", None if same else "poses.json or field/ differ between two fits"
    if not outcomes[0]["field"]:
        return
    field = method.method.load(fit_folder / "field", "cpu")
    yield "it loads the field that it saved", None if isinstance(field, Field) else f"load returned {field!r}"
    if isinstance(field, Field):
        yield (
            "its renders have the promised shapes and ranges",
            _fault(lambda: _renders(field, fit_folder, capture, scene)),
        )
    if isinstance(field, DifferentiableField):
        yield "its colours carry gradients to the rays", _fault(lambda: _gradients(field, fit_folder))


def _request(method: ConfiguredMethod, capture: Capture, folder: Path, limit: float) -> dict[str, Any]:
    planned = Planned(
        cell=Cell(scene="contract", degradation="clean", method=method.label, seed=0, effort="smoke"),
        source=find_scene("blocks", ()),
        degradation=parse("clean"),
        method=method,
    )
    executor = Executor(threads=cpu_count())
    return request_fit(planned, capture, folder, executor, fit="contract", limit=limit, device="cpu", retries=0)


def _fault(clause: Callable[[], None]) -> str | None:
    try:
        clause()
    except _BrokenContract as broken:
        return str(broken)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; its author is told
        return f"{type(error).__name__}: {error}"
    return None


def _demand(holds: bool, fault: str) -> None:
    if not holds:
        raise _BrokenContract(fault)


def _declares(method: ConfiguredMethod) -> None:
    made = method.method
    _demand(
        bool(METHOD_NAME.fullmatch(made.name)), f"name {made.name!r} must be lower-case letters, digits, underscores"
    )
    _demand(isinstance(made.version, str) and bool(made.version), f"version must be a text, not {made.version!r}")
    _demand(isinstance(made.summary, str) and "\n" not in made.summary, "summary must be one line")
    _demand(isinstance(made.traits, Traits), f"traits must be bench.task.Traits, not {type(made.traits).__name__}")


def _config(method: ConfiguredMethod) -> None:
    settings = type(method.method).Config.model_config
    _demand(settings.get("extra") == "forbid", 'Config needs model_config = ConfigDict(extra="forbid", frozen=True)')
    _demand(bool(settings.get("frozen")), 'Config needs model_config = ConfigDict(extra="forbid", frozen=True)')


def _light(method: ConfiguredMethod) -> None:
    look = (
        "import sys; from bench.registry import find_method; find_method(sys.argv[1]); "
        "print(*[m for m in ('torch', 'numba', 'mlflow') if m in sys.modules])"
    )
    name = method.ref.file or method.ref.name
    done = subprocess.run([sys.executable, "-c", look, name], capture_output=True, text=True, check=True)
    heavy = done.stdout.split()
    _demand(not heavy, f"importing it imports {' and '.join(heavy)}: import them inside fit and load")


def _poses(fit: Fit) -> None:
    for view, pose in fit.poses.items():
        _demand(bool(np.isfinite(pose).all()), f"the pose of {view} is not finite")
        rotation = pose[:3, :3]
        off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        _demand(off < 1e-4, f"the pose of {view} is not a rotation: R R^T is off the identity by {off:.1e}")
        _demand(np.linalg.det(rotation) > 0, f"the pose of {view} is a reflection")
        _demand(np.allclose(pose[3], [0, 0, 0, 1]), f"the last row of the pose of {view} is not 0 0 0 1")


def _renders(field: Field, folder: Path, capture: Capture, scene: Scene) -> None:
    fit = exchange.read_fit(folder)
    camera = fit.camera or scene.truth.camera
    poses = np.stack(list(fit.poses.values())[:2])
    made = field.render(poses, camera)
    size = (len(poses), camera.height, camera.width)
    for name, image, shape in (
        ("rgb", made.rgb, (*size, capture.shape[2])), ("depth", made.depth, size), ("opacity", made.opacity, size),
    ):  # fmt: skip
        _demand(image.shape == shape, f"{name} has shape {image.shape}, must be {shape}")
        _demand(image.dtype == np.float32, f"{name} has type {image.dtype}, must be float32")
        _demand(bool(np.isfinite(image).all()), f"{name} is not finite")
    for name, image in (("rgb", made.rgb), ("opacity", made.opacity)):
        _demand(image.min() >= -1e-4 and image.max() <= 1 + 1e-4, f"{name} leaves [0, 1]")


def _gradients(field: DifferentiableField, folder: Path) -> None:
    import torch

    pose = next(iter(exchange.read_fit(folder).poses.values()))
    origins = torch.tensor(pose[:3, 3], dtype=torch.float32).repeat(8, 1).requires_grad_()
    spread = torch.linspace(-0.05, 0.05, 8)[:, None] * torch.tensor(pose[:3, 0], dtype=torch.float32)
    directions = torch.nn.functional.normalize(torch.tensor(pose[:3, 2], dtype=torch.float32) + spread, dim=-1)
    directions.requires_grad_()
    field.render_rays(origins, directions).square().sum().backward()
    for name, leaf in (("origins", origins), ("directions", directions)):
        _demand(leaf.grad is not None and bool(torch.isfinite(leaf.grad).all()), f"no finite gradient reaches {name}")
        _demand(leaf.grad is not None and float(leaf.grad.abs().sum()) > 0, f"the gradient to {name} is zero")
