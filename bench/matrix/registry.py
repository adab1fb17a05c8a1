"""Where methods and scenes come from: entry points, files and folders. Light to list: never imports torch."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError, create_model

from bench.cell import join_label, split_label
from bench.matrix.code_digest import code_digests, libraries, module_path
from bench.scene import SceneError, SceneSource
from bench.task import METHOD_NAME, Method, Traits

VERBS = ("fit", "save", "load")

_log = logging.getLogger(__name__)


class UnknownName(ValueError):  # noqa: N818 - reads as what it says
    """A name that no scene, method or option has: the message lists the nearest known ones."""


class BrokenMethod(ValueError):  # noqa: N818 - reads as what it says
    """A method is installed and cannot be imported."""


@dataclass(frozen=True, kw_only=True)
class MethodRef:
    """A method that can be named to a worker process: `module:Class`, and the file it came from if it is a path."""

    name: str
    target: str  # "methods.nerf.method:Nerf"
    file: str | None = None  # set for `-m path/to/method.py`

    def load(self) -> type[Method]:
        """The class. Raises ImportError or AttributeError as the plugin does."""
        module_name, _, attribute = self.target.partition(":")
        module = _import_file(Path(self.file)) if self.file else importlib.import_module(module_name)
        return getattr(module, attribute) if attribute else _only_method(module)

    def code(self) -> dict[str, str]:
        """Digests of its own modules (see bench.matrix.code_digest)."""
        return code_digests(self.source)

    def libraries(self) -> frozenset[str]:
        """Top-level names of the third-party packages that these modules import."""
        return libraries(self.source)

    @property
    def source(self) -> Path:
        """The file of its module."""
        return Path(self.file) if self.file else module_path(self.target.partition(":")[0])


@dataclass(frozen=True, kw_only=True)
class ConfiguredMethod:
    """A method with its options read: what one column of the matrix runs."""

    ref: MethodRef
    label: str  # canonical: colmap_nerf[mapper=global]
    method: Method

    @property
    def config(self) -> dict[str, Any]:
        return self.method.config.model_dump(mode="json")


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

    Raises UnknownName for a name or an option that nobody knows, ValueError for a value of the wrong kind.
    """
    name, options = split_label(label)
    if name.endswith(".py") or "/" in name or Path(name).is_dir():
        ref = _ref_of_path(Path(name))
    elif name in method_refs():
        ref = method_refs()[name]
    else:
        raise UnknownName(f"no method named {name!r}" + nearest(name, method_refs()))
    try:
        kind = ref.load()
    except Exception as error:
        raise BrokenMethod(f"method {name!r} cannot be imported: {_brief(error)}") from error
    _is_method(kind, name)
    config = configured(kind, name, options)
    try:
        method = kind(config)
        _can_be_asked(method, name)
    except BrokenMethod:
        raise
    except Exception as error:
        raise BrokenMethod(f"method {name!r} cannot be made: {_brief(error)}") from error
    return ConfiguredMethod(ref=ref, label=join_label(kind.name, options), method=method)


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _is_method(kind: type[Method], name: str) -> None:
    """Raises BrokenMethod where the class is not one of a method (see bench.task.Method)."""
    if missing := [part for part in ("name", "version", "summary", "Config", *VERBS) if not hasattr(kind, part)]:
        raise BrokenMethod(f"method {name!r}: its class has no {', '.join(missing)}; bench/task.py has the whole list")
    if not (isinstance(kind.Config, type) and issubclass(kind.Config, BaseModel)):
        raise BrokenMethod(f"method {name!r}: its Config is no pydantic model")


def _can_be_asked(method: Method, name: str) -> None:
    """Raises BrokenMethod where it does not say what it needs, or what it is set to."""
    for part, kind in (("traits", Traits), ("config", BaseModel)):
        found = getattr(method, part, None)
        if found is None:
            raise BrokenMethod(f"method {name!r}: an instance of it has no {part}")
        if not isinstance(found, kind):
            raise BrokenMethod(f"method {name!r}: its {part} must be {kind.__name__}, not {type(found).__name__}")


def configured(kind: type[Method], name: str, options: Mapping[str, str]) -> BaseModel:
    """The defaults of `kind`, the method `name`, with some of them overridden: `field=mlp`, `grid.quick.b=400`.

    Dots reach into a nested model and leave the rest of it as it is. Raises UnknownName, ValueError.
    """
    flat = {option: value for option, value in options.items() if "." not in option}
    _known(name, flat, kind.Config)
    try:
        config = kind.Config.model_validate_strings(flat)
        data = config.model_dump()
        for option in sorted(set(options) - set(flat)):
            model, place = config, data
            *path, leaf = option.split(".")
            for part in path:
                _known(name, {part: ""}, type(model))
                inner = getattr(model, part)
                if not isinstance(inner, BaseModel):
                    raise UnknownName(f"method {name!r}: option {part!r} has no parts, so {option!r} means nothing")
                model, place = inner, place[part]
            _known(name, {leaf: ""}, type(model))
            field = type(model).model_fields[leaf]
            alone: Any = create_model("Alone", **{leaf: (field.annotation, field)})  # type: ignore[call-overload]  # named at run time
            place[leaf] = getattr(alone.model_validate_strings({leaf: options[option]}), leaf)
        return kind.Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        message = first["msg"][0].lower() + first["msg"][1:]
        raise ValueError(f"method {name!r}: {where}={first['input']!r}: {message}") from error


def _known(method: str, options: Iterable[str], kind: type[BaseModel]) -> None:
    for option in options:
        if option not in kind.model_fields:
            raise UnknownName(f"method {method!r} has no option {option!r}" + nearest(option, kind.model_fields))


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
        for provider in scene_providers():
            if hasattr(provider, "open_folder"):
                return provider.open_folder(Path(name))
    if ".." in Path(name).parts:
        raise SceneError(f"scene {name!r}: '..' is not allowed in a scene's name, and no folder has this path")
    raise UnknownName(f"no scene named {name!r}" + nearest(name, sources))


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a refusal: the known names that `name` may have been meant for, or all of them."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(close) + "?"
    return "; known are " + ", ".join(known) if known else "; none are known"


def _ref_of_path(path: Path) -> MethodRef:
    file = path / "method.py" if path.is_dir() else path
    if not file.is_file():
        raise UnknownName(f"no method at {path}: there is no file {file}")
    return MethodRef(name=file.stem, target="", file=str(file.resolve()))


def _import_file(file: Path) -> ModuleType:
    """Import a method from its file; its folder joins the path, so that it can import what lies beside it."""
    name = f"unposed_method_{file.parent.name}_{file.stem}"
    if name in sys.modules and sys.modules[name].__file__ == str(file):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _only_method(module: ModuleType) -> type[Method]:
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and hasattr(value, "Config")
        and hasattr(value, "fit")
    ]
    if len(own) != 1:
        names = ", ".join(value.__name__ for value in own) or "none"
        raise ImportError(f"{module.__file__} must define exactly one class with Config and fit, found {names}")
    return own[0]
