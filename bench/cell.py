"""One question of the matrix: scene x degradation x method x seed, its name, its folder and its fingerprints."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

_LABEL = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<options>[^\[\]]*)\])?")


@dataclass(frozen=True, kw_only=True, order=True)
class Cell:
    """`method` is the label as typed, options sorted: `colmap_nerf[mapper=global]`."""

    scene: str
    degradation: str  # "clean", "kind@severity", or "kind@severity#draw" where one draw is for all seeds
    method: str
    seed: int
    effort: str  # how much of the scene is used and spent on it: a label of bench.regime, `quick`, `full@800`

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
        degradation = quote(self.degradation.replace("#", "+draw"), safe="@+")
        return scene / degradation / quote(method, safe="=+") / f"seed{self.seed}"


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


def split_degradation(label: str) -> tuple[str, float | None, int | None]:
    """`gaussian_noise@3#7` -> kind, severity, draw; None for what it does not name. Raises ValueError."""
    head, mark, draw = (part.strip() for part in label.partition("#"))
    kind, at, number = (part.strip() for part in head.partition("@"))
    try:
        severity = float(number) if at else None
    except ValueError:
        severity = math.nan
    if severity is not None and math.isnan(severity):
        raise ValueError(f"degradation {label!r}: write it as kind@severity, the severity a number from 0 to 5")
    if mark and not (draw.isascii() and draw.isdigit()):
        raise ValueError(f"degradation {label!r}: after # stands a draw, a whole number, as in {head}#7")
    return kind, severity, int(draw) if mark else None


def join_label(name: str, options: Mapping[str, str]) -> str:
    """The canonical label: options sorted by name."""
    inner = ",".join(f"{key}={options[key]}" for key in sorted(options))
    return f"{name}[{inner}]" if inner else name


def fingerprint(ingredients: Mapping[str, Any]) -> str:
    """sha256 (hex) of the ingredients as canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(ingredients, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
