"""Mutated inputs: whatever a file holds, a reader gives a valid scene, or one sentence, in bounded memory, and leaves
nothing outside of the folder. `make fuzz` tries 10,000 of them for each test."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import memory_peak
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from published import WRITERS

from bench.scene import Scene, SceneError
from datasets.folder import open_folder

EXAMPLES = int(os.environ.get("UNPOSED_FUZZ", "60"))
MOST_MEMORY = 3 << 29
"""Bytes that reading may add: 2 GB, less half of one for Python and its libraries."""

SETTINGS = settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=8),
    st.lists(st.floats(), max_size=5), st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _bounded(tmp_path):
    """Memory at its peak, and what lies beside the scene."""
    before = memory_peak.begin()
    yield
    assert memory_peak.peak() - before < MOST_MEMORY
    assert {path.name for path in tmp_path.iterdir()} <= {"scene", "original"}


def read(folder: Path) -> Scene | str:
    """A scene that holds what it says, or the sentence it was refused with."""
    try:
        scene = open_folder(folder).load(32)
    except SceneError as error:
        said = str(error)
        assert said and "\n" not in said and len(said) < 1500
        return said
    poses = list(scene.truth.poses.values()) + list(scene.truth.heldout.poses)
    assert all(np.isfinite(pose).all() and abs(np.linalg.det(pose[:3, :3]) - 1) < 1e-6 for pose in poses)
    assert np.isfinite(scene.truth.camera.matrix).all()
    return scene


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something could be replaced."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, item in inside for each in places(item, (*path, key)))]


def replaced(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    if not path:
        return junk
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], junk)
    return copy


def test_a_transforms_file_with_anything_anywhere(transforms_folder):
    folder = transforms_folder(k1=0.01)
    file = folder / "transforms.json"
    raw = json.loads(file.read_text())
    every = places(raw)

    @SETTINGS
    @given(st.sampled_from(every), JUNK)
    def attempt(path: tuple[Any, ...], junk: Any) -> None:
        file.write_text(json.dumps(replaced(raw, path, junk)))
        read(folder)

    attempt()


def spoil(data: bytes, at: int, cut: int, new: bytes) -> bytes:
    at %= len(data) + 1
    return data[:at] + new + data[at + cut :]


BYTES = st.tuples(st.integers(0, 100_000), st.integers(0, 400), st.binary(max_size=12))


def every_file_spoilt(folder: Path, original: Path) -> None:
    """Bytes lost or changed in one file at a time."""
    shutil.copytree(folder, original)
    files = sorted(path.relative_to(original) for path in original.rglob("*") if path.is_file())
    described = [file for file in files if file.suffix not in (".png", ".jpg")]

    @SETTINGS
    @given(st.one_of(st.sampled_from(files), st.sampled_from(described or files)), BYTES)
    def attempt(file: Path, change: tuple[int, int, bytes]) -> None:
        whole = (original / file).read_bytes()
        (folder / file).write_bytes(spoil(whole, *change))
        try:
            read(folder)
        finally:
            (folder / file).write_bytes(whole)

    attempt()


@pytest.mark.parametrize(
    "written", ["transforms_folder", "blender_folder", "llff_folder", "dtu_folder", "middlebury_folder"]
)
def test_bytes_of_any_file_of_a_folder_lost_or_changed(request, tmp_path, written):
    every_file_spoilt(request.getfixturevalue(written)(), tmp_path / "original")


@pytest.mark.parametrize("name", WRITERS)
def test_bytes_of_any_file_of_a_published_layout_lost_or_changed(tmp_path, name):
    every_file_spoilt(WRITERS[name](tmp_path / "scene"), tmp_path / "original")


@pytest.mark.parametrize(("name", "file"), [("navi", "annotations.json"), ("co3d", "frame_annotations.jgz")])
def test_annotations_with_anything_anywhere(tmp_path, name, file):
    folder = WRITERS[name](tmp_path / "scene")
    packed = file.endswith("jgz")
    text = gzip.decompress((folder / file).read_bytes()) if packed else (folder / file).read_bytes()
    raw = json.loads(text)

    @SETTINGS
    @given(st.sampled_from(places(raw)), JUNK)
    def attempt(path: tuple[Any, ...], junk: Any) -> None:
        changed = json.dumps(replaced(raw, path, junk)).encode()
        (folder / file).write_bytes(gzip.compress(changed) if packed else changed)
        read(folder)

    attempt()


@pytest.mark.parametrize("name", ["colmap_text", "log", "mvsnet", "tum"])
def test_numbers_and_lines_of_a_text_exchanged(tmp_path, name):
    folder = WRITERS[name](tmp_path / "scene")
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".log"))
    wholes = {file: file.read_text() for file in files}
    words = st.one_of(
        st.sampled_from(["nan", "inf", "-1", "0", "1e999", "", "\n", "#", "x", "../a.png"]), st.text(max_size=5)
    )

    @SETTINGS
    @given(st.sampled_from(files), st.integers(0, 10_000), words)
    def attempt(file: Path, at: int, word: str) -> None:
        parts = re.split(r"(\s+)", wholes[file])
        parts[at % len(parts)] = word
        file.write_text("".join(parts), encoding="utf-8")
        try:
            read(folder)
        finally:
            file.write_text(wholes[file])

    attempt()


def test_a_card_with_anything_in_it(transforms_folder):
    folder = transforms_folder()
    card = folder / "unposed.toml"
    good = b'summary = "x"\nsplit = 3\nup = [0, 1, 0]\nfocal = 26\n[prior]\nradius = [2, 3]\nnear = 1\nfar = 5\n'

    @SETTINGS
    @given(BYTES)
    def attempt(change: tuple[int, int, bytes]) -> None:
        card.write_bytes(spoil(good, change[0], change[1] % 20, change[2]))
        read(folder)

    attempt()
