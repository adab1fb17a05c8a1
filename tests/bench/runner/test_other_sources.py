"""What is installed for another interpreter, and the weights that a network reads, decide a fit by their contents."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scripted_cells import SCRIPTED

from bench.matrix import sources, weights
from bench.matrix.interpreter import interpreter
from bench.matrix.plan import plan
from bench.matrix.registry import find_method
from bench.matrix.selection import Selection
from bench.runner import prepared, worker_io
from bench.runner.fit_client import fit_ingredients, shown_to
from bench.runner.method_probe import code_of

METHOD = """
import edited, installed, numpy
from unposed import Fit, Traits

class Mine:
    name, version, summary = "mine", "1", "one that imports two others"
    traits = Traits(packages=("named",))
    def fit(self, capture, job):
        return Fit(poses={})
    def save(self, fit, folder): pass
    def load(self, folder, device): pass
"""


@pytest.fixture
def packages(tmp_path):
    """The site-packages of a venv with this numpy, `installed` with a version, and clones of `edited` and `named`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (home,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    clones = [tmp_path / "clones" / name for name in ("edited", "named")]
    (home / "more.pth").write_text("\n".join(map(str, [Path(np.__file__).parents[1], *clones])))
    for folder in (home / "installed", *(clone / clone.name for clone in clones)):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("answer = 1\n")
    (home / "installed-1.dist-info").mkdir()
    (home / "installed-1.dist-info" / "METADATA").write_text("Name: installed\nVersion: 1\n")
    (home / "installed-1.dist-info" / "RECORD").write_text("installed/__init__.py,,\n")
    return home


def forgotten():
    """What this process has asked and read."""
    for kept in (weights.digest_of, sources._places, interpreter):
        kept.cache_clear()


def planned_and_given(label, tmp_path):
    """A cell of this method, and the folder with its capture."""
    (planned,) = plan(Selection(scenes="blocks", methods=label, effort="smoke")).cells
    worker_io.write_capture(tmp_path / "given", shown_to(planned, planned.source.load(64)))
    return planned, tmp_path / "given"


def decided(planned, given):
    """All that decides a cell's fit, and the name of what it prepares, as another process would find them."""
    forgotten()
    return fit_ingredients(planned, "scene", "cpu"), prepared.key(planned, given, "cpu")


def test_an_edit_of_what_no_version_tells_is_another_fit(packages, tmp_path):
    """Of a clone that the method imports, and of one that it names with all that the clone brings along."""
    (tmp_path / "method.py").write_text(METHOD)
    label = f"{tmp_path / 'method.py'}[python={tmp_path / 'venv' / 'bin' / 'python'}]"
    clones = tmp_path / "clones"
    (clones / "named" / ".git").mkdir()
    cell = planned_and_given(label, tmp_path)
    found = [decided(*cell)]
    environment = found[0][0]["environment"]
    assert environment["installed"] == "1" and environment["numpy"] == np.__version__
    assert {name for name in environment if "(sources)" in name} == {"edited (sources)", "named (sources)"}
    for edited in (clones / "edited" / "edited" / "__init__.py", clones / "named" / "submodule" / "other.py"):
        edited.parent.mkdir(exist_ok=True)
        edited.write_text("answer = 2\n")
        found.append(decided(*cell))
    assert len({str(fit["environment"]) for fit, _ in found}) == len({key for _, key in found}) == 3
    (clones / "edited" / "edited" / "notes.txt").write_text("no source")
    (clones / "named" / "venv" / "lib").mkdir(parents=True)
    (clones / "named" / "venv" / "pyvenv.cfg").touch()
    (clones / "named" / "venv" / "lib" / "gigabytes.py").write_text("what has versions")
    (clones / "named" / ".git" / "index.py").write_text("no source")
    (packages / "installed" / "__init__.py").write_text("its version says enough\n")
    assert decided(*cell) == found[-1]


def test_other_weights_are_another_fit(packages, tmp_path, monkeypatch):
    python = tmp_path / "venv" / "bin" / "python"
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"one")
    monkeypatch.chdir(tmp_path)
    label = f"feedforward[model=pi3,weights=weights,python={python}]"
    (packages / "pi3").mkdir()
    (packages / "pi3" / "a.py").write_text("")
    cell = planned_and_given(label, tmp_path)
    first, key = decided(*cell)
    assert first["config"]["weights"] == str(folder)
    assert folder in code_of(find_method(label).ref).places
    (folder / "model.safetensors").write_bytes(b"two")
    second, other = decided(*cell)
    changed = {name for name in first["environment"] if first["environment"][name] != second["environment"][name]}
    assert changed == {f"{folder} (weights)"} and key != other
    (packages / "pi3" / "a.py").write_text("edited = True")
    assert decided(*cell)[0]["environment"]["pi3 (sources)"] != second["environment"]["pi3 (sources)"]


def test_of_weights_by_name_the_revision_that_a_worker_sees_counts(packages, tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    label = f"feedforward[model=pi3,python={tmp_path / 'venv' / 'bin' / 'python'}]"
    assert "yyfz233/Pi3 (weights)" not in find_method(label).environment()
    reference = tmp_path / "hub" / "models--yyfz233--Pi3" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    reference.write_text("abc\n")
    assert find_method(label).environment()["yyfz233/Pi3 (weights)"] == "abc"


def test_a_snapshot_is_shown_with_what_its_links_lead_to(tmp_path):
    blob, snapshot = tmp_path / "blobs" / "1f", tmp_path / "snapshots" / "abc"
    blob.parent.mkdir()
    snapshot.mkdir(parents=True)
    blob.write_bytes(b"weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/1f")
    assert weights.shown_with(str(snapshot)) == (str(snapshot), str(blob))
    assert weights.shown_with("facebook/VGGT-1B") == ()


@pytest.mark.parametrize(
    ("named", "fault"),
    [("~", "would be shown your home"), ("/", "would be shown your home"), ("./none", "no such file or folder")],
)
def test_weights_that_cannot_be_are_one_sentence(packages, tmp_path, named, fault):
    with pytest.raises(ValueError, match=fault):
        find_method(f"feedforward[model=pi3,weights={named},python={tmp_path / 'venv' / 'bin' / 'python'}]")


def test_what_cannot_be_read_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_bytes(b"one")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(ValueError, match=r"model\.pt: it decides .* cannot be read: Permission denied"):
        weights.digest_of((tmp_path / "model.pt",))


def test_weights_and_sources_are_read_once_a_process_and_nothing_is_where_no_interpreter_is_named(
    packages, tmp_path, monkeypatch
):
    forgotten()
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"one")
    first = weights.weights_digest(str(file))
    file.write_bytes(b"two")
    assert weights.weights_digest(str(file)) == first
    monkeypatch.setattr(sources, "interpreter", lambda python: pytest.fail("an interpreter was asked"))
    monkeypatch.setattr(weights, "_files", lambda place: pytest.fail("files were read"))
    for label in ("nerf", f"{SCRIPTED}[behaviour=answer]"):
        method = find_method(label)
        assert sources.environment_of(replace(method.ref, python=None), ("numpy",), (str(tmp_path),)) == {}
        assert method.environment() == {}
