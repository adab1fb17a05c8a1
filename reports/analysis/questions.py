"""What cells are asked, apart from who answers: what rows of one table, and numbers of one mean, must share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.degrade import CLEAN, KINDS
from reports.naming import slug

AGREEMENT = {
    "colmap": "agreement with COLMAP", "device": "agreement with a device's own tracking",
    "unknown": "agreement with poses of unknown origin", "none": "no true cameras",
}  # fmt: skip
"""What is said of scores by their reference, where that is no truth."""


@dataclass(frozen=True, kw_only=True, order=True)
class Setting:
    """What numbers must share before they may be averaged, or drawn in one figure. Exact truth comes first."""

    agreement: str  # see AGREEMENT; empty where the truth is one
    effort: str
    protocol: str

    @property
    def title(self) -> str:
        return f"{self.protocol} · {self.effort}" + (f" · {self.agreement}" if self.agreement else "")

    def suffix(self, among: Iterable[Setting]) -> str:
        """What the name of a file must end with, where it is written for each of several settings: `_full_colmap`."""
        others = {self, *among}
        parts = [slug(self.effort)] if len({each.effort for each in others}) > 1 else []
        parts += [slug(self.protocol)] if len({each.protocol for each in others}) > 1 else []
        return "".join(f"_{part}" for part in [*parts, *(k for k, said in AGREEMENT.items() if said == self.agreement)])


@dataclass(frozen=True, kw_only=True, order=True)
class Question:
    """What rows of one scene's table share. Numbers of two efforts, protocols or kinds of truth never meet."""

    scene: str
    degradation: str
    effort: str
    protocol: str
    reference: str

    @property
    def title(self) -> str:
        return f"{self.scene} · {self.degradation}"

    @property
    def agreement(self) -> str:
        """What a score is where the reference is itself an estimate, or where there is none; else empty."""
        return AGREEMENT.get(self.reference, "")

    @property
    def setting(self) -> Setting:
        return Setting(agreement=self.agreement, effort=self.effort, protocol=self.protocol)


def split_degradation(name: str) -> tuple[str, float]:
    """`gaussian_noise@3` (or `@3#7`, of one draw) -> kind and severity; `clean` is its own kind, at severity 0."""
    kind, _, rest = name.partition("@")
    return kind, float(rest.partition("#")[0] or 0)


def degradation_order(name: str) -> tuple[bool, str, float, str]:
    """Clean first, then by kind and severity."""
    kind, severity = split_degradation(name)
    return kind != CLEAN, kind, severity, name


def changes_scene(kind: str) -> bool:
    """Whether a kind of degradation is judged by other images than the clean ones."""
    return kind in KINDS and KINDS[kind].changes_scene


def shows_outlines(kind: str) -> bool:
    """Whether a kind of degradation shows masks alone."""
    return kind in KINDS and KINDS[kind].shows_outlines
