"""Checks everything that can be checked before an hour of training: one line each, with what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import psutil

from bench.matrix.registry import find_method, method_refs, scene_sources
from bench.runner import device_steps
from bench.runner.devices import CUDA
from bench.runner.executors import isolation
from bench.runner.provenance import cpu_count


@dataclass(frozen=True, kw_only=True)
class Finding:
    level: Literal["ok", "note", "problem"]
    subject: str
    text: str


def examine(*, roots: Sequence[Path], out: Path, lpips: Path | None) -> Iterator[Finding]:
    """All checks, each on its own: one that breaks is itself a finding."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python, _isolation, _torch, _devices, _names, lambda: _lpips(lpips), _methods, lambda: _scenes(roots),
        lambda: _disk(out),
    ]  # fmt: skip
    for check in checks:
        try:
            yield from check()
        except Exception as error:  # noqa: BLE001 - a broken check is a finding
            yield Finding(level="problem", subject="doctor", text=f"{type(error).__name__}: {error}")


def _python() -> Iterator[Finding]:
    level = "ok" if sys.version_info >= (3, 11) else "problem"
    yield Finding(level=level, subject="python", text=f"{platform.python_version()} at {sys.executable} (needs 3.11+)")
    memory = psutil.virtual_memory()
    text = f"{cpu_count()} CPUs, {memory.total / 2**30:.0f} GB memory, {memory.available / 2**30:.0f} GB free"
    yield Finding(level="ok" if memory.available > 3 * 2**30 else "note", subject="machine", text=text)


def _isolation() -> Iterator[Finding]:
    standing = isolation.wall()
    text = f"{standing}: {isolation.MEANING[standing]}"
    yield Finding(level="note" if standing == "none" else "ok", subject="isolation", text=text)


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding(level="ok", subject="torch", text=f"{torch.__version__}, {torch.get_num_threads()} threads")


def _devices() -> Iterator[Finding]:
    for seen in device_steps.look():
        is_none = seen.fine and seen.device == CUDA
        level = "note" if is_none else "ok" if seen.fine else "problem"
        yield Finding(level=level, subject=seen.device, text=seen.text)


def _names() -> Iterator[Finding]:
    """Our folders are import packages called bench, methods, datasets and reports: others may be, too."""
    tree = Path(__file__).resolve().parents[2]
    for name in ("bench", "methods", "datasets", "reports"):
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin) if spec and spec.origin else None
        if origin is None or not origin.resolve().is_relative_to(tree):
            yield Finding(level="problem", subject=name, text=f"`import {name}` finds {origin}, not Unposed's; {_CURE}")
    try:
        text = f"Hugging Face's `datasets` {version('datasets')} is installed and has the name of our package; {_CURE}"
        yield Finding(level="problem", subject="datasets", text=text)
    except PackageNotFoundError:
        yield Finding(
            level="ok", subject="names", text="no other package is called bench, methods, datasets or reports"
        )


_CURE = "install Unposed into an environment of its own (`make setup` does)"


def _lpips(path: Path | None) -> Iterator[Finding]:
    from bench.judge.lpips import Lpips

    found = Lpips.find(path)
    if isinstance(found, Lpips):
        yield Finding(
            level="ok", subject="lpips", text=f"alex, backbone sha256 {found.provenance['backbone_sha256'][:12]}"
        )
    else:
        yield Finding(level="note", subject="lpips", text=f"nvs/*/lpips_alex will be absent: {found}")


def _methods() -> Iterator[Finding]:
    for name in method_refs():
        try:
            method = find_method(name)
        except ValueError as error:
            yield Finding(level="problem", subject=name, text=str(error))
        else:
            yield Finding(level="ok", subject=name, text=method.method.summary)


def _scenes(roots: Sequence[Path]) -> Iterator[Finding]:
    sources = scene_sources(tuple(roots)).values()
    here = [source.name for source in sources if not source.missing]
    yield Finding(level="ok" if here else "problem", subject="scenes", text=f"{len(here)} here: {', '.join(here)}")
    if not roots:
        yield Finding(level="note", subject="data", text="no data root: --data FOLDER or UNPOSED_DATA adds real scenes")
    for root in roots:
        if not root.is_dir():
            yield Finding(level="problem", subject="data", text=f"{root} is not a folder")


def _disk(out: Path) -> Iterator[Finding]:
    place = next(folder for folder in (out.resolve(), *out.resolve().parents) if folder.exists())
    free = shutil.disk_usage(place).free / 2**30
    level = "ok" if free > 5 and os.access(place, os.W_OK) else "problem"
    yield Finding(level=level, subject="disk", text=f"{free:.0f} GB free at {place} (a cell takes 10 to 200 MB)")
