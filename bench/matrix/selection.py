"""The selection grammar: `all`, globs, commas, ranges, `method[option=value]` -> scenes, methods, degradations."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from bench.cell import join_label, split_label
from bench.degrade import CLEAN, KINDS, Degradation, parse
from bench.matrix.interpreter import nameable
from bench.matrix.registry import (
    BrokenMethod,
    ConfiguredMethod,
    MethodRef,
    UnknownName,
    find_method,
    find_scene,
    is_path,
    method_refs,
    scene_sources,
)
from bench.scene import SceneSource

RANGE = re.compile(r"(\d+)(?:-(\d+))?")
MOST = 10_000
"""Numbers of a range, seeds of a matrix, and degradations of it: each is a cell at least, and held in memory."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What names a matrix, in the words of `unposed run`; `plan` reads it."""

    scenes: str = "blocks"
    methods: str = "all"
    degradations: str = CLEAN
    seeds: str = "0"
    effort: str = "quick"  # a label of bench.regime
    roots: tuple[Path, ...] = ()  # folders of real scenes
    python: str | None = None  # under which methods that are given by path run
    suite: Path | None = None  # where scenes given by path have names already


def split_list(text: str) -> list[str]:
    """`nerf,colmap_nerf[mapper=global,field=grid]` -> its parts; commas within brackets belong to the part."""
    parts = [part.strip() for part in re.split(r",(?![^\[]*\])", text)]
    return [part for part in parts if part]


def parse_seeds(text: str) -> list[int]:
    """`0-2,7` -> [0, 1, 2, 7]. Raises ValueError."""
    seeds: dict[int, None] = {}
    for part in split_list(text):
        if (found := _range(part)) is None:
            raise ValueError(f"seeds {text!r}: {part!r} is neither a number nor a range such as 0-4")
        if not found:
            raise ValueError(f"seeds {text!r}: the range {part!r} runs backwards")
        seeds |= dict.fromkeys(_bounded(found, f"seeds {text!r}", part))
    if not seeds:
        raise ValueError("seeds: none given")
    if len(seeds) > MOST:
        raise ValueError(f"seeds {text!r}: these are {len(seeds):,}, and a matrix has {MOST:,} at most")
    return list(seeds)


def select_scenes(
    text: str, roots: Sequence[Path], suite: Path | None = None
) -> tuple[list[SceneSource], list[SceneSource]]:
    """Scenes present, and scenes named by a pattern but absent. A scene named outright must be present.

    Folders of one last name are told apart by those above, with the names that a `suite` has for them already; one of
    these names alone is the folder that it was of.
    """
    from bench.matrix.scene_names import named_apart, remembered

    known = scene_sources(tuple(roots))
    present: dict[str, SceneSource] = {}
    absent: dict[str, SceneSource] = {}
    folders: list[Path] = []
    for part in split_list(text):
        if part == "all" or _is_pattern(part):
            matching = [source for source in known.values() if part == "all" or fnmatchcase(source.name, part)]
            if not matching:
                raise UnknownName(f"no scene matches {part!r}; `unposed list scenes` shows what is known")
            for source in matching:
                (absent if source.missing else present)[source.name] = source
        elif part not in known and Path(part).is_dir():
            folders.append(Path(part))
        elif part not in known and (place := remembered(part, suite)) is not None:
            folders.append(place)
        else:
            source = find_scene(part, roots)
            if source.missing:
                raise UnknownName(f"scene {source.name!r} is not here: {source.missing}")
            present[source.name] = source
    if folders:
        present |= {source.name: source for source in named_apart(folders, present, suite)}
    if not present:
        raise UnknownName(f"no scene that {text!r} names is present; `unposed list scenes` says how to get each")
    return list(present.values()), list(absent.values())


def select_methods(text: str, python: str | None = None) -> tuple[list[ConfiguredMethod], dict[str, str]]:
    """Methods, and those named by a pattern that cannot be imported, with why. One named outright must be whole.

    `python` is the interpreter of those that are given by path and name none of their own.
    """
    chosen: dict[str, ConfiguredMethod] = {}
    broken: dict[str, str] = {}
    parts = split_list(text)
    for part in parts if python is None else under(python, parts):
        if part == "all" or (_is_pattern(part.partition("[")[0]) and "/" not in part):
            name, bracket, options = part.partition("[")
            names = [known for known in method_refs() if name == "all" or fnmatchcase(known, name)]
            if not names:
                raise UnknownName(f"no method matches {part!r}; known are {', '.join(method_refs())}")
            found = []
            for known in names:
                try:
                    each = find_method(known + bracket + options)
                except BrokenMethod as error:
                    broken[known] = str(error)
                    continue
                unnamed = "estimate" in each.method.traits.needs or each.method.config.get("python") == ""
                if not unnamed:  # a pattern does not know what was submitted, nor where another environment is
                    found.append(each)
            if not found and not broken:
                raise UnknownName(f"{part!r} matches submitted rows alone; name each outright, as poses[name=NAME]")
        else:
            found = [find_method(part)]
        for method in found:
            other = chosen.setdefault(method.label, method)
            if (other.ref.file, other.ref.python) != (method.ref.file, method.ref.python):
                places = " and ".join(_place(ref) for ref in (other.ref, method.ref))
                raise ValueError(f"two methods are called {method.label!r}: {places}; rename one")
    if not chosen:
        raise ValueError("; ".join(broken.values()) or "no method is named")
    return list(chosen.values()), broken


def under(python: str, labels: Sequence[str]) -> list[str]:
    """Labels of methods, those of paths with this interpreter unless they name one. Raises ValueError where none is."""
    if not any(is_path(label.partition("[")[0].strip()) for label in labels):
        raise ValueError(f"--python {python}: no method is given by its path, as path/to/method.py; others run here")
    found, python = [], nameable(python)
    for label in labels:
        name, options = split_label(label)
        found.append(join_label(name, {"python": python, **options}) if is_path(name) else label)
    return found


def _place(ref: MethodRef) -> str:
    return str(ref.file or ref.target) + (f" under {ref.python}" if ref.python else "")


def select_kinds(text: str) -> list[str]:
    """`noise,low_texture` -> names of kinds: families, globs and `all` stand for theirs. Raises ValueError."""
    chosen: list[str] = []
    for part in split_list(text):
        if part == CLEAN:
            raise ValueError(f"{CLEAN} is no kind of degradation but the scene as it is, severity 0 of every kind")
        matching = [name for name, kind in KINDS.items() if part in ("all", kind.family) or fnmatchcase(name, part)]
        if not matching and _is_pattern(part):
            raise UnknownName(f"no degradation matches {part!r}; `unposed list degradations` shows what is known")
        chosen += matching or [Degradation(kind=part, severity=1).kind]  # which says what is near
    return list(dict.fromkeys(chosen))


def select_degradations(text: str) -> list[Degradation]:
    """`clean,noise@1-5` -> degradations: kinds as `select_kinds` has them, each at a severity or a range of them, and
    by the draws that `noise@3#7` or `noise@3#0-4` fix."""
    chosen: dict[str, Degradation] = {}
    for part in split_list(text):
        head, mark, draws = (word.strip() for word in part.partition("#"))
        names, at, severities = (word.strip() for word in head.partition("@"))
        kinds = [CLEAN] if names == CLEAN else select_kinds(names)
        for kind, severity, draw in itertools.product(kinds, _span(part, severities), _span(part, draws)):
            try:
                degradation = parse(f"{kind}{at}{severity}{mark}{draw}")
            except ValueError as error:
                raise ValueError(f"{error}; a range is of whole severities, as in {kind}@1-5") from error
            chosen[degradation.label] = degradation
            if len(chosen) > MOST:
                raise ValueError(f"degradations {text!r}: a matrix has {MOST:,} at most, and these are more")
    if not chosen:
        raise ValueError("no degradation is named; `clean` is the scene as it is")
    return list(chosen.values())


def _span(part: str, text: str) -> Sequence[int | str]:
    """The numbers of a range within `part`, or the text itself where it is none. Raises ValueError."""
    span = _range(text)
    if span is not None and not span:
        raise ValueError(f"degradation {part!r}: the range {text!r} runs backwards")
    return _bounded(span, f"degradation {part!r}", text) if span else [text]


def _bounded(span: range, what: str, text: str) -> range:
    """The range, where what is made of it can be held. Raises ValueError."""
    if span[-1] - span[0] >= MOST:
        raise ValueError(f"{what}: the range {text!r} holds more than {MOST:,} numbers")
    return span


def _range(text: str) -> range | None:
    """`3` or `1-5`, both ends included; empty where it runs backwards; None for anything else."""
    match = RANGE.fullmatch(text)
    return match and range(int(match[1]), int(match[2] or match[1]) + 1)


def _is_pattern(text: str) -> bool:
    return any(mark in text for mark in "*?")
