"""Names that a person typed and nobody has: what is said of them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownName(ValueError):  # noqa: N818 - reads as what it says
    """A name that no scene, method or option has: the message lists the nearest known ones."""


class BrokenMethod(ValueError):  # noqa: N818 - reads as what it says
    """A method is installed and cannot be imported."""


def nearest(name: str, known: Iterable[str], before: str = "") -> str:
    """The end of a refusal: the known names that `name` may have been meant for, or all of them, each with what is
    written `before` it."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return "; did you mean " + " or ".join(before + name for name in close) + "?"
    return "; known are " + ", ".join(before + name for name in known) if known else "; none are known"
