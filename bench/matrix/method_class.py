"""A method's class, imported: only in processes that judge nothing, for what is imported can change all that is there.

The judge knows a method by its description (see bench.runner.method_probe), which a worker gives.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.matrix.method_config import config_of, is_model, is_plain, restored, with_config
from bench.matrix.method_ref import MethodRef
from bench.matrix.names import BrokenMethod
from bench.task import Method, Traits

VERBS = ("fit", "save", "load")


def load(ref: MethodRef) -> type[Method]:
    """The class. Raises ImportError or AttributeError as the plugin does."""
    module_name, _, attribute = ref.target.partition(":")
    module = _import_file(Path(ref.file)) if ref.file else importlib.import_module(module_name)
    return getattr(module, attribute) if attribute else _only_method(module)


def made(ref: Mapping[str, Any], config: Mapping[str, Any]) -> Method:
    """A method from a request: the fields of its MethodRef, and its whole config as JSON."""
    kind = load(MethodRef(**ref))
    return with_config(kind, restored(kind, config))


def checked(ref: MethodRef, name: str) -> type[Method]:
    """The class, where it is one of a method. Raises BrokenMethod."""
    try:
        kind = load(ref)
    except Exception as error:
        raise BrokenMethod(f"method {name!r} cannot be imported: {_brief(error)}") from error
    _is_method(kind, name)
    return kind


def configured(kind: type[Method], name: str, options: Mapping[str, str]) -> Method:
    """A method with some options set. Raises UnknownName, ValueError as `config_of` does, BrokenMethod."""
    config = config_of(kind, name, options)
    try:
        method = with_config(kind, config)
        _can_be_asked(method, name)
    except BrokenMethod:
        raise
    except Exception as error:
        raise BrokenMethod(f"method {name!r} cannot be made: {_brief(error)}") from error
    return method


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _is_method(kind: type[Method], name: str) -> None:
    """Raises BrokenMethod where the class is not one of a method (see bench.task.Method)."""
    if missing := [part for part in ("name", "version", "summary", *VERBS) if not hasattr(kind, part)]:
        raise BrokenMethod(f"method {name!r}: its class has no {', '.join(missing)}; bench/task.py has the whole list")
    config = getattr(kind, "Config", None)
    if config is not None and not is_model(config) and not is_plain(config):
        raise BrokenMethod(f"method {name!r}: its Config is no pydantic model, and no dataclass either")


def _can_be_asked(method: Method, name: str) -> None:
    """Raises BrokenMethod where it does not say what it needs, or what it is set to."""
    wanted: list[tuple[str, type]] = [("traits", Traits)]
    if (config := getattr(type(method), "Config", None)) is not None:
        wanted.append(("config", config))
    for part, kind in wanted:
        found = getattr(method, part, None)
        if found is None:
            raise BrokenMethod(f"method {name!r}: an instance of it has no {part}")
        if not isinstance(found, kind):
            raise BrokenMethod(f"method {name!r}: its {part} must be {kind.__name__}, not {type(found).__name__}")


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
    classes = [
        value for value in vars(module).values() if isinstance(value, type) and value.__module__ == module.__name__
    ]
    own = [value for value in classes if hasattr(value, "Config") and hasattr(value, "fit")]
    own = own or [value for value in classes if all(hasattr(value, part) for part in ("name", *VERBS))]
    if len(own) != 1:
        names = ", ".join(value.__name__ for value in own) or "none"
        raise ImportError(f"{module.__file__} must define exactly one class with Config and fit, found {names}")
    return own[0]
