"""Clauses of the contract that need the method itself, tried where it lives: `unposed check` asks a worker for them."""

from __future__ import annotations

import dataclasses
import json
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np

from bench.files import read_arrays
from bench.matrix.method_class import made
from bench.matrix.method_config import is_model, option_names, restored, whole, with_config
from bench.runner import worker_io
from bench.task import Camera, DifferentiableField, Field, Method, RasterisedField, RegisteringField, Rendering

HEAVY = ("torch", "numba", "mlflow")


class BrokenContract(Exception):  # noqa: N818 - reads as what it says
    """A clause does not hold: what is wrong, for the method's author."""


def fault_of(clause: Callable[[], None]) -> str | None:
    """What is wrong with it, whatever it raises; None where it holds."""
    try:
        clause()
    except BrokenContract as broken:
        return str(broken)
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything; its author is told
        return f"{type(error).__name__}: {error}"
    return None


def demand(holds: bool, fault: str) -> None:
    """Raises BrokenContract."""
    if not holds:
        raise BrokenContract(fault)


def examine(folder: Path) -> dict[str, Any]:
    """Clauses about the class and its config: [clause, fault or None] each, in order."""
    request = worker_io.read_request(folder)
    method = made(request["method"], request["config"])
    heavy = [name for name in HEAVY if name in sys.modules]
    clauses: list[tuple[str, Callable[[], None]]] = [
        ("its config is frozen and refuses unknown options", lambda: _config(method)),
        ("it keeps the config that it is made with, and so does a file", lambda: _keeps(method)),
        ("listing it imports neither torch nor numba", lambda: _light(heavy)),
    ]
    return {"status": "done", "clauses": [(name, fault_of(clause)) for name, clause in clauses]}


def examine_field(folder: Path) -> dict[str, Any]:
    """Clauses about the field that a fit saved, `in/field`, asked from `poses` (2, 4, 4) and for the `images`
    (2, H, W, C) of views.npz."""
    request = worker_io.read_request(folder)
    method, views = made(request["method"], request["config"]), read_arrays(folder / "in" / "views.npz")
    camera, poses, images = Camera(**request["camera"]), views["poses"], views["images"]
    loaded: list[Field] = []
    said = [("it loads the field that it saved", fault_of(lambda: loaded.append(_loads(method, folder))))]
    for field in loaded:
        fault = fault_of(lambda field=field: _renders(field, poses, camera, images.shape[3]))
        said.append(("its renders have the promised shapes and ranges", fault))
        if isinstance(field, DifferentiableField):
            said.append(
                ("its colours carry gradients to the rays", fault_of(lambda field=field: _gradients(field, poses[0])))
            )
        elif isinstance(field, RasterisedField):
            fault = fault_of(lambda field=field: _pose_gradients(field, poses, camera, images.shape[3]))
            said.append(("its pixels carry gradients to the poses", fault))
        if isinstance(field, RegisteringField):
            said.append(("it registers new images", fault_of(lambda field=field: _registers(field, images, camera))))
    return {"status": "done", "clauses": said}


def _config(method: Method) -> None:
    kind = getattr(type(method), "Config", None)
    if kind is None:
        return
    if is_model(kind):
        settings = kind.model_config
        holds = settings.get("extra") == "forbid" and bool(settings.get("frozen"))
        demand(holds, 'Config needs model_config = ConfigDict(extra="forbid", frozen=True)')
    else:
        demand(kind.__dataclass_params__.frozen, "Config needs @dataclass(frozen=True)")


def _keeps(method: Method) -> None:
    """An option that changes nothing is a number that was measured with another one."""
    kind = type(method)
    if getattr(kind, "Config", None) is None:
        return
    for config in filter(None, (method.config, _changed(method.config))):
        wanted = whole(config)
        for how, found in (
            ("made with it", with_config(kind, config).config),
            ("read from JSON", restored(kind, json.loads(json.dumps(wanted)))),
        ):
            lost = [name for name, value in whole(found).items() if wanted.get(name) != value]
            demand(not lost, f"{how}, {lost[0] if lost else ''} is not what the config says")


def _changed(config: Any) -> Any:
    """The same config with one value changed, or None where no value is of a kind that can be."""
    hints = typing.get_type_hints(type(config)) if not is_model(type(config)) else {}
    for name in option_names(type(config)):
        match getattr(config, name):
            case bool(value):
                others: tuple[Any, ...] = (not value,)
            case int(value) | float(value):
                others = (value + 1, value / 2)
            case value:
                annotation = hints.get(name) or type(config).model_fields[name].annotation
                others = tuple(other for other in get_args(annotation) if isinstance(other, str) and other != value)
        for other in others:
            try:
                if is_model(type(config)):
                    return type(config).model_validate({**config.model_dump(), name: other})
                return dataclasses.replace(config, **{name: other})
            except ValueError:  # pydantic's is one
                continue
    return None


def _light(heavy: list[str]) -> None:
    demand(not heavy, f"importing it imports {' and '.join(heavy)}: import them inside fit and load")


def _loads(method: Method, folder: Path) -> Field:
    field = method.load(folder / "in" / "field", "cpu")
    demand(isinstance(field, Field), f"load returned {field!r}, which has no render(poses, camera)")
    assert isinstance(field, Field)
    return field


def _renders(field: Field, poses: np.ndarray, camera: Camera, channels: int) -> None:
    seen = field.render(poses, camera)
    demand(isinstance(seen, Rendering), f"render returned {type(seen).__name__}, must be bench.task.Rendering")
    size = (len(poses), camera.height, camera.width)
    for name, image, shape in (
        ("rgb", seen.rgb, (*size, channels)), ("depth", seen.depth, size), ("opacity", seen.opacity, size),
    ):  # fmt: skip
        demand(image.shape == shape, f"{name} has shape {image.shape}, must be {shape}")
        demand(image.dtype == np.float32, f"{name} has type {image.dtype}, must be float32")
        demand(bool(np.isfinite(image).all()), f"{name} is not finite")
    for name, image in (("rgb", seen.rgb), ("opacity", seen.opacity)):
        demand(image.min() >= -1e-4 and image.max() <= 1 + 1e-4, f"{name} leaves [0, 1]")


def _registers(field: RegisteringField, images: np.ndarray, camera: Camera) -> None:
    poses = field.register(images, camera, 0)
    demand(np.shape(poses) == (2, 4, 4), f"register returned shape {np.shape(poses)} for 2 images, must be (2, 4, 4)")


def _gradients(field: DifferentiableField, pose: np.ndarray) -> None:
    import torch

    origins = torch.tensor(pose[:3, 3], dtype=torch.float32).repeat(8, 1).requires_grad_()
    spread = torch.linspace(-0.05, 0.05, 8)[:, None] * torch.tensor(pose[:3, 0], dtype=torch.float32)
    directions = torch.nn.functional.normalize(torch.tensor(pose[:3, 2], dtype=torch.float32) + spread, dim=-1)
    directions.requires_grad_()
    field.render_rays(origins, directions).square().sum().backward()
    for name, leaf in (("origins", origins), ("directions", directions)):
        demand(leaf.grad is not None and bool(torch.isfinite(leaf.grad).all()), f"no finite gradient reaches {name}")
        demand(leaf.grad is not None and float(leaf.grad.abs().sum()) > 0, f"the gradient to {name} is zero")


def _pose_gradients(field: RasterisedField, poses: np.ndarray, camera: Camera, channels: int) -> None:
    import torch

    leaf = torch.tensor(poses, dtype=torch.float32).requires_grad_()
    pixels = torch.linspace(0, camera.width * camera.height - 1, 64).long().expand(len(poses), -1)
    seen = field.render_pixels(leaf, camera, pixels)
    shape = (*pixels.shape, channels)
    demand(seen.shape == shape, f"render_pixels returned shape {tuple(seen.shape)}, must be {shape}")
    seen.square().sum().backward()
    demand(leaf.grad is not None and bool(torch.isfinite(leaf.grad).all()), "no finite gradient reaches the poses")
    demand(leaf.grad is not None and float(leaf.grad.abs().sum()) > 0, "the gradient to the poses is zero")
    drawn = field.render(poses, camera).rgb.reshape(len(poses), -1, channels)
    off = float(np.abs(drawn[np.arange(len(poses))[:, None], pixels.numpy()] - seen.detach().cpu().numpy()).max())
    demand(off < 1e-2, f"render_pixels and render differ by up to {off:.2g}")
