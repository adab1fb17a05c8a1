"""The pages of a site, each a template over what the report knows. Nothing is read from a page but files beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import compress, islice
from pathlib import Path
from typing import Any

from bench.record import read_log
from reports import parallel
from reports.analysis import entries as cells
from reports.analysis import heat
from reports.analysis.columns import COLUMNS, Column
from reports.analysis.entries import Entry
from reports.analysis.findings import finding
from reports.analysis.leaderboard import Board
from reports.analysis.questions import Question
from reports.analysis.scorebook import Scorebook
from reports.analysis.verdict import caveats, poorly_aligned
from reports.naming import slug
from reports.pictures import Album, View, budget, typical
from reports.site import chart, curves, details, figures, reliability, template_environment
from reports.site.orbit import orbit
from reports.site.relatives import Relatives

CURVES = 12  # of one fit

Facts = dict[str, Any]
"""What a template is told."""

Learnt = dict[str, dict[str, curves.Points]]
"""PSNR and loss of each fit, by the page of its cell."""

ASSETS = ("theme.js", "site.js", "cell.js", "orbit.js", "style.css")


def site(facts: Facts, album: Album) -> Iterator[tuple[str, str]]:
    """(path from the site's root, content) of every page and asset, one at a time."""
    for name in ASSETS:
        yield f"assets/{name}", (files("reports.site") / "assets" / name).read_text(encoding="utf-8")
    entries: Sequence[Entry] = facts["entries"]
    places = _places(entries)
    templates = template_environment.environment(facts, places)

    def render(name: str, path: str = "", **told: Any) -> tuple[str, str]:
        path = path or f"{name}.html"
        return path, templates.get_template(f"{name}.html.j2").render(root="../" * path.count("/"), here=path, **told)

    told = sorted({cells.describe_given([entry]) for entry in entries})
    yield render("cells", told=told, shown_columns=_glance(entries))
    compared = [(each, each.ranks and figures.rank_diagram(each.ranks)) for each in facts["comparisons"]]
    yield render("statistics", compared=compared, honest=reliability.drawn(facts["reliabilities"]))
    yield render("protocol")
    relatives, boards = Relatives(entries), dict(facts["boards"])
    whole = budget(len(entries)).drawn

    def page(entry: Entry) -> tuple[str, str, dict[str, curves.Points]]:
        log = read_log(entry.folder)
        series = curves.series(log)
        place = Path(facts["suite"], *entry.cell.folder.parts[:1])
        without = "" if whole else f"not in a report of so many cells; one of the folder {place} alone draws them"
        path, content = render("cell", path=entry.page, **_cell(entry, log, series, album, relatives, without))
        return path, content, {name: chart.thinned(points) for name, points in curves.headline(series).items()}

    learnt: Learnt = {}
    for path, content, learnt[path] in parallel.each(page, entries):
        yield path, content
    questions = cells.by_question(entries)
    kin = cells.grouped(questions, lambda question: question.scene, str)

    def scene(question: Question) -> tuple[str, str]:
        shown = _scene(question, questions[question], boards[question], facts["book"], album, learnt)
        return render("scene", path=places[question], kin=kin[question.scene], **shown)

    yield from parallel.each(scene, list(questions), len(entries))
    firsts = [each[0] for each in kin.values()]
    yield render(
        "index",
        glances=[_seen(question, questions[question], boards[question], album) for question in firsts],
        references={question.reference for question in firsts},
        tiers=list(dict.fromkeys(facts["given"].values())),
        measures=heat.MEASURES,
        kinds=figures.robustness(facts["curves"]),
        quantities=figures.TITLES,
        tradeoffs=[(each, figures.tradeoff(each)) for each in facts["costs"]],
    )


def _places(entries: Sequence[Entry]) -> dict[Question, str]:
    """A page for each question; the first of a scene bears the scene's own name."""
    found: dict[Question, str] = {}
    for scene, each in cells.by_scene(entries).items():
        kin = cells.by_question(each)
        for k, question in enumerate(kin):
            short = f"{scene}/{question.degradation}"
            name = "/".join((short, question.effort, question.protocol, question.reference))
            alone = sum(other.degradation == question.degradation for other in kin) == 1
            found[question] = f"scenes/{slug(scene if k == 0 else short if alone else name)}.html"
    return found


def _glance(entries: Sequence[Entry]) -> list[Column]:
    """The few columns of the table of all cells."""
    names = (
        "pose/rotation_deg_median", "pose/registered", "nvs/aligned/iou", "nvs/aligned/psnr", "nvs/refined/psnr",
        "nvs/registered/psnr", "cost/fit_seconds",
    )  # fmt: skip
    return [COLUMNS[name] for name in names if any(cells.value(entry.result, name) is not None for entry in entries)]


def _scene(
    question: Question, entries: Sequence[Entry], board: Board, book: Scorebook, album: Album, learnt: Learnt
) -> Facts:
    """One scene under one degradation: what was found, and how the fits learnt, beside what is seen of it."""
    return _seen(question, entries, board, album) | {
        "finding": finding(question.title, entries, book),
        "caveats": caveats(entries),
        "shown": album.shown[question],
        "curves": _learning(entries, learnt),
    }


def _seen(question: Question, entries: Sequence[Entry], board: Board, album: Album) -> Facts:
    """Of one scene under one degradation its table, renders and cameras, methods as the table has them."""
    held = cells.by_method(entries)
    methods = [held[row.label] for row in board.rows]
    return {
        "question": question,
        "board": board,
        "views": album.common[question],
        "truth": album.truth[question],
        "films": album.films,
        "strips": [_strip(each, album) for each in methods],
        "cameras": [(entry, orbit(entry)) for each in methods if (entry := typical(each))],
    }


def _strip(entries: Sequence[Entry], album: Album) -> tuple[Entry, tuple[View, ...], str]:
    """The middle seed of a method, its common views, or why there are none."""
    entry = typical([entry for entry in entries if album.views[entry.page]])
    if entry is not None:
        return entry, tuple(view for view in album.views[entry.page] if view.common), ""
    ended = {cells.ended(entry) for entry in entries if not entry.done}
    why = "no renders, " + "; ".join(sorted(ended)) if ended else "no renders were kept"
    return entries[0], (), why


def _learning(entries: Sequence[Entry], learnt: Learnt) -> list[chart.Chart]:
    """PSNR and loss of all fits of a question."""
    ordered = [entry for each in cells.by_method(entries).values() for entry in each]
    found = []
    for name, title in (("psnr", "Training PSNR (dB)"), ("loss", "Training loss")):
        held = [entry for entry in ordered if name in learnt[entry.page]]
        series = {f"{e.cell.method}, seed {e.cell.seed}": (e.cell.method, learnt[e.page][name]) for e in held}
        found += [chart.learning(title, series, log=name == "loss")] if series else []
    return found


def _cell(
    entry: Entry, log: curves.Log, series: Mapping[str, curves.Points], album: Album, relatives: Relatives,
    without: str,
) -> Facts:  # fmt: skip
    """`without` is why its page draws neither cameras nor internals of the method; empty where it does."""
    views = album.views[entry.page]
    some = {name: points for name, points in series.items() if curves.kind(name) in curves.FIRST or not without}
    drawn = [_one(entry, name, points) for name, points in islice(some.items(), CURVES)]
    is_shown = ["psnr" in each.title or "loss" in each.title for each in drawn]
    return {
        "entry": entry,
        "detail": details.detail(entry, log),
        "misaligned": poorly_aligned([entry]),
        "views": views,
        "viewer": [_viewer(view) for view in views],
        "previews": album.previews[entry.page],
        "films": album.films[entry.page],
        "orbit": without or orbit(entry),
        "charts": list(compress(drawn, is_shown)),
        "internals": [each for each, shown in zip(drawn, is_shown, strict=True) if not shown],
        "more_charts": len(series) - len(drawn),
        "without": without,
        "relatives": relatives.of(entry),
    }


def _one(entry: Entry, name: str, points: curves.Points) -> chart.Chart:
    log = "loss" in name.split("/") and bool((points[:, 1] > 0).all())
    return chart.learning(name, {name: (entry.cell.method, points)}, log=log)


def _viewer(view: View) -> Facts:
    """What the slider needs of one view."""
    return {
        "name": view.name,
        "truth": view.truth.path,
        "stages": [
            {"name": stage, "path": p.path, "alt": p.alt, "problem": p.problem, "score": view.scores[stage]}
            for stage, p in view.stages.items()
        ],
    }
