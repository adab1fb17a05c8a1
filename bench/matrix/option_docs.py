"""A method's options as a person reads them: name, type, default, and the comment beside its line in `config.py`."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from bench.matrix.method_config import is_model, option_names, whole


class Option(NamedTuple):
    """One option: what `method[name=value]` takes."""

    name: str  # "grid.quick.b": dots reach into nested models
    type: str
    default: Any  # as JSON
    text: str  # "" where its line has no comment


def options(config: type | None, default: Any, prefix: str = "") -> Iterator[Option]:
    """All options of a config, those of nested models after their own dots; none of one that is None."""
    if config is None:
        return
    comments = _comments(config)
    if not is_model(config):
        hints, values = typing.get_type_hints(config), whole(default)
        for name in option_names(config):
            yield Option(prefix + name, _spelled(hints[name]), values[name], comments.get(name, ""))
        return
    for name, field in config.model_fields.items():  # type: ignore[attr-defined]  # a pydantic model
        value = getattr(default, name)
        if is_model(type(value)):
            yield from options(type(value), value, f"{prefix}{name}.")
        else:
            plain = default.model_dump(mode="json")[name]
            text = field.description or comments.get(name, "")
            yield Option(prefix + name, _spelled(field.annotation), plain, text)


def numbers(kind: type) -> str:
    """The section "Numbers" of the README beside a method's module: figures reached, with how they were measured."""
    file = inspect.getsourcefile(kind)
    readme = Path(file).with_name("README.md") if file else None
    if readme is None or not readme.is_file():
        return ""
    _, _, rest = readme.read_text(encoding="utf-8").partition("\n## Numbers\n")
    return rest.partition("\n## ")[0].strip()


def _spelled(annotation: Any) -> str:
    """`Literal["a", "b"]` -> `a | b`. Constraints are left out: pydantic says them where one is broken."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, arguments))
    if origin is Annotated:
        return _spelled(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_spelled, arguments))
    if origin is tuple:
        return "(" + ", ".join("..." if each is ... else _spelled(each) for each in arguments) + ")"
    if annotation is type(None):
        return "none"
    return getattr(annotation, "__name__", str(annotation))


def _comments(config: type) -> dict[str, str]:
    """The comments beside the fields of a class and of its bases; {} where there is no source."""
    found: dict[str, str] = {}
    for each in reversed(config.__mro__):
        if each is not object and each.__module__.partition(".")[0] != "pydantic":
            found |= _comments_in(each)
    return found


def _comments_in(config: type) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(config))
    except OSError:
        return {}
    lines, (body,) = source.splitlines(), ast.parse(source).body
    if not isinstance(body, ast.ClassDef):
        return {}
    fields = [node for node in body.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]
    found = {}
    for node in fields:
        last = (node.end_lineno or node.lineno) - 1
        texts = [lines[k].partition("  # ")[2] for k in range(node.lineno - 1, last + 1)]
        while last + 1 < len(lines) and texts[-1] and lines[last + 1].lstrip().startswith("# with "):
            last += 1
            texts.append(lines[last].lstrip("# "))
        found[node.target.id] = " ".join(filter(None, texts))  # type: ignore[union-attr]
    return found
