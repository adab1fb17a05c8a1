"""A device of torch's that pretends: tensors on `card:0` lie in the CPU's memory, and are refused beside the CPU's as
CUDA refuses them. So what a method asks of a GPU can be seen where there is none: whether it ever mixes devices, and
where it waits for the card (every value read back is a wait).

A script, for torch takes one device of this kind a process, before its first gradient:

    python tests/methods/pretend_card.py 'nerf[steps=40]' 32 8 [--open]

fits that method to 8 views of `blocks`, 32 px wide, on the card, saves the field, loads it there, renders, refines and
registers, and prints a JSON object: `waits` and `copies` of the fit, by line of code; `poses` and `rgb`.
`--on cpu` does the same on the CPU.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "card"
DEVICE = f"{NAME}:0"
TREE = Path(__file__).parents[2]

aten = torch.ops.aten
READS = {
    aten._local_scalar_dense.default, aten.nonzero.default, aten.masked_select.default, aten.equal.default,
    aten.is_nonzero.default, aten._unique2.default, aten.unique_consecutive.default,
}  # fmt: skip
"""What cannot be answered before the card has done all that it was asked before."""

INDEXES = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
"""What takes indices from the CPU, too."""

waits: Counter[str] = Counter()
copies: Counter[str] = Counter()


class OnCard(torch.Tensor):
    """A tensor there; `inner` has its values."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> OnCard:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, inner.size(), strides=inner.stride(), storage_offset=inner.storage_offset(), dtype=inner.dtype,
            layout=inner.layout, device=torch.device(DEVICE),
        )  # fmt: skip

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnCard({self.inner})"

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    # what torch does for its own classes alone
    def tolist(self):
        _note(waits, "tolist")
        return self.inner.tolist()

    def new_tensor(self, data, dtype=None, device=None):
        return _tensor(data, dtype=dtype or self.dtype, device=device or DEVICE)

    def __getitem__(self, index):
        return torch.Tensor.__getitem__(self, _uploaded(index))

    def __setitem__(self, index, value):
        torch.Tensor.__setitem__(self, _uploaded(index), value)


def _uploaded(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_uploaded, index))
    return _tensor(np.asarray(index), device=DEVICE) if isinstance(index, list | np.ndarray) else index


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """One operation, where one of its tensors or its result is on the card."""
    flat, shape = tree_flatten((args, kwargs))
    there = [value for value in flat if isinstance(value, OnCard)]
    here = [value for value in flat if isinstance(value, torch.Tensor) and not isinstance(value, OnCard)]
    inner_args, inner_kwargs = tree_unflatten([_inner(value) for value in flat], shape)
    if func is aten.copy_.default:
        to, source = args[:2]
        if isinstance(to, OnCard) != isinstance(source, OnCard):
            _note(waits if isinstance(source, OnCard) else copies, "copy_")
        _inner(to).copy_(_inner(source))
        return to
    device = kwargs.get("device")
    goes = torch.device(device).type == NAME if device is not None else bool(there)
    if device is not None:
        inner_kwargs = {**inner_kwargs, "device": "cpu"}
    if func is aten._to_copy.default:
        made = func(*inner_args, **inner_kwargs)
        if goes != bool(there):
            _note(copies if goes else waits, "to")
        return OnCard(made) if goes else made
    _refuse_mixed(func, args, there, here)
    if func in READS or (func in INDEXES and any(_is_mask(each) for each in tree_flatten(args[1])[0])):
        _note(waits, str(func))
    made = func(*inner_args, **inner_kwargs)
    if isinstance(made, bool | int | float) or not goes:
        return made
    made = tree_map(lambda value: OnCard(value) if type(value) is torch.Tensor else value, made)
    made = return_and_correct_aliasing(func, args, kwargs, made) if there else made
    for each in there:
        assert each.size() == each.inner.size(), f"{func} resized a tensor, which this card cannot"
    return made


def _refuse_mixed(func: Any, args: Any, there: list[OnCard], here: list[torch.Tensor]) -> None:
    here = [value for value in here if value.dim() > 0]  # a single number may come from the CPU
    if not there or not here:
        return
    if func in INDEXES and isinstance(args[0], OnCard):
        _note(copies, "index")
        return
    sizes = [f"{tuple(value.shape)} on {value.device}" for value in (*there, *here)]
    raise RuntimeError(f"{func}: tensors of two devices: {', '.join(sizes)}")


def _is_mask(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.bool, torch.uint8)


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, OnCard) else value


def _note(counter: Counter[str], what: str) -> None:
    """Count it by the innermost line of this project's."""
    for frame in reversed(traceback.extract_stack()):
        path = Path(frame.filename)
        if path.is_relative_to(TREE / "methods") or path.is_relative_to(TREE / "bench"):
            counter[f"{path.relative_to(TREE)}:{frame.lineno}: {frame.line} ({what})"] += 1
            return


class _Module:
    """What torch asks of a device's module."""

    current_device = staticmethod(lambda: 0)
    device_count = staticmethod(lambda: 1)
    is_available = is_initialized = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda seed: None)


def _tensor(data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> torch.Tensor:
    """torch.tensor, which cannot make one for a device written in Python."""
    made = _torch_tensor(_inner(data), dtype=dtype)
    made = made if device is None else made.to(device)
    return made.requires_grad_() if requires_grad else made


def _made_there(make: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """`make`, which makes its tensor empty and then has it resized."""

    def made(*args: Any, device: Any = None, **kwargs: Any) -> torch.Tensor:
        if device is None or torch.device(device).type != NAME:
            return make(*args, device=device, **kwargs)
        return OnCard(make(*args, **kwargs))

    return made


_torch_tensor = torch.as_tensor


def plug_in() -> None:
    """From here on torch knows the card."""
    _setup_privateuseone_for_python_backend(NAME, backend_module=_Module())
    library = torch.library.Library("_", "IMPL")  # for as long as the process lives
    library.fallback(lambda func, *args, **kwargs: _run(func, args, kwargs), "PrivateUse1")
    globals()["_library"] = library
    make = torch.tensor
    torch.tensor = lambda data, **how: _tensor(data, **how) if "device" in how else make(data, **how)  # type: ignore
    torch.as_tensor = _tensor  # type: ignore[assignment]
    for name in ("arange", "eye", "linspace", "logspace", "randperm"):
        setattr(torch, name, _made_there(getattr(torch, name)))


def lived(label: str, side: int, views: int, *, open_: bool, device: str) -> dict[str, Any]:
    """A fit of a method, and its field's life after it."""
    from bench.degrade.initial_poses import generator_of, perturbed
    from bench.judge.refine import refine
    from bench.matrix.method_class import made
    from bench.matrix.registry import find_method, find_scene
    from bench.runner.contract import small
    from bench.task import Estimate, Job, RegisteringField

    found, scene = find_method(label), small(find_scene("blocks", ()).load(side), views)
    truth = scene.truth
    capture = replace(
        scene.capture, start=truth.poses, exact=frozenset(truth.poses), estimate=Estimate(poses=truth.poses),
        background=None if open_ else scene.capture.background,
    )  # fmt: skip
    traits = found.method.traits
    capture = perturbed(capture, traits.start, generator_of(scene.name, 0)).only(traits.needs | traits.uses)
    method = made(asdict(found.ref), found.config)
    with tempfile.TemporaryDirectory() as place:
        work, kept = Path(place) / "work", Path(place) / "field"
        work.mkdir()
        kept.mkdir()
        fit = method.fit(capture, Job(seed=0, workdir=work, effort="smoke", device=device, seconds=3600))
        told = {"waits": dict(waits), "copies": dict(copies)}
        method.save(fit, kept)
        field = method.load(kept, device)
    camera, poses = fit.camera or truth.camera, np.stack(list(fit.poses.values()))[:2]
    images = truth.heldout.images[:2]
    refined = refine(
        field, poses, camera, images, columns="all", steps=5, rate=1e-3, rays=64, seed=0, unit=3.0, device=device
    )
    if isinstance(field, RegisteringField):
        poses = field.register(images, camera, seed=0)
    told["poses"] = np.concatenate([*fit.poses.values(), *refined, *poses]).tolist()
    told["rgb"] = field.render(refined, camera).rgb.tolist()
    return told


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("label")
    parser.add_argument("side", type=int)
    parser.add_argument("views", type=int)
    parser.add_argument("--open", action="store_true")
    parser.add_argument("--on", default=DEVICE)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.on == DEVICE:
        plug_in()
    from methods.gnerf import training_run
    from methods.nerf.training import checkpointing

    training_run.symptom = lambda *_, **__: None  # after so few iterations a field may well be fog
    checkpointing.LOG_SECONDS = checkpointing.CHECKPOINT_SECONDS = float("inf")  # which read back by the clock
    sys.stdout.write(json.dumps(lived(asked.label, asked.side, asked.views, open_=asked.open, device=asked.on)))


if __name__ == "__main__":
    sys.path.insert(0, str(TREE))
    main()
