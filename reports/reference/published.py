"""Published numbers beside those of the reference, a gap where one means something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median

from bench.degrade import CLEAN
from bench.regime import parse_regime
from reports.paper.published import Published, library
from reports.reference.lines import Line, decimals


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What published.toml has, as ours is called."""

    title: str
    column: str  # ours; of held-out views without its stage
    unit: str
    digits: int

    def of(self, stage: str) -> tuple[str, str]:
        """Title and column, at the stage that what was published is like."""
        return (f"{self.title}, {stage}", f"nvs/{stage}/psnr") if self.column == "psnr" else (self.title, self.column)

    def gap(self, ours: Sequence[float], theirs: Decimal) -> str:
        """Ours minus theirs, signed."""
        if not ours:
            return "none: no number here"
        return f"{median(ours) - float(theirs):+.{self.digits}f}{self.unit}".replace("-", "−")


QUANTITIES = {
    "rotation": Quantity(title="rotation, mean", column="pose/rotation_deg_mean", unit="°", digits=3),
    "translation": Quantity(title="translation, mean", column="pose/translation_mean", unit="", digits=3),
    "psnr": Quantity(title="PSNR", column="psnr", unit=" dB", digits=2),
}
"""By their names in published.toml."""


def beside(found: Sequence[Line]) -> tuple[list[list[str]], list[str]]:
    """Cells of each row, and what must be said below them: of those that say a method of ours."""
    scenes, methods = {line.scene for line in found}, {line.method for line in found}
    rows, notes = [], []
    held = [each for each in library().of(scenes).published if each.ours in methods]
    for k, published in enumerate(held, 1):
        told = [row for scene in sorted(scenes) for row in _of(published, scene, found, k)]
        if told:
            rows += told
            notes.append(f"({k}) {published.note[0].upper()}{published.note[1:]}.")
    return rows, notes


def _of(published: Published, scene: str, found: Sequence[Line], number: int) -> Iterator[list[str]]:
    """A row a quantity of one scene; none where the method has no cell there."""
    for line in found:
        if (line.scene, line.method, line.degradation) != (scene, published.ours, CLEAN):
            continue
        for name, quantity in QUANTITIES.items():
            theirs = published.value(scene, name)
            if theirs is None:
                continue
            title, column = quantity.of(published.stage)
            ours = line.said(column, decimals(quantity.digits), quantity.unit)
            yield [
                f"`{scene}`", f"{published.method} ({number})", title, f"{theirs}{quantity.unit}",
                f"† {ours}" if line.tuned else ours, str(len(line.values(column))),
                _why_none(published, name, line) or quantity.gap(line.values(column), theirs),
            ]  # fmt: skip


def _why_none(published: Published, name: str, line: Line) -> str:
    """Why a difference would say nothing; empty where it says something."""
    regime = parse_regime(line.effort)
    if name not in published.comparable:
        return "none: not measured alike"
    if regime.restates or published.side not in (None, regime.pixels):
        return f"none: {published.side} px there, {regime.words} here"
    return ""
