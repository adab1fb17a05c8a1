"""What decides a cell's fit and its judgement: where nothing of it has changed, the earlier result stands."""

from __future__ import annotations

from typing import Any

from bench.cell import Cell, fingerprint
from bench.matrix.fingerprint_diff import completed
from bench.matrix.plan import Planned
from bench.record import Result
from bench.regime import pixels_of
from bench.runner.evaluate import Judge
from bench.runner.fit_client import fit_ingredients


class Fingerprints:
    """Ingredients and fingerprints of the cells of one run; each scene is digested once."""

    def __init__(self, judge: Judge, device: str) -> None:
        self._judge, self._device = judge, device
        self._fits: dict[Cell, dict[str, Any]] = {}
        self._scenes: dict[tuple[str, str], str] = {}

    def ingredients(self, planned: Planned) -> dict[str, dict[str, Any]]:
        """What the fingerprints are made of, under the same names: `fit`, `judgement`."""
        return {"fit": self._fit(planned), "judgement": self._judgement(planned)}

    def of(self, planned: Planned) -> dict[str, str]:
        """`fit`, and `judgement`, which the fit is a part of."""
        fit = fingerprint(self._fit(planned))
        return {"fit": fit, "judgement": fingerprint({"fit": fit, **self._judgement(planned)})}

    def is_same_fit(self, planned: Planned, earlier: Result) -> bool:
        """Whether nothing that decides the fit has changed since this result, whichever form its fingerprint had."""
        now = self._fit(planned)
        if earlier.fingerprints["fit"] == fingerprint(now):
            return True
        recorded = earlier.ingredients.get("fit")
        return bool(recorded) and fingerprint(completed(recorded, earlier.provenance, now)) == fingerprint(now)

    def _fit(self, planned: Planned) -> dict[str, Any]:
        if planned.cell not in self._fits:
            key = (planned.source.name, planned.cell.effort)
            if key not in self._scenes:
                self._scenes[key] = planned.source.digest(pixels_of(planned.cell.effort))
            self._fits[planned.cell] = fit_ingredients(planned, self._scenes[key], self._device)
        return self._fits[planned.cell]

    def _judgement(self, planned: Planned) -> dict[str, Any]:
        renders = planned.submission.renders_digest if planned.submission else None
        return self._judge.ingredients() | ({"renders": renders} if renders else {})
