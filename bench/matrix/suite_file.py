"""A matrix and its conditions as a file, which a paper can ship: `unposed run suite.toml`.

    scenes = ["blocks", "nerf_synthetic/*"]
    methods = ["gnerf", "colmap_nerf[mapper=global]", {name = "gnerf", reseed = false}]
    degradations = ["clean", "noise@1,3,5"]
    seeds = "0-4"
    effort = "quick"
    limit = 1800

Every key is the option of `unposed run` of that name, and a command line that names it too is heard before the file.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bench.files import replacing
from bench.matrix.names import nearest
from bench.regime import parse_regime

NAME = "suite.toml"
"""What the file is called beside the results."""

PYTHON = re.compile(r"([\[,]\s*python\s*=\s*)([^,\]]+)")
SPECIAL = frozenset(",[]")
"""What the grammar of methods keeps to itself."""


def _label(effort: str) -> str:
    return parse_regime(effort).label


class SuiteFile(BaseModel):
    """What may stand in such a file; what does not is the command's default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scenes: str | list[str] | None = None
    methods: str | list[str | dict[str, Any]] | None = None  # a table: a name, and options
    python: str | None = None  # under which methods given by path run; a path is from the file's own folder
    degradations: str | list[str] | None = None
    seeds: int | str | list[int | str] | None = None
    effort: Annotated[str, BeforeValidator(str), AfterValidator(_label)] | None = None  # a label: full@800, 800
    views: int | None = None
    heldout: int | str | None = None  # every:8, or 8
    background: str | None = None
    prior: str | None = None
    data: str | list[str] | None = None  # folders of real scenes; from the file's own folder, where not absolute
    out: str | None = None  # by default runs/NAME
    device: str | list[str] | None = None  # as --device, or a list of GPUs
    workers: int | None = Field(default=None, ge=1)  # on each device
    threads: int | None = Field(default=None, ge=1)  # of each
    executor: Literal["local", "ray"] | None = None
    address: str | None = None
    gpus: float | None = Field(default=None, ge=0.01)
    limit: float | None = Field(default=None, ge=0.1)
    memory: float | None = Field(default=None, ge=0.1)  # GB a fit
    disk: float | None = Field(default=None, ge=0.001)
    retries: int | None = Field(default=None, ge=0)
    retry_failed: bool | None = None
    lpips: str | None = None
    track: str | None = None
    no_track: bool | None = None


def read_suite_file(path: Path) -> dict[str, Any]:
    """Options by their names, as a command line would give them. Raises ValueError."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}; it must be a TOML file of a suite") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: this is no TOML: {error}") from error
    for key in found.keys() - SuiteFile.model_fields.keys():
        raise ValueError(f"{path}: {key!r} is no key of a suite{nearest(key, SuiteFile.model_fields)}")
    try:
        asked = SuiteFile.model_validate(found).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(
            f"{path}: {first['loc'][0]} = {_toml(first['input'])}: {first['msg'].removeprefix('Value error, ').lower()}"
        ) from error
    options = {"out": str(Path("runs") / path.stem), **asked}
    for key in ("scenes", "methods", "degradations", "seeds"):
        if key in asked:
            options[key] = ",".join(_word(path, each) for each in _listed(asked[key]))
    if "device" in asked:
        options["device"] = ",".join(_listed(asked["device"]))
    if "data" in asked:
        options["data"] = [_beside(path, each) for each in _listed(asked["data"])]
    if "lpips" in asked:
        options["lpips"] = _beside(path, asked["lpips"])
    return _with_pythons_in_full(options, path.parent)


def keep_suite_file(suite: Path, asked: Mapping[str, Any]) -> None:
    """Write what was asked for beside the results, as a file that asks for the same."""
    asked = _with_pythons_in_full(asked, Path())
    lines = [f"{key} = {_toml(value)}" for key, value in asked.items() if value not in (None, (), False)]
    with replacing(suite / NAME) as draft:
        draft.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _beside(path: Path, named: str) -> str:
    return str(path.parent / Path(named).expanduser())


def _with_pythons_in_full(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The same options, interpreters that are paths made whole; a name on PATH stays as it is."""

    def whole(python: str) -> str:
        return str((folder / Path(python).expanduser()).absolute()) if "/" in python else python

    made = dict(options)
    if made.get("python"):
        made["python"] = whole(made["python"])
    if made.get("methods"):
        made["methods"] = PYTHON.sub(lambda found: found[1] + whole(found[2]), made["methods"])
    return made


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _word(path: Path, value: Any) -> str:
    """One part of a list as the selection grammar writes it: `{name = "gnerf", reseed = false}` is
    `gnerf[reseed=false]`."""
    if not isinstance(value, dict):
        return str(value)
    options = {key: each if isinstance(each, str) else json.dumps(each) for key, each in value.items()}
    for key, each in options.items():
        if key != "name" and SPECIAL.intersection(each):
            raise ValueError(f"{path}: methods: {key} = {_toml(each)}: an option can hold no comma and no bracket")
    if not (name := options.pop("name", "")):
        raise ValueError(f'{path}: methods: {_toml(value)} needs a name, as {{name = "gnerf", reseed = false}}')
    return name + (f"[{','.join(f'{key}={each}' for key, each in options.items())}]" if options else "")


def _toml(value: Any) -> str:
    """Text, numbers, truth values and lists look alike in JSON and TOML."""
    return json.dumps(value, ensure_ascii=False, default=str)
