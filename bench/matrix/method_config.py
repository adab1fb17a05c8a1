"""What a method is set to: a frozen pydantic model, a frozen dataclass of plain values, or nothing at all.

pydantic is imported by methods that use it, and not here: a method's own environment may have none.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

from bench.matrix.names import UnknownName, nearest

TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def is_model(kind: Any) -> bool:
    """Whether this is a class of pydantic models."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def is_plain(kind: Any) -> bool:
    """Whether this is a class of dataclasses."""
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


def config_of(kind: type, name: str, options: Mapping[str, str]) -> Any:
    """The defaults of the method `name`, of class `kind`, with some of them overridden: `field=mlp`,
    `grid.quick.b=400`; None where it has no Config.

    Dots reach into a nested pydantic model and leave the rest of it as it is; there a colon stands between the entries
    of a sequence, `growth=0.4:0.75`. Raises UnknownName, ValueError.
    """
    config = getattr(kind, "Config", None)
    if is_model(config):
        return _model_of(config, name, options)
    known(name, options, option_names(config))
    if config is None:
        return None
    hints = get_type_hints(config)
    try:
        return config(**{option: _read(name, option, hints[option], value) for option, value in options.items()})
    except TypeError as error:
        raise ValueError(f"method {name!r}: its Config needs a default for every option ({error})") from error


def restored(kind: type, config: Mapping[str, Any]) -> Any:
    """A whole config from JSON, for a method of class `kind`."""
    model = getattr(kind, "Config", None)
    if model is None:
        return None
    if is_model(model):
        return model.model_validate(config)
    return model(**{name: tuple(value) if isinstance(value, list) else value for name, value in config.items()})


def whole(config: Any) -> dict[str, Any]:
    """All of a config as JSON."""
    if config is None:
        return {}
    return config.model_dump(mode="json") if is_model(type(config)) else dataclasses.asdict(config)


def with_config(kind: type, config: Any) -> Any:
    """The method itself. One that declares no Config is made without."""
    return kind() if config is None else kind(config)


def option_names(config: Any) -> tuple[str, ...]:
    """Of a Config class, or of None."""
    if is_model(config):
        return tuple(config.model_fields)
    return tuple(field.name for field in dataclasses.fields(config)) if config is not None else ()


def known(method: str, options: Iterable[str], names: Iterable[str], inside: str = "") -> None:
    """Raises UnknownName for an option that is none of `names`, all of them `inside` a nested model (`grid.quick.`)."""
    names = tuple(names)
    for option in options:
        if option not in names:
            raise UnknownName(f"method {method!r} has no option {inside + option!r}" + nearest(option, names, inside))


def _read(method: str, option: str, annotation: Any, text: str) -> Any:
    """The value of an option of a dataclass. Raises ValueError."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    choices: tuple[Any, ...] = (annotation,)
    if origin in (typing.Union, types.UnionType):
        choices = arguments
    if type(None) in choices and text.lower() == "none":
        return None
    for choice in choices:
        if get_origin(choice) is Literal:
            if found := [value for value in get_args(choice) if str(value) == text]:
                return found[0]
        elif choice is bool and text.lower() in TRUTH:
            return TRUTH[text.lower()]
        elif choice is str:
            return text
        elif choice in (int, float):
            try:
                return choice(text)
            except ValueError:
                continue
    wanted = " or ".join(str(getattr(choice, "__name__", choice)) for choice in choices)
    raise ValueError(f"method {method!r}: {option}={text!r}: it must be {wanted}")


def _model_of(config: Any, name: str, options: Mapping[str, str]) -> Any:
    from pydantic import BaseModel, ValidationError, create_model

    flat = {option: value for option, value in options.items() if "." not in option}
    known(name, flat, config.model_fields)
    try:
        made = config.model_validate(
            {option: _entries(value, config.model_fields[option].annotation) for option, value in flat.items()}
        )
        data = made.model_dump()
        for option in sorted(set(options) - set(flat)):
            model, place = made, data
            *path, leaf = option.split(".")
            inside = ""
            for part in path:
                known(name, [part], type(model).model_fields, inside)
                inside += f"{part}."
                inner = getattr(model, part)
                if not isinstance(inner, BaseModel):
                    raise UnknownName(f"method {name!r}: option {part!r} has no parts, so {option!r} means nothing")
                model, place = inner, place[part]
            known(name, [leaf], type(model).model_fields, inside)
            field = type(model).model_fields[leaf]
            alone: Any = create_model("Alone", **{leaf: (field.annotation, field)})  # type: ignore[call-overload]  # named at run time
            place[leaf] = getattr(alone.model_validate({leaf: _entries(options[option], field.annotation)}), leaf)
        return config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "options"
        message = first["msg"].removeprefix("Value error, ")
        value = (
            "" if isinstance(first["input"], Mapping) else f"={first['input']!r}"
        )  # of many options, none is at fault
        raise ValueError(f"method {name!r}: {where}{value}: {message[0].lower()}{message[1:]}") from error


def _entries(text: str, annotation: Any) -> Any:
    """What is written of an option, for pydantic to read as its `annotation`: a choice that is no text, a sequence."""
    kinds = get_args(annotation) if get_origin(annotation) in (typing.Union, types.UnionType) else (annotation,)
    if types.NoneType in kinds and str not in kinds and text.lower() == "none":
        return None
    for kind in kinds:
        if get_origin(kind) is Literal and text in map(str, get_args(kind)):
            return next(choice for choice in get_args(kind) if str(choice) == text)
        if get_origin(kind) in (tuple, list):
            return text.split(":")
    return text
