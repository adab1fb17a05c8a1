"""One question of the matrix: scene x degradation x method x seed, its name, its folder and its fingerprints."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from bench.task import Effort

_LABEL = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<options>[^\[\]]*)\])?")


@dataclass(frozen=True, kw_only=True, order=True)
class Cell:
    """`method` is the label as typed, options sorted: `colmap_nerf[mapper=global]`."""

    scene: str
    degradation: str  # "clean" or "kind@severity"
    method: str
    seed: int
    effort: Effort

    @property
    def id(self) -> str:
        """How a person names this cell on the command line, within its suite."""
        return f"{self.scene}/{self.degradation}/{self.method}/seed{self.seed}"

    @property
    def folder(self) -> PurePosixPath:
        """Where its files are, below the suite's folder: one injective, shell-friendly name per part."""
        name, options = split_label(self.method)
        method = "+".join([name, *(f"{key}={value}" for key, value in options.items())])
        scene = PurePosixPath(*(quote(part, safe=" ,=+@") for part in self.scene.split("/")))
        return scene / quote(self.degradation, safe="@") / quote(method, safe="=+") / f"seed{self.seed}"


def split_label(label: str) -> tuple[str, dict[str, str]]:
    """`colmap_nerf[mapper=global,field=grid]` -> name and options, sorted by name. Raises ValueError."""
    match = _LABEL.fullmatch(label.strip())
    if match is None:
        raise ValueError(f"method {label!r}: write it as name or name[option=value,...]")
    options: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in (match["options"] or "").split(","))):
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise ValueError(f"method {label!r}: {item!r} is not option=value")
        if key in options:
            raise ValueError(f"method {label!r}: option {key!r} is given twice")
        options[key] = value
    return match["name"].strip(), dict(sorted(options.items()))


def join_label(name: str, options: Mapping[str, str]) -> str:
    """The canonical label: options sorted by name."""
    inner = ",".join(f"{key}={options[key]}" for key in sorted(options))
    return f"{name}[{inner}]" if inner else name


def fingerprint(ingredients: Mapping[str, Any]) -> str:
    """sha256 (hex) of the ingredients as canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
