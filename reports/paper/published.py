"""Numbers that others published, as data with their sources: see published.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Any, Literal

Read = Literal["table", "code", "secondary", "figure", "arithmetic"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """One method's numbers on one data set: scene -> column -> value, in the units of our columns."""

    id: str
    method: str
    given: str
    source: str
    read: Read
    dataset: str
    protocol: str
    scenes: Mapping[str, Mapping[str, Decimal]]  # as printed, with their digits
    ours: str = ""  # the method of this suite that it is set beside
    side: int | None = None  # longest side of its images, px
    stage: str = ""  # of ours, the one that its novel views stand beside
    stage_note: str = ""  # why, where the source does not say
    caution: str = ""
    comparable: Sequence[str] = ()  # columns for which a difference means something

    def value(self, scene: str, column: str) -> Decimal | None:
        """Of one of our scenes, `nerf_synthetic/chair`."""
        dataset, _, name = scene.rpartition("/")
        return self.scenes.get(name, {}).get(column) if dataset == self.dataset else None

    @property
    def note(self) -> str:
        """What must stand below a table that shows it."""
        size = f", {self.side} px" if self.side else ""
        caution = f"; {self.caution}" if self.caution else ""
        return f"published ({self.read}): {self.source}; given {self.given}; {self.protocol}{size}{caution}"


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Rotation error (deg) of a published method under image noise of standard deviation `sigma`."""

    method: str
    given: str
    source: str
    read: Read
    scene: str
    sigma: Sequence[Decimal]
    rotation: Sequence[Decimal]


@dataclass(frozen=True, kw_only=True)
class Library:
    published: tuple[Published, ...]
    noise: tuple[Noise, ...]
    missing: Mapping[str, str]  # table -> why its published cells are empty

    def of(self, scenes: Set[str]) -> Library:
        """What was published of these of our scenes, `nerf_synthetic/chair`."""
        held = [
            replace(each, scenes={k: v for k, v in each.scenes.items() if f"{each.dataset}/{k}" in scenes})
            for each in self.published
        ]
        noise = tuple(each for each in self.noise if each.scene in scenes)
        return replace(self, published=tuple(each for each in held if each.scenes), noise=noise)


@lru_cache(maxsize=1)
def library() -> Library:
    raw = tomllib.loads((files("reports.paper") / "published.toml").read_text(encoding="utf-8"), parse_float=Decimal)
    return Library(
        published=tuple(_published(each) for each in raw["published"]),
        noise=tuple(Noise(**each) for each in raw["noise"]),
        missing={each["what"]: each["why"] for each in raw["missing"]},
    )


def _published(raw: dict[str, Any]) -> Published:
    columns = raw.pop("columns")
    scenes = {name: dict(zip(columns, values, strict=True)) for name, values in raw.pop("scenes").items()}
    return Published(**raw, scenes=scenes)
