"""What every method must hold to, tried on a tiny scene through the real worker: `unposed check METHOD`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from pydantic import BaseModel, ValidationError

from bench.cell import Cell
from bench.degrade import parse
from bench.degrade.initial_poses import generator_of, perturbed
from bench.degrade.views import showing
from bench.matrix import method_class
from bench.matrix.plan import Planned
from bench.matrix.registry import ConfiguredMethod, find_method, find_scene
from bench.poses_io.convention_check import mistaken
from bench.poses_io.saved_fit import read_fit
from bench.regime import SIDE
from bench.runner.executors.local import LocalExecutor
from bench.runner.fit_client import request_fit
from bench.runner.provenance import cpu_count
from bench.scene import Scene
from bench.task import (
    METHOD_NAME,
    Capture,
    DifferentiableField,
    Estimate,
    Field,
    Fit,
    Method,
    RegisteringField,
    Rendering,
)

VIEWS = 24
"""Views of the tiny scene: enough for structure from motion, few enough for seconds."""


class _BrokenContract(Exception):  # noqa: N818 - reads as what it says
    pass


def examine(label: str, *, scene: str = "blocks", limit: float = 120.0) -> Iterator[tuple[str, str | None]]:
    """Clauses of the contract in order, each with its fault or None. Later ones rest on earlier ones."""
    try:
        method = find_method(label)
        made = imported(method)
    except ValueError as error:
        yield "it can be found, imported and configured", str(error)
        return
    yield "it can be found, imported and configured", None
    for name, clause in (
        ("it declares name, version, summary and traits", _declares),
        ("its config is frozen and refuses unknown options", _config),
        ("it keeps the config that it is made with, and so does a file", _keeps),
        ("listing it imports neither torch nor numba", _light),
    ):
        yield name, _fault(lambda clause=clause: clause(method, made))
    with tempfile.TemporaryDirectory() as folder:
        yield from _fitted(method, made, small(find_scene(scene, ()).load(SIDE["smoke"])), Path(folder), limit)


def imported(method: ConfiguredMethod) -> Method:
    """The method itself, in this process, which judges nothing: its author asks for what is wrong with it."""
    return method_class.made(asdict(method.ref), method.config)


def small(scene: Scene, views: int = VIEWS) -> Scene:
    """The same scene with its first training views only."""
    ids = list(scene.capture.images)[:views]
    return replace(scene, capture=showing(scene.capture, ids), truth=scene.truth.only(ids))


def _fitted(
    method: ConfiguredMethod, made: Method, scene: Scene, folder: Path, limit: float
) -> Iterator[tuple[str, str | None]]:
    traits = method.method.traits
    answer = Estimate(poses=scene.truth.poses)
    capture = replace(
        scene.capture, start=scene.truth.poses, exact=frozenset(scene.truth.poses), estimate=answer
    )  # fmt: skip
    capture = perturbed(capture, traits.start, generator_of(scene.name, 0)).only(traits.needs | traits.uses)
    first = _request(method, capture, folder / "first", limit)
    fault = None if first["status"] in ("done", "collapsed") else f"{first['status']}: {first['reason']}"
    yield "it answers on a tiny scene, or says that it has collapsed", fault
    if first["status"] != "done":
        return
    said = "it says" if first["progress"] else "optional: it does not say"
    yield f"{said} how far it is while it runs (job.progress)", None
    fit_folder = folder / "first" / "fit"
    fit = read_fit(fit_folder)
    yield "its poses are rigid motions of views that it was shown", _fault(lambda: _poses(fit))
    yield "its poses are world_from_camera in OpenCV axes", mistaken(fit.poses, scene.truth.poses)
    second = _request(method, capture, folder / "second", limit)
    yield "the same seed gives the same answer", _fault(lambda: _repeats(first, second))
    if not first["field"]:
        return
    saved = fit_folder / "field"
    yield "what it saves is not empty and holds no pickle", _fault(lambda: _saved(saved))
    loaded: list[Field] = []
    yield "it loads the field that it saved", _fault(lambda: loaded.append(_loads(made, saved)))
    for field in loaded:
        yield (
            "its renders have the promised shapes and ranges",
            _fault(lambda f=field: _renders(f, fit, capture, scene)),
        )
        if isinstance(field, DifferentiableField):
            yield "its colours carry gradients to the rays", _fault(lambda f=field: _gradients(f, fit))
        if isinstance(field, RegisteringField):
            yield "it registers new images", _fault(lambda f=field: _registers(f, fit, capture, scene))


def _request(method: ConfiguredMethod, capture: Capture, folder: Path, limit: float) -> dict[str, Any]:
    planned = Planned(
        cell=Cell(scene="contract", degradation="clean", method=method.label, seed=0, effort="smoke"),
        source=find_scene("blocks", ()),
        degradation=parse("clean"),
        method=method,
    )
    executor = LocalExecutor(threads=cpu_count())
    folder.mkdir()
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


def _declares(method: ConfiguredMethod, made: Method) -> None:
    registered = made.name if method.ref.file else method.ref.name
    _demand(registered == made.name, f"its entry point calls it {registered!r}, and it calls itself {made.name!r}")
    _demand(
        bool(METHOD_NAME.fullmatch(made.name)), f"name {made.name!r} must be lower-case letters, digits, underscores"
    )
    _demand(isinstance(made.version, str) and bool(made.version), f"version must be a text, not {made.version!r}")
    _demand(
        isinstance(made.summary, str) and made.summary.count("\n") == 0 < len(made.summary), "summary must be one line"
    )


def _config(_: ConfiguredMethod, made: Method) -> None:
    settings = type(made).Config.model_config
    _demand(settings.get("extra") == "forbid", 'Config needs model_config = ConfigDict(extra="forbid", frozen=True)')
    _demand(bool(settings.get("frozen")), 'Config needs model_config = ConfigDict(extra="forbid", frozen=True)')


def _keeps(_: ConfiguredMethod, made: Method) -> None:
    """An option that changes nothing is a number that was measured with another one."""
    kind = type(made)
    for config in filter(None, (made.config, _changed(made.config))):
        wanted = config.model_dump()
        for how, found in (
            ("made with it", kind(config).config),
            ("read from JSON", kind.Config.model_validate(json.loads(json.dumps(config.model_dump(mode="json"))))),
        ):
            lost = [name for name, value in found.model_dump().items() if wanted.get(name) != value]
            _demand(not lost, f"{how}, {lost[0] if lost else ''} is not what the config says")


def _changed(config: BaseModel) -> BaseModel | None:
    """The same config with one value changed, or None where no value is of a kind that can be."""
    for name, field in type(config).model_fields.items():
        match getattr(config, name):
            case bool(value):
                others: tuple[Any, ...] = (not value,)
            case int(value) | float(value):
                others = (value + 1, value / 2)
            case value:
                others = tuple(
                    other for other in get_args(field.annotation) if isinstance(other, str) and other != value
                )
        for other in others:
            try:
                return type(config).model_validate({**config.model_dump(), name: other})
            except ValidationError:
                continue
    return None


def _light(method: ConfiguredMethod, _: Method) -> None:
    look = (
        "import json, sys; from bench.matrix.method_class import load; from bench.matrix.method_ref import MethodRef; "
        "load(MethodRef(**json.loads(sys.argv[1]))); "
        "print(*[m for m in ('torch', 'numba', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look, json.dumps(asdict(method.ref))], capture_output=True, text=True, check=True
    )
    heavy = done.stdout.split()
    _demand(not heavy, f"importing it imports {' and '.join(heavy)}: import them inside fit and load")


def _poses(fit: Fit) -> None:
    _demand(bool(fit.poses), "it returned no pose at all: raise bench.task.Collapsed where there is no answer")
    for view, pose in fit.poses.items():
        _demand(bool(np.isfinite(pose).all()), f"the pose of {view} is not finite")
        rotation = pose[:3, :3]
        off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        _demand(off < 1e-4, f"the pose of {view} is not a rotation: R R^T is off the identity by {off:.1e}")
        _demand(np.linalg.det(rotation) > 0, f"the pose of {view} is a reflection")
        _demand(np.allclose(pose[3], [0, 0, 0, 1]), f"the last row of the pose of {view} is not 0 0 0 1")


def _repeats(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    _demand(second["status"] == "done", f"the second fit ended otherwise: {second['status']}: {second.get('reason')}")
    one, other = first["sha256"], second["sha256"]
    differing = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    _demand(not differing, f"{', '.join(differing[:3])} differ between two fits: draw from job.seed alone")


def _saved(folder: Path) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    _demand(bool(files), "save wrote nothing into its folder, so there is nothing that load could read")
    for path in files:
        _demand(not _is_pickle(path), f"{path.name} is a pickle: write npz, safetensors or JSON")


def _is_pickle(path: Path) -> bool:
    """A pickle of protocol 2 or later, by its first bytes, or what torch.save makes of one."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    with path.open("rb") as file:
        head = file.read(2)
    return len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _loads(made: Method, folder: Path) -> Field:
    field = made.load(folder, "cpu")
    _demand(isinstance(field, Field), f"load returned {field!r}, which has no render(poses, camera)")
    assert isinstance(field, Field)
    return field


def _renders(field: Field, fit: Fit, capture: Capture, scene: Scene) -> None:
    camera = fit.camera or scene.truth.camera
    poses = np.stack(list(fit.poses.values())[:2])
    made = field.render(poses, camera)
    _demand(isinstance(made, Rendering), f"render returned {type(made).__name__}, must be bench.task.Rendering")
    size = (len(poses), camera.height, camera.width)
    for name, image, shape in (
        ("rgb", made.rgb, (*size, capture.shape[2])), ("depth", made.depth, size), ("opacity", made.opacity, size),
    ):  # fmt: skip
        _demand(image.shape == shape, f"{name} has shape {image.shape}, must be {shape}")
        _demand(image.dtype == np.float32, f"{name} has type {image.dtype}, must be float32")
        _demand(bool(np.isfinite(image).all()), f"{name} is not finite")
    for name, image in (("rgb", made.rgb), ("opacity", made.opacity)):
        _demand(image.min() >= -1e-4 and image.max() <= 1 + 1e-4, f"{name} leaves [0, 1]")


def _registers(field: RegisteringField, fit: Fit, capture: Capture, scene: Scene) -> None:
    images = np.stack(list(capture.images.values())[:2])
    poses = field.register(images, fit.camera or scene.truth.camera, 0)
    _demand(np.shape(poses) == (2, 4, 4), f"register returned shape {np.shape(poses)} for 2 images, must be (2, 4, 4)")


def _gradients(field: DifferentiableField, fit: Fit) -> None:
    import torch

    pose = next(iter(fit.poses.values()))
    origins = torch.tensor(pose[:3, 3], dtype=torch.float32).repeat(8, 1).requires_grad_()
    spread = torch.linspace(-0.05, 0.05, 8)[:, None] * torch.tensor(pose[:3, 0], dtype=torch.float32)
    directions = torch.nn.functional.normalize(torch.tensor(pose[:3, 2], dtype=torch.float32) + spread, dim=-1)
    directions.requires_grad_()
    field.render_rays(origins, directions).square().sum().backward()
    for name, leaf in (("origins", origins), ("directions", directions)):
        _demand(leaf.grad is not None and bool(torch.isfinite(leaf.grad).all()), f"no finite gradient reaches {name}")
        _demand(leaf.grad is not None and float(leaf.grad.abs().sum()) > 0, f"the gradient to {name} is zero")
