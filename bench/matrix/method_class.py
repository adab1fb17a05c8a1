"""A method's class, imported: only in processes that judge nothing, for what is imported can change all that is there.

The judge knows a method by its description (see bench.runner.method_probe), which a worker gives.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError, create_model

from bench.matrix.method_ref import MethodRef
from bench.matrix.names import BrokenMethod, UnknownName, nearest
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
    return kind(kind.Config.model_validate(config))


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
        method = kind(config)
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


def config_of(kind: type[Method], name: str, options: Mapping[str, str]) -> BaseModel:
    """The defaults of `kind`, the method `name`, with some of them overridden: `field=mlp`, `grid.quick.b=400`.

    Dots reach into a nested model and leave the rest of it as it is; a colon stands between the entries of a sequence,
    `growth=0.4:0.75`. Raises UnknownName, ValueError.
    """
    flat = {option: value for option, value in options.items() if "." not in option}
    _known(name, flat, kind.Config)
    try:
        config = kind.Config.model_validate(
            {option: _entries(value, kind.Config.model_fields[option].annotation) for option, value in flat.items()}
        )
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
            place[leaf] = getattr(alone.model_validate({leaf: _entries(options[option], field.annotation)}), leaf)
        return kind.Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        message = first["msg"][0].lower() + first["msg"][1:]
        raise ValueError(f"method {name!r}: {where}={first['input']!r}: {message}") from error


def _entries(text: str, annotation: Any) -> Any:
    """What is written of an option, for pydantic to read as its `annotation`: a choice that is no text, a sequence."""
    if get_origin(annotation) is Literal:
        return next((choice for choice in get_args(annotation) if str(choice) == text), text)
    if get_origin(annotation) in (tuple, list):
        return text.split(":")
    return text


def _known(method: str, options: Iterable[str], kind: type[BaseModel]) -> None:
    for option in options:
        if option not in kind.model_fields:
            raise UnknownName(f"method {method!r} has no option {option!r}" + nearest(option, kind.model_fields))


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
