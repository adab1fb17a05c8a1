"""Mutated answers: whatever a submitted file holds, it is read as poses, or refused in one sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import poses_io
from bench.poses_io import FORMS
from bench.task import Camera, PosePrior, ViewId

POSES = {ViewId(f"v{k:03d}"): pose for k, pose in enumerate(PosePrior().sample(np.random.default_rng(0), 6))}
CAMERA = Camera(width=64, height=48, fx=70.0, fy=71.0, cx=31.5, cy=24.0)
SETTINGS = settings(
    max_examples=int(os.environ.get("UNPOSED_FUZZ", "60")), deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
CHANGE = st.tuples(st.integers(0, 10_000), st.integers(0, 200), st.binary(max_size=12))


def written(form: str, folder: Path) -> Path:
    folder.mkdir()
    path = FORMS[form].write(folder, POSES, CAMERA, {view: f"images/{view}.png" for view in POSES})
    return path.parent.parent if form == "colmap" else path


def outcome(answer: Path) -> str:
    """The sentence of a refusal; that they are poses, where they are."""
    try:
        reading = poses_io.read(answer)
    except ValueError as error:
        return str(error)
    assert all(np.isfinite(pose).all() for pose in reading.estimate.poses.values())
    return "poses"


@pytest.mark.parametrize("form", [*FORMS, "colmap binary"])
def test_bytes_lost_or_changed_are_poses_or_a_sentence(tmp_path, form):
    name, _, binary = form.partition(" ")
    answer = written(name, tmp_path / "answer")
    if binary:
        import pycolmap

        model = pycolmap.Reconstruction(tmp_path / "answer" / "sparse" / "0")
        shutil.rmtree(tmp_path / "answer")
        (tmp_path / "answer").mkdir()
        model.write_binary(tmp_path / "answer")
        answer = tmp_path / "answer"
    files = sorted(path for path in (tmp_path / "answer").rglob("*") if path.is_file())
    wholes = {path: path.read_bytes() for path in files}

    @SETTINGS
    @given(st.sampled_from(files), CHANGE)
    def attempt(file: Path, change: tuple[int, int, bytes]) -> None:
        whole, (at, cut, new) = wholes[file], change
        at %= len(whole) + 1
        file.write_bytes(whole[:at] + new + whole[at + cut :])
        try:
            said = outcome(answer)
            assert said
            assert "\n" not in said
        finally:
            file.write_bytes(whole)

    attempt()
