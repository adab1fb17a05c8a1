"""What a method says of its own poses, `confidence/*`: copied into the row, and no part of any judgement."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from bench.judge.protocol import Columns
from bench.task import ViewId

DOUBTFUL_DB = 3.0
"""A view is doubtful where its margin is below: the squared error of a pose turned from it is no more than twice that
of its own, which has the advantage that the field was trained on the image from there."""


def stated(margins: Mapping[ViewId, float], views: Collection[ViewId]) -> tuple[Columns, Mapping[ViewId, Columns]]:
    """Columns and columns per view of the margins (dB) that a fit states, of `views` alone: registered, and judged.

    - `confidence/margin_db` of a view, as `bench.task.Fit` has it; `confidence/margin_db_median` over views.
    - `confidence/doubtful`: the share of the views with a margin whose margin is below DOUBTFUL_DB.

    Nothing where none is stated: a method need not.
    """
    held = {view: float(margins[view]) for view in views if view in margins}
    if not held:
        return {}, {}
    values = np.array(list(held.values()))
    columns = {
        "confidence/margin_db_median": float(np.median(values)),
        "confidence/doubtful": float((values < DOUBTFUL_DB).mean()),
    }
    return columns, {view: {"confidence/margin_db": value} for view, value in held.items()}
