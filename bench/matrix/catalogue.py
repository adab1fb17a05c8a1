"""What there is, as rows and as pages: scenes, methods and degradations, for `unposed list` and `unposed info`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.degrade import KINDS, is_random
from bench.degrade.kind import Kind
from bench.matrix.registry import (
    ConfiguredMethod,
    UnknownName,
    find_method,
    find_scene,
    method_refs,
    nearest,
    scene_sources,
)
from bench.record import PRETRAINED, given_in_words
from bench.scene import SceneSource

Row = dict[str, Any]


def scene_rows(roots: Sequence[Path]) -> list[Row]:
    """A row a known scene, the absent ones too."""
    return [_scene(source) for source in scene_sources(tuple(roots)).values()]


def absent_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Of scenes that are not here, those that are had in one way together: `nerf_synthetic/{chair,drums}`."""
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row["missing"]:
            groups.setdefault((row["summary"], row["missing"]), []).append(row["name"])
    for (summary, how), names in groups.items():
        yield f"{_together(names)}: {summary}"
        yield f"    {how}"


def _together(names: Sequence[str]) -> str:
    """`a/{b,c}, d/e` of a/b, a/c and d/e."""
    families: dict[str, list[str]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        families.setdefault(folder, []).append(last)
    parts = []
    for folder, members in families.items():
        inner = members[0] if len(members) == 1 else "{" + ",".join(members) + "}"
        parts.append(f"{folder}/{inner}" if folder else inner)
    return ", ".join(parts)


def method_rows() -> list[Row]:
    """A row an installed method; one that does not run here says why."""
    rows = []
    for name in method_refs():
        try:
            rows.append(_method(name, find_method(name)))
        except ValueError as error:
            rows.append({"name": name, "summary": "does not run here", "note": str(error)})
    return rows


def degradation_rows() -> list[Row]:
    """A row a kind of degradation."""
    return [_degradation(kind) for kind in KINDS.values()]


def find(name: str, roots: Sequence[Path]) -> Row:
    """All that is known of a method, a scene or a degradation. Raises UnknownName, with the nearest known names."""
    label = name.partition("[")[0]
    if label in KINDS:
        return {"what": "degradation", **_degradation(KINDS[label])}
    if label in method_refs() or label.endswith(".py"):
        found = find_method(name)
        return {
            "what": "method", **_method(found.method.name, found), "options": found.method.options,
            "numbers": found.method.numbers,
        }  # fmt: skip
    if name in scene_sources(tuple(roots)) or Path(name).is_dir():
        return {"what": "scene", **_scene(find_scene(name, roots))}
    known = [*method_refs(), *KINDS, *scene_sources(tuple(roots))]
    raise UnknownName(f"no method, scene or degradation is called {name!r}{nearest(name, known)}")


def page(row: Row) -> Iterator[str]:
    """The lines of `unposed info`."""
    yield f"{row['name']} ({row['what']}): {row['summary']}"
    if row["what"] == "scene":
        yield f"truth: {row['reference']}; can give {', '.join(row['inputs']) or 'images alone'}"
        yield f"not here: {row['missing']}" if row["missing"] else f"try it: unposed run -s {row['name']} -m nerf"
    elif row["what"] == "degradation":
        yield f"{row['note']}; changes {', '.join(row['touches'])}"
        yield (
            f"drawn by the cell's seed, alike for all methods; {row['name']}@3#7 is draw 7 at every seed"
            if row["random"]
            else "nothing is drawn: it is the same at every seed"
        )
        yield from _levels(row)
        yield f"look at it: unposed data preview blocks -d {row['name']}"
    else:
        yield from _method_page(row)


def _method_page(row: Row) -> Iterator[str]:
    if row["paper"]:
        yield f"paper: {row['paper']}"
    yield f"version {row['version']}; {row['note']}"
    if row["uses"]:
        yield f"takes where there are some: {given_in_words(row['uses'])}"
    yield f"\noptions, as {row['name']}[name=value,...]:"
    width = max((len(option["name"]) for option in row["options"]), default=0)
    for option in row["options"]:
        line = f"  {option['name']:<{width}}  {option['type']} = {json.dumps(option['default'])}"
        yield line + (f"  # {option['text']}" if option["text"] else "")
    if row["numbers"]:
        yield f"\nnumbers reached:\n\n{row['numbers']}"


def _levels(row: Row) -> Iterator[str]:
    if row["levels"]:
        yield f"{'severity':<20}" + "".join(f"{k:>10}" for k in range(6))
    for parameter, values in row["levels"].items():
        yield f"{parameter:<20}" + "".join(f"{value:>10.4g}" for value in values)


def _scene(source: SceneSource) -> Row:
    return {
        "name": source.name, "summary": source.summary, "reference": source.reference,
        "inputs": sorted(source.inputs), "missing": source.missing,
        "note": f"not here: {source.missing}" if source.missing else f"truth: {source.reference}",
    }  # fmt: skip


def _method(name: str, found: ConfiguredMethod) -> Row:
    method, traits = found.method, found.method.traits
    given = (*traits.given, *traits.uses, *((PRETRAINED,) if method.pretrained_poses else ()))
    return {
        "name": name, "summary": method.summary, "version": method.version, "paper": method.paper,
        "note": f"given {given_in_words(given)}",
        "needs": sorted(traits.needs), "uses": sorted(traits.uses), "config": found.config,
    }  # fmt: skip


def _degradation(kind: Kind) -> Row:
    return {
        "name": kind.name, "summary": kind.summary, "family": kind.family, "levels": kind.levels,
        "view_consistent": kind.view_consistent, "random": is_random(kind), "touches": sorted(kind.touches),
        "needs": sorted(kind.needs),
        "note": f"{kind.family}; {'alike in all views' if kind.view_consistent else 'each view by itself'}",
    }  # fmt: skip
