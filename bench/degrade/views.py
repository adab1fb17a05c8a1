"""Fewer views of the same scene."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from bench.degrade.kind import Kind, RngOf
from bench.task import Capture, ViewId

LEAST = 4
"""Views that are always kept: the protocol can align no fewer."""


def fewer_views(capture: Capture, parameters: Mapping[str, float], rng_of: RngOf) -> Capture:
    """Keep a share of the views, drawn evenly; a lower share keeps a subset of what a higher one keeps.

    The others are not in the capture at all, so nobody asks for their poses; the held-out views are the same ones.
    """
    count = max(round(parameters["share"] * len(capture.images)), LEAST)
    lots = {view: rng_of(view).random() for view in capture.images}  # each view's own: order and company are nothing
    return showing(capture, set(sorted(lots, key=lambda view: (lots[view], view))[:count]))


def showing(capture: Capture, views: Collection[ViewId]) -> Capture:
    """These views of the capture and no others, in its order."""
    masks, start = capture.masks, capture.start
    return replace(
        capture,
        images={view: image for view, image in capture.images.items() if view in views},
        masks=None if masks is None else {view: mask for view, mask in masks.items() if view in views},
        start=None if start is None else {view: pose for view, pose in start.items() if view in views},
        exact=capture.exact & frozenset(views),
    )


KINDS = (
    Kind(
        name="fewer_views",
        family="views",
        summary="a random share of the views, at least four",
        view_consistent=True,
        once=True,
        levels={"share": (1.0, 0.5, 0.25, 0.12, 0.08, 0.06)},
        apply=fewer_views,
        touches=frozenset({"views"}),
    ),
)
