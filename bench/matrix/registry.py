"""Where methods and scenes come from: entry points, files and folders. Light to list: never imports torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from bench.cell import join_label, split_label
from bench.matrix.interpreter import interpreter
from bench.matrix.method_ref import MethodDescription, MethodRef
from bench.matrix.names import BrokenMethod, UnknownName, nearest
from bench.matrix.sources import environment_of
from bench.matrix.weights import in_full, shown_with
from bench.scene import SceneError, SceneSource
from bench.task import METHOD_NAME

__all__ = [
    "BrokenMethod", "ConfiguredMethod", "MethodRef", "UnknownName", "find_method", "find_scene", "method_refs",
    "nearest", "open_scene", "scene_providers", "scene_sources",
]  # fmt: skip

WEIGHTS = "weights"
"""What the option is called with which a person names a folder that a method of ours reads."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ConfiguredMethod:
    """A method with its options read: what one column of the matrix runs."""

    ref: MethodRef
    label: str  # canonical: colmap_nerf[mapper=global]
    method: MethodDescription
    lacking: str | None = None  # what its other environment does not have
    packages: tuple[str, ...] = ()  # which it names there: those of its traits are of this one

    @property
    def config(self) -> Mapping[str, Any]:
        """The whole config as JSON, defaults included."""
        return self.method.config

    def environment(self) -> dict[str, str]:
        """What decides its answers in its other environment: versions, sources, weights; {} where it has none."""
        return environment_of(self.ref, self.packages, self.method.weights)


@lru_cache(maxsize=1)
def method_refs() -> dict[str, MethodRef]:
    """All installed methods, by name; nothing is imported."""
    found = {}
    for entry in entry_points(group="unposed.methods"):
        if not METHOD_NAME.fullmatch(entry.name):
            raise ValueError(
                f"method {entry.name!r}: a name is lower-case letters, digits and underscores, and not truth or shown"
            )
        if entry.name in found and found[entry.name].target != entry.value:
            raise ValueError(
                f"method {entry.name!r} is registered by both {found[entry.name].target} and {entry.value}"
            )
        found[entry.name] = MethodRef(name=entry.name, target=entry.value)
    return dict(sorted(found.items()))


def find_method(label: str) -> ConfiguredMethod:
    """`nerf`, `colmap_nerf[mapper=global]`, `path/to/method.py[option=1]` -> a configured method.

    `[python=/path/to/venv/bin/python]` names the environment in which a method given by its path runs; it is no part of
    the label, as the path is none. Raises UnknownName for a name or an option that nobody knows, ValueError for a value
    of the wrong kind.
    """
    name, options = split_label(label)
    python = options.pop("python", None)
    if is_path(name):
        ref = _ref_of_path(Path(name))
    elif name in method_refs():
        ref = method_refs()[name]
    else:
        raise UnknownName(f"no method named {name!r}" + nearest(name, method_refs()))
    if WEIGHTS in options and ref.is_shipped:
        options[WEIGHTS] = in_full(options[WEIGHTS])
        ref = replace(ref, shown=shown_with(options[WEIGHTS]))
    asked = dict(options)
    if python is not None:
        ref = replace(ref, python=interpreter(python).path)
        asked |= {} if ref.is_elsewhere else {"python": str(ref.python)}  # its own option, if it has one
    from bench.runner.method_probe import describe  # which needs what is said here

    description = describe(ref, name, join_label(name, asked))
    lacking = _lacking(ref.python, description, name, options)
    packages = description.traits.packages
    if ref.python or description.calls_python:  # its packages are not those of this environment
        description = replace(description, traits=replace(description.traits, packages=()))
    label = join_label(description.name, options)
    return ConfiguredMethod(ref=ref, label=label, method=description, lacking=lacking, packages=packages)


def _lacking(python: str | None, method: MethodDescription, name: str, options: Mapping[str, str]) -> str | None:
    """Why a method of another environment cannot run, as far as can be known without running it."""
    packages, how = method.traits.packages, method.traits.extra
    if not python:
        inner = join_label(name, {**options, "python": "/path/to/venv/bin/python"})
        needed = f"needs {' and '.join(packages)} in an environment of its own, as {inner}"
        return f"{needed}; to get it: {how}" if method.calls_python else None
    if not (absent := interpreter(python).absent(packages)):
        return None
    verb = "is" if len(absent) == 1 else "are"
    how = how or f"{python} -m pip install {' '.join(absent)}"
    return f"needs {' and '.join(absent)}, which {verb} not installed for {python}: {how}"


@lru_cache(maxsize=8)
def scene_sources(roots: tuple[Path, ...]) -> dict[str, SceneSource]:
    """All known scenes by name, the absent ones too. The first provider or root that has a name wins."""
    found: dict[str, SceneSource] = {}
    for provider in scene_providers():
        for source in provider.sources(roots):
            known = found.get(source.name)
            if known is None or (known.missing and not source.missing):
                found[source.name] = source
    return dict(sorted(found.items()))


@lru_cache(maxsize=1)
def scene_providers() -> tuple[Any, ...]:
    """What the entry points of `unposed.scenes` name (see bench.scene.SceneProvider)."""
    found = []
    for entry in sorted(entry_points(group="unposed.scenes"), key=lambda entry: entry.name):
        try:
            found.append(entry.load())
        except Exception as error:  # noqa: BLE001 - a stranger's broken wheel must not hide everyone's scenes
            _log.warning("scenes of %s are missing: %s: %s", entry.value, type(error).__name__, error)
    return tuple(found)


def find_scene(name: str, roots: Sequence[Path]) -> SceneSource:
    """A scene by its name, or by any folder's path. Raises UnknownName or SceneError."""
    sources = scene_sources(tuple(roots))
    if name in sources:
        return sources[name]
    if Path(name).is_dir():
        return open_scene(Path(name))
    if ".." in Path(name).parts:
        raise SceneError(f"scene {name!r}: '..' is not allowed in a scene's name, and no folder has this path")
    raise UnknownName(f"no scene named {name!r}" + nearest(name, sources))


def open_scene(folder: Path, name: str | None = None) -> SceneSource:
    """The scene in any folder, called `name`, or after the folder. Raises SceneError."""
    for provider in scene_providers():
        if hasattr(provider, "open_folder"):
            return provider.open_folder(folder, name)
    raise SceneError(f"{folder}: no provider of scenes that reads folders is installed")


def is_path(name: str) -> bool:
    """Whether a method of this name is given by its path."""
    return name.endswith(".py") or "/" in name or Path(name).is_dir()


def _ref_of_path(path: Path) -> MethodRef:
    file = path / "method.py" if path.is_dir() else path
    if not file.is_file():
        raise UnknownName(f"no method at {path}: there is no file {file}")
    return MethodRef(name=file.stem, target="", file=str(file.resolve()))
