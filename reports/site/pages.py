"""The pages of a site, each a template over what the report knows. Nothing is read from a page but files beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import groupby, islice
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from bench.record import read_log
from reports import aggregates, cameras, curves, details, heat, scores, tables
from reports.columns import COLUMNS, HEADLINE, SHORT, STAGES, Column
from reports.naming import slug
from reports.orbit import orbit
from reports.pictures import Album, Picture, View, typical
from reports.scores import Entry, Question
from reports.site import chart, figures
from reports.verdict import of_question

PALETTE = 7  # colours of methods before dashes tell them apart
CURVES = 12  # of one fit
ERROR_FULL = 0.3
"""Mean absolute error over channels, of 1, that the error map's last colour stands for."""

Learnt = dict[str, dict[str, curves.Points]]
"""PSNR and loss of each fit of a scene, by the page of its cell."""

ASSETS = ("theme.js", "site.js", "cell.js", "orbit.js", "style.css")


def site(facts: Mapping[str, Any], album: Album) -> Iterator[tuple[str, str]]:
    """(path from the site's root, content) of every page and asset, one at a time."""
    for name in ASSETS:
        yield f"assets/{name}", (files("reports.site") / "assets" / name).read_text(encoding="utf-8")
    entries: Sequence[Entry] = facts["entries"]
    places = _places(entries)
    environment = _environment(facts, places)
    render = _Render(environment)
    yield render("index", covers=_covers(entries, album), **_overview(facts))
    yield render("cells", options=_options(entries), shown_columns=_glance(entries))
    yield render("statistics", **_statistics(facts))
    yield render("protocol")
    relatives = _Relatives(entries)
    for held in scores.by_scene(entries).values():
        learnt: Learnt = {}
        for entry in held:
            log = read_log(entry.folder)
            series = curves.series(log)
            learnt[entry.page] = {name: chart.thinned(points) for name, points in curves.headline(series).items()}
            yield render("cell", path=entry.page, **_cell(entry, log, series, album, relatives))
        for question, each in scores.by_question(held).items():
            yield render(
                "scene",
                path=places[question],
                kin=list(scores.by_question(held)),
                **_scene(question, each, album, learnt),
            )


def _places(entries: Sequence[Entry]) -> dict[Question, str]:
    """A page for each question; the first of a scene bears the scene's own name."""
    found: dict[Question, str] = {}
    for scene, each in scores.by_scene(entries).items():
        for k, question in enumerate(scores.by_question(each)):
            name = "/".join((scene, question.degradation, question.effort, question.protocol, question.reference))
            short = f"{scene}/{question.degradation}"
            alone = sum(other.degradation == question.degradation for other in scores.by_question(each)) == 1
            found[question] = f"scenes/{slug(scene if k == 0 else short if alone else name)}.html"
    return found


class _Render:
    """Renders a template to (path, text), with the way back to the site's root."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def __call__(self, template: str, path: str = "", **facts: Any) -> tuple[str, str]:
        path = path or f"{template}.html"
        root = "../" * path.count("/")
        return path, self.environment.get_template(f"{template}.html.j2").render(root=root, here=path, **facts)


def _environment(facts: Mapping[str, Any], places: Mapping[Question, str]) -> Environment:
    environment = Environment(
        loader=PackageLoader("reports.site"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    first = {question.scene: path for question, path in reversed(list(places.items()))}
    environment.globals |= dict(facts) | {
        "places": places,
        "colour": {method: k for k, method in enumerate(facts["methods"])},
        "palette": PALETTE,
        "scene_page": first.__getitem__,
        "reason": scores.reason,
        "value": scores.value, "zip": zip,
        "describe_given": scores.describe_given,
        "short": SHORT,
        "stages": STAGES,
        "magma": _magma(), "error_full": ERROR_FULL, "camera_side": cameras.SIDE,
        "groups": _groups,
        "kinds_of": lambda columns: _spans(kind for kind, _ in columns),
        "headline": [COLUMNS[name] for name in HEADLINE],
    }  # fmt: skip
    environment.filters |= {"soft": _breakable}
    return environment


def _spans(names: Iterable[str]) -> list[tuple[str, int]]:
    """Headings that span columns: runs of equal names, and their lengths."""
    return [(name, len(list(run))) for name, run in groupby(names)]


def _breakable(name: str) -> Markup:
    """A long name, escaped, with places where a line may end."""
    return Markup("<wbr>").join(escape(piece) for piece in re.split(r"(?<=[\[,=/_])", name))


def _groups(heads: Sequence[aggregates.Head]) -> list[tuple[str, int]]:
    """Headings over the columns of an aggregated table."""
    return _spans(SHORT.get(head.column.group, head.column.group) for head in heads)


def _magma() -> dict[str, Any]:
    """The error map's colours: as a CSS gradient, and by channel as the tables of an SVG filter."""
    stops = mpl.colormaps["magma"](np.linspace(0, 1, 17))[:, :3]  # (17, 3)
    colours = ", ".join("#{:02x}{:02x}{:02x}".format(*np.rint(255 * stop).astype(int)) for stop in stops[::2])
    tables_ = [" ".join(f"{value:.3f}" for value in stops[:, k]) for k in range(3)]
    return {"gradient": f"linear-gradient(90deg, {colours})", "channels": list(zip("RGB", tables_, strict=True))}


def _overview(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tiers": list(dict.fromkeys(facts["given"].values())),
        "measures": heat.MEASURES,
        "statistics": list(aggregates.STATISTICS),
        "kinds": figures.robustness(facts["curves"]),
        "quantities": figures.TITLES,
        "tradeoffs": [(each, figures.tradeoff(each)) for each in facts["bargains"]],
    }


def _statistics(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "statistics": list(aggregates.STATISTICS),
        "compared": [(each, figures.rank_diagram(each)) for each in facts["comparisons"]],
    }


def _covers(entries: Sequence[Entry], album: Album) -> dict[str, Picture | None]:
    """A held-out view that stands for each scene."""
    covers: dict[str, Picture | None] = {}
    for scene, each in scores.by_scene(entries).items():
        truth = [picture for question in scores.by_question(each) for picture in album.truth[question].values()]
        covers[scene] = next((picture for picture in truth if picture.path), None)
    return covers


def _glance(entries: Sequence[Entry]) -> list[Column]:
    """The few columns of the table of all cells."""
    names = (
        "pose/rotation_deg_median", "pose/registered", "nvs/aligned/iou", "nvs/aligned/psnr", "nvs/refined/psnr",
        "nvs/registered/psnr", "cost/fit_seconds",
    )  # fmt: skip
    return [COLUMNS[name] for name in names if any(scores.value(entry.result, name) is not None for entry in entries)]


def _options(entries: Sequence[Entry]) -> dict[str, list[str]]:
    """What the table of cells can be filtered by."""
    return {
        "status": [name for name in scores.STATUSES if any(entry.result.status == name for entry in entries)],
        "scene": list(scores.by_scene(entries)),
        "degradation": list(scores.by_degradation(entries)),
        "method": list(scores.by_method(entries)),
        "given": sorted({scores.describe_given([entry]) for entry in entries}),
    }


def _scene(question: Question, entries: Sequence[Entry], album: Album, learnt: Learnt) -> dict[str, Any]:
    """One scene under one degradation: its table, renders, cameras and curves."""
    methods = scores.by_method(entries)
    return {
        "question": question,
        "finding": of_question(question, entries),
        "board": tables.leaderboard(question, entries),
        "cells": tables.cells(question, entries),
        "views": album.common[question],
        "truth": album.truth[question],
        "shown": album.shown[question],
        "strips": [_strip(each, album) for each in methods.values()],
        "cameras": [cameras.cameras(_for_cameras(each)) for each in methods.values()],
        "curves": _learning(entries, learnt),
    }


def _strip(entries: Sequence[Entry], album: Album) -> tuple[Entry, tuple[View, ...], str]:
    """The middle seed of a method, its common views, or why there are none."""
    entry = typical([entry for entry in entries if album.views[entry.page]])
    if entry is not None:
        return entry, tuple(view for view in album.views[entry.page] if view.common), ""
    ended = {scores.ended(entry) for entry in entries if not entry.done}
    why = "no renders, " + "; ".join(sorted(ended)) if ended else "no renders were kept"
    return entries[0], (), why


def _for_cameras(entries: Sequence[Entry]) -> Entry:
    """The seed whose cameras stand for a method: the middle one by rotation error, of those done."""

    def error(entry: Entry) -> float:
        found = scores.value(entry.result, scores.ROTATION)
        return np.inf if found is None or np.isnan(found) else found

    done = [entry for entry in entries if entry.done]
    ordered = sorted(done or entries, key=lambda entry: (error(entry), entry.result.cell.seed))
    return ordered[(len(ordered) - 1) // 2]


def _learning(entries: Sequence[Entry], learnt: Learnt) -> list[chart.Chart]:
    """PSNR and loss of all fits of a question."""
    held = [(entry, learnt[entry.page]) for each in scores.by_method(entries).values() for entry in each]
    found = []
    for name, title in (("psnr", "Training PSNR (dB)"), ("loss", "Training loss")):
        series = {
            f"{entry.method}, seed {entry.result.cell.seed}": (entry.method, points[name])
            for entry, points in held
            if name in points
        }
        if series:
            found.append(chart.learning(title, series, log=name == "loss"))
    return found


def _cell(
    entry: Entry, log: Sequence[Mapping[str, Any]], series: Mapping[str, curves.Points], album: Album,
    relatives: _Relatives,
) -> dict[str, Any]:  # fmt: skip
    views = album.views[entry.page]
    return {
        "detail": details.detail(entry, log),
        "views": views,
        "viewer": [_viewer(view) for view in views],
        "previews": album.previews[entry.page],
        "orbit": orbit(entry),
        "charts": [_one(entry, name, points) for name, points in islice(series.items(), CURVES)],
        "more_charts": len(series) - CURVES,
        "relatives": relatives.of(entry),
    }


def _one(entry: Entry, name: str, points: curves.Points) -> chart.Chart:
    log = curves.is_loss(name) and bool((points[:, 1] > 0).all())
    return chart.learning(name, {name: (entry.method, points)}, log=log)


def _viewer(view: View) -> dict[str, Any]:
    """What the slider needs of one view."""
    return {
        "name": view.name,
        "truth": view.truth.path,
        "stages": [
            {
                "name": stage,
                "path": picture.path,
                "alt": picture.alt,
                "problem": picture.problem,
                "score": view.scores[stage],
            }
            for stage, picture in view.stages.items()
        ],
    }


class _Relatives:
    """Cells that differ from a given one in one thing only: what a reader goes to next."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self.cells = {self._key(entry): entry for entry in entries}
        self.names = {
            "method": list(scores.by_method(entries)),
            "degradation": list(scores.by_degradation(entries)),
            "scene": list(scores.by_scene(entries)),
            "seed": sorted({entry.result.cell.seed for entry in entries}),
        }
        order = list(entries)
        self.before = dict(zip((entry.page for entry in order[1:]), order, strict=False))
        self.after = dict(zip((entry.page for entry in order), order[1:], strict=False))

    @staticmethod
    def _key(entry: Entry) -> tuple[Any, ...]:
        cell = entry.result.cell
        return cell.method, cell.degradation, cell.scene, cell.seed

    def of(self, entry: Entry) -> dict[str, Any]:
        key = self._key(entry)
        rows = []
        for place, (what, names) in enumerate(self.names.items()):
            found = [(name, self.cells.get((*key[:place], name, *key[place + 1 :]))) for name in names]
            if sum(other is not None for _, other in found) > 1:
                rows.append((what, [(str(name), other) for name, other in found if other is not None]))
        return {"rows": rows, "before": self.before.get(entry.page), "after": self.after.get(entry.page)}
