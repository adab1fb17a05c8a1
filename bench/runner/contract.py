"""What every method must hold to, tried on a tiny scene through the real worker: `unposed check METHOD`."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.cell import Cell
from bench.degrade import parse
from bench.degrade.initial_poses import generator_of, perturbed
from bench.degrade.views import showing
from bench.files import write_arrays
from bench.matrix.interpreter import interpreter
from bench.matrix.plan import Planned
from bench.matrix.registry import ConfiguredMethod, find_method, find_scene
from bench.matrix.selection import under
from bench.poses_io.convention_check import mistaken
from bench.poses_io.saved_fit import read_fit
from bench.regime import SIDE
from bench.runner import worker_io
from bench.runner.executors.base import Request, Verb
from bench.runner.executors.local import LocalExecutor
from bench.runner.fit_client import request_fit
from bench.runner.method_probe import code_of
from bench.runner.provenance import cpu_count
from bench.runner.worker.clauses import demand, fault_of
from bench.scene import Scene
from bench.task import METHOD_NAME, Capture, Estimate, Fit

DEVICE = "cpu"
"""Where it is tried."""

LIMIT = 300.0
"""Wall seconds in which a worker answers for a class or a field."""

VIEWS = 24
"""Views of the tiny scene: enough for structure from motion, few enough for seconds."""


Clause = tuple[str, str | None]
"""What is demanded, and what is wrong with it, or None."""


def examine(label: str, *, scene: str = "blocks", limit: float = 120.0, python: str | None = None) -> Iterator[Clause]:
    """Clauses of the contract in order, each with its fault or None. Later ones rest on earlier ones. `python` is the
    interpreter of another environment, for a method given by its path.

    Raises ValueError where that cannot be used.
    """
    label = label if python is None else under(python, [label])[0]
    try:
        method = find_method(label)
    except ValueError as error:
        if python is not None:
            interpreter(python)  # whose fault is none of the method's
        yield "it can be found, imported and configured", str(error)
        return
    needed = method.method.traits.accelerator
    lacking = method.lacking or (needed and needed.lack(DEVICE))
    yield "it can be found, imported and configured", lacking
    if lacking:
        return
    yield "it declares name, version, summary and traits", fault_of(lambda: _declares(method))
    with tempfile.TemporaryDirectory() as folder:
        yield from _asked("examine", method, Path(folder) / "class", {})
        yield from _fitted(method, small(find_scene(scene, ()).load(SIDE["smoke"])), Path(folder), limit)


def small(scene: Scene, views: int = VIEWS) -> Scene:
    """The same scene with its first training views only."""
    ids = list(scene.capture.images)[:views]
    return replace(scene, capture=showing(scene.capture, ids), truth=scene.truth.only(ids))


def _asked(
    verb: Verb, method: ConfiguredMethod, folder: Path, request: Mapping[str, Any], **inputs: Path
) -> Iterator[Clause]:
    """The clauses that a worker of this method answers for; `folder` holds what it is given beside its request."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    worker_io.write_request(folder, {"method": asdict(method.ref), "config": method.config, **request})
    executor = LocalExecutor(threads=cpu_count())
    end = executor.run(Request(verb=verb, folder=folder, code=code_of(method.ref), limit=LIMIT, inputs=inputs))
    said = worker_io.read_outcome(folder)
    if said is None or said["status"] != "done":
        yield "its worker answers for it", str(said["reason"] if said else end.reason)
        return
    yield from ((name, fault) for name, fault in said["clauses"])


def _fitted(method: ConfiguredMethod, scene: Scene, folder: Path, limit: float) -> Iterator[tuple[str, str | None]]:
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
    yield "its poses are rigid motions of views that it was shown", fault_of(lambda: _poses(fit))
    yield "its poses are world_from_camera in OpenCV axes", mistaken(fit.poses, scene.truth.poses)
    second = _request(method, capture, folder / "second", limit)
    yield "the same seed gives the same answer", fault_of(lambda: _repeats(first, second))
    if not first["field"]:
        return
    saved = fit_folder / "field"
    yield "what it saves is not empty and holds no pickle", fault_of(lambda: _saved(saved))
    views = {
        "poses": np.stack(list(fit.poses.values())[:2]), "images": np.stack(list(capture.images.values())[:2]),
    }  # fmt: skip
    write_arrays(_made(folder / "field" / "in") / "views.npz", views)
    camera = asdict(fit.camera or scene.truth.camera)
    yield from _asked("examine_field", method, folder / "field", {"camera": camera}, field=saved)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _request(method: ConfiguredMethod, capture: Capture, folder: Path, limit: float) -> dict[str, Any]:
    planned = Planned(
        cell=Cell(scene="contract", degradation="clean", method=method.label, seed=0, effort="smoke"),
        source=find_scene("blocks", ()),
        degradation=parse("clean"),
        method=method,
    )
    executor = LocalExecutor(threads=cpu_count())
    folder.mkdir()
    return request_fit(planned, capture, folder, executor, fit="contract", limit=limit, device=DEVICE, retries=0)


def _declares(method: ConfiguredMethod) -> None:
    made = method.method
    registered = made.name if method.ref.file else method.ref.name
    demand(registered == made.name, f"its entry point calls it {registered!r}, and it calls itself {made.name!r}")
    demand(
        bool(METHOD_NAME.fullmatch(made.name)), f"name {made.name!r} must be lower-case letters, digits, underscores"
    )
    demand(isinstance(made.version, str) and bool(made.version), f"version must be a text, not {made.version!r}")
    demand(
        isinstance(made.summary, str) and made.summary.count("\n") == 0 < len(made.summary), "summary must be one line"
    )


def _poses(fit: Fit) -> None:
    demand(bool(fit.poses), "it returned no pose at all: raise bench.task.Collapsed where there is no answer")
    for view, pose in fit.poses.items():
        demand(bool(np.isfinite(pose).all()), f"the pose of {view} is not finite")
        rotation = pose[:3, :3]
        off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        demand(off < 1e-4, f"the pose of {view} is not a rotation: R R^T is off the identity by {off:.1e}")
        demand(np.linalg.det(rotation) > 0, f"the pose of {view} is a reflection")
        demand(np.allclose(pose[3], [0, 0, 0, 1]), f"the last row of the pose of {view} is not 0 0 0 1")


def _repeats(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    demand(second["status"] == "done", f"the second fit ended otherwise: {second['status']}: {second.get('reason')}")
    one, other = first["sha256"], second["sha256"]
    differing = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    demand(not differing, f"{', '.join(differing[:3])} differ between two fits: draw from job.seed alone")


def _saved(folder: Path) -> None:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    demand(bool(files), "save wrote nothing into its folder, so there is nothing that load could read")
    for path in files:
        demand(not _is_pickle(path), f"{path.name} is a pickle: write npz, safetensors or JSON")


def _is_pickle(path: Path) -> bool:
    """A pickle of protocol 2 or later, by its first bytes, or what torch.save makes of one."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    with path.open("rb") as file:
        head = file.read(2)
    return len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5
