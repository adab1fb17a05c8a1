"""A result that was changed after it was judged is found out, named, and settled again."""

import json
from dataclasses import replace

import pytest
from scripted_cells import execute, make_plan

from bench.record import read_result, write_result
from bench.runner import seal


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    seal._key.cache_clear()
    yield tmp_path / "state" / "unposed" / "seal.key"
    seal._key.cache_clear()


@pytest.fixture
def settled(tmp_path):
    made = make_plan("answer")
    (result,), *_ = execute(tmp_path / "suite", made)
    return made, tmp_path / "suite", tmp_path / "suite" / result.cell.folder


def better(result):
    return replace(result, metrics={**result.metrics, "nvs/aligned/psnr": 99.0})


def test_a_row_that_was_rewritten_is_settled_again_from_its_fit(settled):
    made, suite, folder = settled
    before = read_result(folder)
    write_result(folder, better(before))
    (after,), fitted, cached = execute(suite, made)
    assert (fitted, cached) == ([], [])
    assert after.metrics == before.metrics
    assert "changed after it was judged" in after.notes["rewritten"]
    kept = json.loads((folder / "previous" / "rewritten.json").read_text())
    assert kept["metrics"]["nvs/aligned/psnr"] == 99.0
    assert execute(suite, made)[2] == [after.cell.id]


def test_a_seal_that_was_made_anew_without_the_key_is_none(settled):
    _, _, folder = settled
    forged = better(read_result(folder))
    forged = replace(forged, seal={**forged.seal, "sha256": seal._digest(forged)})
    assert seal.is_broken(forged)
    assert seal.is_broken(replace(forged, seal={}))


def test_a_fit_that_was_exchanged_is_not_judged_but_made_again(settled):
    made, suite, folder = settled
    poses = folder / "fit" / "poses.json"
    poses.write_text(poses.read_text().replace("0.", "1.", 1))
    (folder / "result.json").unlink()
    (after,), fitted, _ = execute(suite, made)
    assert len(fitted) == 1
    assert after.solved


def test_a_result_from_another_machine_is_judged_again_unless_it_is_trusted(settled, key, monkeypatch):
    made, suite, folder = settled
    key.unlink()
    seal._key.cache_clear()
    monkeypatch.setenv(seal.TRUST, "1")
    assert not seal.is_broken(read_result(folder))
    assert seal.is_broken(better(read_result(folder)))
    assert len(execute(suite, made)[2]) == 1
    monkeypatch.delenv(seal.TRUST)
    _, fitted, cached = execute(suite, made)
    assert (fitted, cached) == ([], [])  # judged again from its fit


@pytest.mark.parametrize("without", [(), ("key", "code"), ("sha256", "key", "code")])
def test_a_seal_cannot_be_taken_off(settled, without):
    """A row that was rewritten from 11.6 to 99 dB passed without its seal, and with a digest that it made itself."""
    _, _, folder = settled
    forged = better(read_result(folder))
    provenance = {name: value for name, value in forged.provenance.items() if name != "isolation"}
    forged = replace(forged, provenance=provenance)
    kept = {**forged.seal, "sha256": seal._digest(forged)}
    assert seal.is_broken(replace(forged, seal={name: each for name, each in kept.items() if name not in without}))


def test_a_result_from_before_there_were_seals_has_none_to_lose(settled):
    _, _, folder = settled
    assert not seal.is_broken(replace(read_result(folder), seal={}, protocol="posefree/1"))


def test_the_key_is_readable_by_its_owner_alone(settled, key):
    assert key.stat().st_mode & 0o777 == 0o600
