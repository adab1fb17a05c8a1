"""How much of a scene is used, and how much is spent on it: the budget of fits, the size of images, views, the split.

What a run asks of its scenes and methods alike is one label, part of every cell: `quick`, `full@800`,
`quick+views=20+heldout=8`. Numbers of two labels never meet in a table.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from bench.stated_prior import WALKS, Walk
from bench.task import Effort

SIDE: Mapping[Effort, int] = {"smoke": 64, "quick": 200, "full": 400}
"""Longest side, in pixels, of every image shown and judged at an effort, unless its label names another: the same
pixels for every method."""

NATIVE = "native"
"""As large as images are stored."""

UNBOUNDED = 2**20  # px: no image is as large
SMALLEST = 16  # px
EFFORTS: tuple[Effort, ...] = get_args(Effort)


@dataclass(frozen=True, kw_only=True)
class Regime:
    """An effort is what a fit may cost: steps, grid sizes, its time limit. The side of the images is another axis: each
    effort has its own, and any other can be named beside it. What is None is as the scene has it."""

    effort: Effort = "quick"
    side: int | Literal["native"] | None = None  # longest, px; None: the effort's own
    views: int | None = None  # so many training views, evenly chosen in the order in which they were taken
    heldout: int | None = None  # the first of every so many frames is held out
    background: str | None = None  # "real", or a colour as people say it: "black", "0.1,0.6,0.2"
    prior: Walk | None = None  # a prior that is made of this family alone takes the place of the scene's

    @property
    def pixels(self) -> int:
        """Longest side of the images, at most; px."""
        if self.side == NATIVE:
            return UNBOUNDED
        return SIDE[self.effort] if self.side is None else int(self.side)

    @property
    def restates(self) -> bool:
        """Whether anything but its size is asked of a scene."""
        return self != Regime(effort=self.effort, side=self.side)

    @property
    def words(self) -> str:
        """`800 px, 20 training views, the first of every 8 frames held out`."""
        said = ["the size of the files" if self.side == NATIVE else f"{self.pixels} px"]
        said += [f"{self.views} training views"] if self.views else []
        said += [f"the first of every {self.heldout} frames held out"] if self.heldout else []
        said += [f"background said to be {self.background}"] if self.background else []
        said += [f"a prior of nothing but a {self.prior}"] if self.prior else []
        return ", ".join(said)

    @property
    def label(self) -> str:
        """The one way to write it: `full@800+views=20+heldout=8+background=real+prior=ring`."""
        size = "" if self.side in (None, SIDE[self.effort]) else f"@{self.side}"
        named = {name: getattr(self, name) for name in _NAMED}
        return f"{self.effort}{size}" + "".join(f"+{name}={value}" for name, value in named.items() if value)

    def stating(self, **more: int | str | None) -> Regime:
        """With what is not None of `more`. Raises ValueError."""
        said = {name: value for name, value in more.items() if value is not None}
        return parse_regime("+".join([self.label, *(f"{name}={value}" for name, value in said.items())]))


_NAMED = ("views", "heldout", "background", "prior")


def parse_regime(text: str) -> Regime:
    """`full`, `full@800`, `native` or `800` (a full budget), each with `+views=20` and its like. Raises ValueError."""
    head, *parts = text.strip().split("+")
    effort, _, side = head.partition("@")
    if effort and not side and effort not in EFFORTS:
        effort, side = "full", effort
    known: Effort | None = next((each for each in EFFORTS if each == effort), None)
    if known is None or not (side in ("", NATIVE) or (side.isdecimal() and int(side) >= SMALLEST)):
        raise ValueError(
            f"effort {text!r}: write {', '.join(EFFORTS)}; with another longest side as full@800 or full@native; "
            f"or a side alone ({SMALLEST} px or more), which means full"
        )
    regime = Regime(effort=known, side=NATIVE if side == NATIVE else int(side) if side else None)
    for part in parts:
        name, _, value = part.partition("=")
        regime = replace(regime, **{name: _value(text, name, value)})
    return parse_regime(regime.label) if regime.side == SIDE[known] else regime


def effort_of(label: str) -> Effort:
    """The budget that a label names. Raises ValueError."""
    return parse_regime(label).effort


def pixels_of(label: str) -> int:
    """The longest side, px, that a label names. Raises ValueError."""
    return parse_regime(label).pixels


def _value(text: str, name: str, value: str) -> int | str:
    fewest = {"views": 4, "heldout": 2}.get(name)
    if fewest is not None:
        number = re.fullmatch(r"(?:every:)?(\d+)" if name == "heldout" else r"(\d+)", value)
        if not number or int(number[1]) < fewest:
            raise ValueError(f"{text!r}: {name} must be a whole number from {fewest} on, and is {value!r}")
        return int(number[1])
    if name == "prior" and value not in WALKS:
        raise ValueError(f"{text!r}: prior must be one of {', '.join(WALKS)}, and is {value!r}")
    if name not in _NAMED or not value:
        raise ValueError(f"{text!r}: after an effort stands +{', +'.join(f'{each}=...' for each in _NAMED)}")
    return value
