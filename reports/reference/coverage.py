"""What a whole record has, and how much of it is measured."""

from __future__ import annotations

from collections.abc import Sequence

from bench.degrade import CLEAN
from reports.reference.lines import Line

SCENES = (
    "blocks", "blocks-plain", "blocks-repeat", "nerf_synthetic/chair", "nerf_llff_data/fern", "transforms/fox_480",
    "transforms/dtu_scan24_384", "middlebury/templeRing",
    "middlebury/templeSparseRing",
)  # fmt: skip
LEARNED, ALIKED = "colmap_nerf[features=xfeat]", "colmap_nerf[features=aliked]"
WITH_FEATURES = "gnerf[features=sift]"
METHODS = (
    "nerf", "gnerf", WITH_FEATURES, "colmap_nerf", "colmap_nerf[mapper=global]", LEARNED, ALIKED, "barf", "inerf",
    "nerfmm",
)  # fmt: skip
SEEDS = 5
"""Of clean captures."""

SWEPT = ("blocks", "blocks-plain", "nerf_synthetic/chair")
SWEPT_METHODS = ("gnerf", WITH_FEATURES, "colmap_nerf", LEARNED, "barf", "nerf")
KINDS = ("gaussian_noise", "low_texture", "silhouette", "fewer_views", "occlusion", "exposure")
SEVERITIES = (1, 3, 5)
SWEPT_SEEDS = 3


def clean(found: Sequence[Line]) -> list[list[str]]:
    """A method a row, a scene a column: seeds measured of those that a whole record has."""
    n = {(line.method, line.scene): line.n for line in found if line.degradation == CLEAN}
    head = ["clean, seeds", *(f"`{scene}`" for scene in SCENES)]
    return [head, *([f"`{m}`", *(_of(n.get((m, scene), 0), SEEDS) for scene in SCENES)] for m in METHODS)]


def swept(found: Sequence[Line]) -> list[list[str]]:
    """A method a row, a kind a column: cells measured, of all scenes, severities and seeds."""
    whole = len(SWEPT) * len(SEVERITIES) * SWEPT_SEEDS
    rows = [["degraded, cells", *(f"`{kind}`" for kind in KINDS)]]
    for method in SWEPT_METHODS:
        held = [
            sum(min(line.n, SWEPT_SEEDS) for line in found
                if line.method == method and line.scene in SWEPT
                and line.degradation in {f"{kind}@{severity}" for severity in SEVERITIES})
            for kind in KINDS
        ]  # fmt: skip
        rows.append([f"`{method}`", *(_of(n, whole) for n in held)])
    return rows


def _of(n: int, whole: int) -> str:
    return f"{n} of {whole}" if n else "—"
