"""A matrix and its conditions as a file, which a paper can ship: `unposed run suite.toml`.

    scenes = ["blocks", "nerf_synthetic/*"]
    methods = ["gnerf", "colmap_nerf[mapper=global]", {name = "gnerf", reseed = false}]
    degradations = ["clean", "noise@1,3,5"]
    seeds = "0-4"
    effort = "quick"
    limit = 1800

Every key is the option of `unposed run` of that name, and a command line that names it too is heard before the file.
`data`, `lpips` and `python` are from the file's own folder; `out`, and scenes and methods that are paths, from where
the command runs. In what is kept beside the results all but `out` are whole: it asks for the same from anywhere.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench.files import replacing
from bench.matrix.grants import in_words, read_grant
from bench.matrix.names import nearest
from bench.regime import parse_regime

NAME = "suite.toml"
"""What the file is called beside the results."""

PYTHON = re.compile(r"([\[,]\s*python\s*=\s*)([^,\]]+)")
WEIGHTS = re.compile(r"([\[,]\s*weights\s*=\s*)([^,\]]+)")
SPECIAL = frozenset(",[]")
"""What the grammar of methods keeps to itself."""
PATTERN = frozenset("*?")
"""And what that of scenes does, too."""
SHOWN = 200  # characters of a value in a refusal, at most


def _label(effort: str) -> str:
    return parse_regime(effort).label


def _said(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("it is empty" if not text.strip() else "it has a null character, which no name can have")
    return text


Text = Annotated[str, AfterValidator(_said)]
Amount = Annotated[float, Field(allow_inf_nan=False)]


class SuiteFile(BaseModel):
    """What may stand in such a file; what does not is the command's default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: Text | list[Text] | None = None
    methods: Text | list[Text | dict[str, Any]] | None = None  # a table: a name, and options
    python: Text | None = None  # under which methods given by path run; a path is from the file's own folder
    degradations: Text | list[Text] | None = None
    seeds: int | Text | list[int | Text] | None = None
    effort: Annotated[str, BeforeValidator(str), AfterValidator(_label)] | None = None  # a label: full@800, 800
    views: int | None = Field(default=None, ge=4)
    heldout: int | Text | None = None  # every:8, or 8
    background: Text | None = None
    prior: Text | None = None
    data: Text | list[Text] | None = None  # folders of real scenes; from the file's own folder, where not absolute
    out: Text | None = None  # by default runs/NAME
    device: Text | list[Text] | None = None  # as --device, or a list of GPUs
    workers: int | None = Field(default=None, ge=1)  # on each device
    threads: int | None = Field(default=None, ge=1)  # of each
    grants: Text | list[Text] | dict[str, Any] | None = None  # as --grant, or a table of tables
    executor: Literal["local", "ray"] | None = None
    address: Text | None = None
    gpus: Amount | None = Field(default=None, ge=0.01)
    limit: Amount | None = Field(default=None, ge=0.1)
    memory: Amount | None = Field(default=None, ge=0.1)  # GB a fit
    disk: Amount | None = Field(default=None, ge=0.001)
    retries: int | None = Field(default=None, ge=0)
    retry_failed: bool | None = None
    lpips: Text | None = None
    track: Text | None = None
    no_track: bool | None = None


def read_suite_file(path: Path) -> dict[str, Any]:
    """Options by their names, as a command line would give them. Raises ValueError."""
    try:
        return _read(path)
    except RecursionError as error:
        raise ValueError(f"{path}: values lie within values, deeper than can be read") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; it must be a TOML file of a suite") from error
    except ValueError as error:  # no TOML, no UTF-8, a date or a number that Python cannot hold
        raise ValueError(f"{path}: this is no TOML: {_cut(str(error))}") from error
    for key in found.keys() - SuiteFile.model_fields.keys():
        raise ValueError(f"{path}: {_cut(repr(key))} is no key of a suite{nearest(key, SuiteFile.model_fields)}")
    try:
        asked = {key: value for key, value in SuiteFile.model_validate(found) if value is not None}
    except ValidationError as error:
        fault = max(error.errors(), key=lambda each: len(each["loc"]))  # the innermost: what in a list is at fault
        said = _cut(fault["msg"].removeprefix("Value error, ").lower())
        raise ValueError(f"{path}: {fault['loc'][0]} = {_shown(fault['input'])}: {said}") from error
    try:
        return _as_typed({"out": str(Path("runs") / path.stem), **asked}, path.parent)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _as_typed(asked: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What a file in `folder` asks for, as a command line has it."""
    options = dict(asked)
    for key in ("scenes", "methods", "degradations", "seeds"):
        if key in asked:
            options[key] = ",".join(_word(key, each) for each in _listed(asked[key]))
    if "device" in asked:
        options["device"] = ",".join(_listed(asked["device"]))
    if "data" in asked:
        options["data"] = [_beside(folder, each) for each in _listed(asked["data"])]
    if "grants" in asked:
        options["grants"] = in_words(asked["grants"]) if isinstance(asked["grants"], dict) else _listed(asked["grants"])
        for words in options["grants"]:
            read_grant(words)  # so that a refusal names the file
    if "lpips" in asked:
        options["lpips"] = _beside(folder, asked["lpips"])
    return _with_pythons_in_full(options, folder)


def keep_suite_file(suite: Path, asked: Mapping[str, Any]) -> None:
    """Write what was asked for beside the results, as a file that asks for the same. Raises ValueError."""
    asked = _in_full(_with_pythons_in_full(asked, Path()))
    lines = [
        f"{key} = {_toml(value)}"
        for key, value in asked.items()
        if not (value is None or value is False or value == ())
    ]
    with replacing(suite / NAME) as draft:
        try:
            draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except UnicodeEncodeError as error:
            said = f"{error.object[error.start : error.end]!r} in a name is no character"
            raise ValueError(f"{NAME}: {said}, and cannot be kept in a file; rename what has it") from error


def _beside(folder: Path, named: str) -> str:
    try:
        return str(folder / Path(named).expanduser())
    except RuntimeError as error:  # ~nobody/data
        raise ValueError(f"{named}: whose home that is, nobody here knows; write the whole path") from error


def _with_pythons_in_full(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same options, interpreters that are paths made whole; a name on PATH stays as it is."""

    def whole(python: str) -> str:
        return str(Path(_beside(folder, python)).absolute()) if "/" in python else python

    made = dict(options)
    if made.get("python"):
        made["python"] = whole(made["python"])
    if made.get("methods"):
        made["methods"] = PYTHON.sub(lambda found: found[1] + whole(found[2]), made["methods"])
    return made


def _in_full(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options, and what they name by a path from here named by a whole one: scenes, methods and their weights,
    folders of data, a backbone. A path whose whole name the grammar cannot hold stays as it was typed."""
    from bench.matrix.registry import is_path, method_refs, scene_sources
    from bench.matrix.selection import split_list

    made = dict(options)
    if made.get("data"):
        made["data"] = [Path(each).absolute() for each in made["data"]]
    if made.get("lpips"):
        made["lpips"] = Path(made["lpips"]).absolute()

    def scene(part: str) -> str:
        known = part == "all" or PATTERN.intersection(part) or part in scene_sources(tuple(options.get("data") or ()))
        return part if known or not Path(part).is_dir() else _whole(part)

    def method(part: str) -> str:
        name, bracket, rest = part.partition("[")
        if is_path(name.strip()):
            return _whole(name.strip()) + bracket + rest
        ref = method_refs().get(name.strip())  # weights of a stranger's method are text, and part of its label
        return WEIGHTS.sub(lambda found: found[1] + _there(found[2]), part) if ref and ref.is_shipped else part

    def each(key: str, change: Callable[[str], str]) -> None:
        if made.get(key):
            made[key] = ",".join(change(part) for part in split_list(made[key]))

    each("scenes", scene)
    each("methods", method)
    return made


def _whole(named: str) -> str:
    path = str(Path(named).absolute())
    return named if (SPECIAL | PATTERN).intersection(path) else path


def _there(named: str) -> str:
    """A path made whole where something is there; a name on Hugging Face stays."""
    return _whole(named) if Path(named).exists() else named


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _word(key: str, value: Any) -> str:
    """One part of a list as the selection grammar writes it: `{name = "gnerf", reseed = false}` is
    `gnerf[reseed=false]`."""
    if not isinstance(value, dict):
        return value if isinstance(value, str) else _number(key, value)
    name = value.get("name")
    if not (name and isinstance(name, str)):
        raise ValueError(f'methods: {_shown(value)} needs a name, as {{name = "gnerf", reseed = false}}')
    options = [f"{option}={_option(option, each)}" for option, each in value.items() if option != "name"]
    return name + (f"[{','.join(options)}]" if options else "")


def _option(key: str, value: Any) -> str:
    """The value of a method's option as the selection grammar writes it."""
    place = f"methods: {_cut(key)} = {_shown(value)}"
    if not isinstance(value, str | int | float):  # a truth value is an int
        raise ValueError(f'{place}: an option is text, a number, true or false; of several values write "1:2:3"')
    text = value if isinstance(value, str) else _number(f"methods: {_cut(key)}", value)
    if SPECIAL.intersection(text):
        raise ValueError(f"{place}: an option can hold no comma and no bracket")
    return text


def _number(what: str, value: float) -> str:
    try:
        return _toml(value)
    except ValueError as error:
        raise ValueError(f"{what}: a whole number of more digits than can be read") from error


def _toml(value: Any) -> str:
    """Text, numbers, truth values and lists look alike in JSON and TOML, but for what JSON has no word for."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf, -inf, nan
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")


def _shown(value: Any) -> str:
    """A value as a refusal has it."""
    try:
        return _cut(_toml(value))
    except ValueError:  # a whole number of more digits than Python writes
        return "..."


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
