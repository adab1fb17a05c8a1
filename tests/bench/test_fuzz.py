"""What people type and what lies in a suite's folder: whatever it holds, it is read, or refused in one sentence."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.cell import Cell, join_label, split_label
from bench.matrix.selection import parse_seeds, select_degradations, select_kinds, select_methods, select_scenes
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


def test_bytes_of_a_result_lost_or_changed_are_a_result_or_a_sentence(tmp_path):
    whole = json.dumps(RESULT).encode()
    path = tmp_path / "result.json"
    read = 0

    @SETTINGS
    @given(st.integers(0, len(whole)), st.integers(0, 40), st.binary(max_size=8))
    def attempt(at: int, lost: int, put: bytes) -> None:
        nonlocal read
        path.write_bytes(whole[:at] + put + whole[at + lost :])
        read += not refused_in_a_sentence(lambda: read_result(tmp_path))

    attempt()
    assert read
