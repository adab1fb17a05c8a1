"""What people type and what lies in a suite's folder: whatever it holds, it is read, or refused in one sentence."""

from __future__ import annotations

import datetime
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cell import Cell, join_label, split_label
from bench.cli.run import plan
from bench.matrix.selection import parse_seeds, select_degradations, select_kinds, select_methods, select_scenes
from bench.matrix.suite_file import SuiteFile, keep_suite_file, read_suite_file
from bench.record import Result, read_result
from bench.regime import parse_regime

SETTINGS = settings(
    max_examples=int(os.environ.get("UNPOSED_FUZZ", "60")), deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
WORDS = (
    "blocks", "nerf", "gnerf", "barf", "all", "clean", "gaussian_noise", "noise", "low_texture", "quick", "full",
    "ring", "views", "heldout", "prior", "field", "grid", "start_noise", "true", "seed", "0", "1", "3", "0-2", "2-1",
    "1e9", "nan", "@", "#", "-", "+", "=", ",", "[", "]", "*", "?", ".", "/", ":", " ", "%", "\\", "'", "\x00",
    "\udcff", "é", "9" * 30,
)  # fmt: skip
TYPED = st.one_of(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), st.text(max_size=20))
JUNK: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def refused_in_a_sentence(read: Callable[[], object]) -> bool:
    """Whether it was; raises what is no refusal, and for one that says nothing or too much."""
    try:
        read()
    except ValueError as error:
        said = str(error)
        assert said.strip() and "Traceback" not in said and len(said) < 3000, said
        return True
    return False


GRAMMAR: dict[str, Callable[[str], object]] = {
    "seeds": parse_seeds, "kinds": select_kinds, "degradations": select_degradations, "regime": parse_regime,
    "scenes": lambda text: select_scenes(text, ()), "methods": select_methods, "label": split_label,
}  # fmt: skip


@pytest.mark.parametrize("kind", GRAMMAR)
def test_what_is_typed_names_something_or_is_refused_in_a_sentence(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a path that is typed is none of this tree
    read = 0

    @SETTINGS
    @given(TYPED)
    def attempt(text: str) -> None:
        nonlocal read
        read += not refused_in_a_sentence(lambda: GRAMMAR[kind](text))

    attempt()
    for text in ("0-2", "gaussian_noise@1-3", "quick+views=20", "blocks", "nerf[field=grid]", "noise", "/"):
        read += not refused_in_a_sentence(lambda text=text: GRAMMAR[kind](text))
    assert read  # or nothing but refusals was tried


def test_a_label_that_is_read_is_written_and_read_alike():
    @SETTINGS
    @given(TYPED)
    def attempt(text: str) -> None:
        try:
            name, options = split_label(text)
        except ValueError:
            return
        assert split_label(join_label(name, options)) == (name, options)

    attempt()


RESULT = asdict(
    Result(
        cell=Cell(scene="blocks", degradation="clean", method="nerf", seed=1, effort="smoke"), config={"field": "grid"},
        status="done", protocol="posefree/2", metrics={"pose/ate_rmse": 0.25}, flags=("a doubt",), given=("camera",),
        per_view={"h000": {"psnr": 31.5}}, cost={"fit_seconds": 3.0}, provenance={"command": "unposed run"},
    )
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in nested mappings and lists, the whole included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def test_a_result_with_anything_anywhere_is_a_result_or_a_sentence(tmp_path):
    plain = json.loads(json.dumps(RESULT))
    path = tmp_path / "result.json"
    read = 0

    @SETTINGS
    @given(st.sampled_from(places(plain)), JUNK)
    def attempt(place: tuple[Any, ...], junk: Any) -> None:
        nonlocal read
        raw = json.loads(json.dumps(plain))
        if place:
            inner = raw
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = junk
        path.write_text(json.dumps(raw if place else junk))
        read += not refused_in_a_sentence(lambda: read_result(tmp_path))

    attempt()
    assert read


def damaged(path: Path, whole: bytes, read: Callable[[], object]) -> None:
    """Bytes of a file lost or changed: it is read, as it is now and then, or refused in a sentence."""
    count = 0

    @SETTINGS
    @given(st.integers(0, len(whole)), st.integers(0, 40), st.binary(max_size=8))
    def attempt(at: int, lost: int, put: bytes) -> None:
        nonlocal count
        path.write_bytes(whole[:at] + put + whole[at + lost :])
        count += not refused_in_a_sentence(read)

    attempt()
    assert count


def test_bytes_of_a_result_lost_or_changed_are_a_result_or_a_sentence(tmp_path):
    whole = json.dumps(RESULT).encode()
    path = tmp_path / "result.json"
    damaged(path, whole, lambda: read_result(tmp_path))


WRITTEN = st.text(st.characters(codec="utf-8"), max_size=8)  # what a TOML file can hold
TOML: Any = st.recursive(
    st.booleans() | st.integers() | st.integers(10**4400, 10**4401) | st.floats() | WRITTEN
    | st.sampled_from(WORDS[:-3]) | st.datetimes() | st.dates() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WRITTEN | st.just("name"), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
ASKED = {
    "scenes": ["blocks"], "methods": ["nerf", {"name": "gnerf", "reseed": False}], "degradations": ["noise@1-3"],
    "seeds": [0, "2-3"], "effort": "smoke", "limit": 60.0, "memory": 2, "data": [], "device": "cpu", "no_track": True,
}  # fmt: skip


def toml(value: Any) -> str:
    """As a person would write it, in one line; independent of what the suite writes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(str(key))} = {toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(c if c.isalnum() and c.isascii() else f"\\U{ord(c):08x}" for c in value) + '"'
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bool):
        return str(value).lower()
    return hex(value) if isinstance(value, int) and value > 0 else repr(value)


def heard(path: Any) -> Any:
    """What `unposed plan FILE` is asked for, its options read; nothing is planned."""
    try:
        return plan.make_context("plan", [str(path)]).params
    except click.UsageError as error:
        raise ValueError(error.format_message()) from error


def test_a_suite_file_with_anything_anywhere_is_a_suite_or_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNPOSED_DATA", raising=False)
    path = tmp_path / "suite.toml"
    options = [(key,) for key in SuiteFile.model_fields]
    read = 0

    @SETTINGS
    @given(st.sampled_from([each for each in places(ASKED) if each] + options), TOML)
    def attempt(place: tuple[Any, ...], put: Any) -> None:
        nonlocal read
        asked = json.loads(json.dumps(ASKED))
        inner = asked
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = put
        path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in asked.items()), encoding="utf-8")
        read += not refused_in_a_sentence(lambda: heard(path))

    attempt()
    assert read
    deep = ["x = " + "[" * 5000, "methods = [{name = 'nerf', x = " + "{a=" * 5000, "[" + "a." * 5000 + "a]", "a" * 9999]
    for text in (*deep, "[[methods]]\nname = 'nerf'\n[methods" + ".x" * 5000 + "]", "[scenes" + ".x" * 5000 + "]"):
        path.write_text(text)
        assert refused_in_a_sentence(lambda: heard(path))


def test_bytes_of_a_suite_file_lost_or_changed_are_a_suite_or_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("UNPOSED_DATA", raising=False)
    whole = "".join(f"{key} = {toml(value)}\n" for key, value in ASKED.items()).encode()
    path = tmp_path / "suite.toml"
    damaged(path, whole, lambda: heard(path))


def test_what_is_kept_of_a_suite_is_read_alike(tmp_path):
    """Whatever is in it: names with quotes and control characters, numbers that JSON has no words for."""
    amounts = st.floats(allow_nan=False, min_value=0.1) | st.integers(1, 2**53)

    @SETTINGS
    @given(WRITTEN.filter(lambda text: text.strip() and "\0" not in text), amounts, st.integers(0, 9))
    def attempt(name: str, amount: float, retries: int) -> None:
        asked = {"out": name, "track": name, "limit": amount, "retries": retries}
        keep_suite_file(tmp_path, asked)
        if math.isfinite(amount):
            assert read_suite_file(tmp_path / "suite.toml") == asked
        else:
            assert refused_in_a_sentence(lambda: read_suite_file(tmp_path / "suite.toml"))

    attempt()
