"""A prior over viewpoints that is declared, and not quite true: what GNeRF rests on (Meng et al. 2021, sec. 4.1).

The truth stays within what is declared, at its edge: the range grows to one side, and its middle moves. A radius that
was wrong by a mere factor, near and far with it, would be another unit of length, which the alignment takes away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from bench.degrade.kind import Apply, Kind, RngOf
from bench.task import Capture, PosePrior


def elevation(prior: PosePrior, *, widen: float) -> PosePrior:
    """Widen the range of elevations by a share of its width: downwards, and where it ends at -90 degrees, upwards."""
    low, high = prior.elevation
    extra = widen * (high - low)
    below = min(extra, low + 90)
    return replace(prior, elevation=(low - below, min(high + (extra - below), 90.0)))


def radius(prior: PosePrior, *, reach: float) -> PosePrior:
    """Let cameras stand up to `reach` times as far away as the farthest do. `far` moves out as they do and `near`
    stays, for the object is believed to be as large as it is, wherever it is seen from."""
    low, high = prior.radius
    return replace(prior, radius=(low, reach * high), far=prior.far + (reach - 1) * high)


def distribution(prior: PosePrior, *, measure: float, astray: float, roll: float) -> PosePrior:
    """The right range, the wrong density: views even by angle are declared even by area, or the other way round; they
    are said to look past the centre (by `astray` of the mean radius on each axis) and to be rolled (degrees).

    Which measure it is can only be right or wrong: it turns at `measure` = 0.5.
    """
    other = "angle" if prior.elevation_by == "area" else "area"
    return replace(
        prior,
        family="sphere+jitter" if prior.family == "sphere" else prior.family,
        elevation_by=other if measure >= 0.5 else prior.elevation_by,
        look_at_std=prior.look_at_std + astray * sum(prior.radius) / 2,
        roll_std=prior.roll_std + roll,
    )


def mismatch(prior: PosePrior, *, widen: float, reach: float) -> PosePrior:
    return radius(elevation(prior, widen=widen), reach=reach)


def _declared(change: Callable[..., PosePrior]) -> Apply:
    """`change(prior, **parameters) -> prior` as the `apply` of a kind."""

    def apply(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
        return replace(capture, prior=capture.prior and change(capture.prior, **parameters))

    return apply


WIDEN = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
REACH = (1.0, 1.05, 1.1, 1.2, 1.35, 1.5)

KINDS = (
    Kind(
        name="prior_mismatch",
        family="pose",
        summary="the declared prior is too wide in elevation and in radius",
        view_consistent=True,
        levels={"widen": WIDEN, "reach": REACH},
        apply=_declared(mismatch),
        needs=frozenset({"prior"}),
        touches=frozenset({"prior"}),
    ),
    Kind(
        name="prior_elevation",
        family="pose",
        summary="the declared prior is too wide in elevation alone",
        view_consistent=True,
        levels={"widen": WIDEN},
        apply=_declared(elevation),
        needs=frozenset({"prior"}),
        touches=frozenset({"prior"}),
    ),
    Kind(
        name="prior_radius",
        family="pose",
        summary="the declared prior is too wide in radius alone",
        view_consistent=True,
        levels={"reach": REACH},
        apply=_declared(radius),
        needs=frozenset({"prior"}),
        touches=frozenset({"prior"}),
    ),
    Kind(
        name="prior_distribution",
        family="pose",
        summary="the declared prior spreads its views in another way",
        view_consistent=True,
        levels={
            "measure": (0.0, 1.0, 1.0, 1.0, 1.0, 1.0),
            "astray": (0.0, 0.01, 0.02, 0.04, 0.07, 0.1),
            "roll": (0.0, 1.0, 2.0, 4.0, 7.0, 10.0),
        },
        apply=_declared(distribution),
        needs=frozenset({"prior"}),
        touches=frozenset({"prior"}),
    ),
)
