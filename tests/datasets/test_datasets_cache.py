"""What was made once is kept, and a cache that is broken, foreign or read-only costs time and nothing else."""

import os
import subprocess
import sys

import numpy as np
import pytest

from datasets import cache

SHAPES = {"a": (3,)}


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"a": np.array([1.0, 2.0, 3.0])}


@pytest.fixture
def make():
    return Maker()


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("UNPOSED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_what_was_made_is_read_the_second_time_and_no_draft_is_left(own, make):
    for _ in range(2):
        assert cache.kept("x", SHAPES, make)["a"].tolist() == [1, 2, 3]
    assert make.calls == 1
    assert [path.name for path in own.iterdir()] == ["x.npz"]


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text", "other shape", "pickle", "changed"])
def test_a_broken_file_is_made_anew(own, make, damage):
    cache.kept("x", SHAPES, make)
    path = own / "x.npz"
    whole = path.read_bytes()
    match damage:
        case "truncated":
            path.write_bytes(whole[: len(whole) // 2])
        case "empty":
            path.write_bytes(b"")
        case "flipped":
            middle = 70  # within the numbers of `a`
            path.write_bytes(
                whole[:middle] + bytes(255 - byte for byte in whole[middle : middle + 8]) + whole[middle + 8 :]
            )
        case "text":
            path.write_text("not an archive")
        case "other shape":
            np.savez(path, a=np.zeros(4))
        case "changed":  # by whoever writes a whole archive
            with np.load(path) as stored:
                held = dict(stored)
            held["a"][1] += 0.25
            np.savez_compressed(path, **held)
        case "pickle":
            np.savez(path, a=np.array([{}, {}, {}], dtype=object))
    assert cache.kept("x", SHAPES, make)["a"].tolist() == [1, 2, 3]
    assert make.calls == 2
    cache.kept("x", SHAPES, make)
    assert make.calls == 2


def test_a_folder_that_cannot_be_made_is_survived(tmp_path, make, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNPOSED_CACHE", str(tmp_path / "file" / "cache"))
    for _ in range(2):
        assert cache.kept("x", SHAPES, make)["a"].tolist() == [1, 2, 3]
    assert make.calls == 2


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME is a habit of Linux")
def test_without_a_choice_it_is_the_platforms_cache_folder():
    environment = {key: value for key, value in os.environ.items() if key != "UNPOSED_CACHE"}
    command = [sys.executable, "-c", "from datasets import cache; import sys; sys.stdout.write(str(cache.folder()))"]
    environment["XDG_CACHE_HOME"] = "/nowhere/xdg"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "/nowhere/xdg/unposed"
