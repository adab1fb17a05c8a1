"""What all pages share: the templates, and what these may call upon."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment
from markupsafe import Markup, escape

from bench.regime import parse_regime
from reports import text
from reports.analysis import entries as analysed
from reports.analysis import robustness
from reports.analysis.columns import COLUMNS, CORE, HEADLINE, SHORT, STAGES
from reports.analysis.leaderboard import STATISTICS
from reports.analysis.questions import Question
from reports.analysis.table import spans
from reports.analysis.verdict import MISALIGNED_MEANS
from reports.pictures import ERROR_FULL

PALETTE = 7  # colours of methods before dashes tell them apart


def environment(facts: Mapping[str, Any], places: Mapping[Question, str]) -> Environment:
    made = text.environment("reports.site", autoescape=True)
    first = {question.scene: path for question, path in reversed(list(places.items()))}
    made.globals |= dict(facts) | {
        "places": places,
        "colour": {method: k for k, method in enumerate(facts["methods"])},
        "palette": PALETTE,
        "scene_page": first.__getitem__,
        "reason": analysed.reason,
        "value": analysed.value, "zip": zip,
        "describe_given": analysed.describe_given,
        "short": SHORT,
        "stages": STAGES,
        "statistics": list(STATISTICS),
        "magma": _magma(), "error_full": ERROR_FULL,
        "kinds_of": lambda columns: spans(kind for kind, _ in columns),
        "show_area": robustness.show_area,
        "headline": [COLUMNS[name] for name in HEADLINE],
        "core": CORE, "misaligned_means": MISALIGNED_MEANS,
    }  # fmt: skip
    made.filters |= {"soft": _breakable, "size": lambda effort: parse_regime(effort).words}
    return made


@lru_cache(maxsize=4096)  # the same few names on every page
def _breakable(name: str) -> Markup:
    """A long name, escaped, with places where a line may end."""
    return Markup("<wbr>").join(escape(piece) for piece in re.split(r"(?<=[\[,=/])", name))


def _magma() -> dict[str, Any]:
    """The error map's colours: as a CSS gradient, and by channel as the tables of an SVG filter."""
    stops = mpl.colormaps["magma"](np.linspace(0, 1, 17))[:, :3]  # (17, 3)
    colours = ", ".join("#{:02x}{:02x}{:02x}".format(*np.rint(255 * stop).astype(int)) for stop in stops[::2])
    tables_ = [" ".join(f"{value:.3f}" for value in stops[:, k]) for k in range(3)]
    return {"gradient": f"linear-gradient(90deg, {colours})", "channels": list(zip("RGB", tables_, strict=True))}
