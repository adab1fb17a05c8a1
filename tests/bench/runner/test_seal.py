"""A result that was changed after it was judged is found out, named, and settled again."""

import json
import os
import shutil
import time
from dataclasses import replace

import pytest
from scripted_cells import execute, make_plan

from bench.poses_io import saved_fit
from bench.poses_io.saved_fit import read_fit, touched
from bench.record import read_result, write_result
from bench.runner import seal
from bench.runner.outlook import explain
from bench.runner.rejudge import why_not
from bench.runner.run import Runner
from bench.runner.settings import Settings
from bench.view.fitted_field import load_field


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


def flipped(data):
    """From the middle on, 4,000 bytes at most."""
    middle = len(data) // 2
    return data[:middle] + bytes(255 - byte for byte in data[middle : middle + 4000]) + data[middle + 4000 :]


def cut(data):
    return data[: len(data) // 2]


def moved(data):
    fit = json.loads(data)
    fit["poses"]["v000"][0][3] += 0.5
    return json.dumps(fit).encode()


def hurried(data):
    return json.dumps(json.loads(data) | {"seconds": 0.001}).encode()


DAMAGE = [
    ("poses.json", moved), ("poses.json", cut), ("field/colour.npy", flipped), ("field/colour.npy", cut),
    ("outcome.json", cut), ("outcome.json", hurried), ("request.json", cut), ("capture.json", cut),
]  # fmt: skip


@pytest.mark.parametrize(("name", "how"), DAMAGE)
def test_a_fit_that_was_changed_is_named_and_made_again_and_never_judged(settled, caplog, name, how):
    made, suite, folder = settled
    before = read_result(folder)
    file = folder / "fit" / name
    file.write_bytes(how(file.read_bytes()))
    (folder / "result.json").unlink()
    (after,), fitted, _ = execute(suite, made)
    assert len(fitted) == 1
    assert after.metrics == before.metrics
    assert f"fit/{name}" in after.notes["fitted_again"] and f"fit/{name}" in caplog.text
    assert execute(suite, made)[2] == [after.cell.id]


def test_a_field_that_is_gone_or_has_company_is_not_judged(settled):
    made, suite, folder = settled
    for change in ((folder / "fit" / "field" / "colour.npy").unlink, (folder / "fit" / "field" / "more").touch):
        change()
        (folder / "result.json").unlink()
        assert len(execute(suite, made)[1]) == 1


def test_a_field_that_is_changed_under_a_result_is_refused_where_it_is_used_and_made_again(settled):
    made, suite, folder = settled
    file, whole = folder / "fit" / "field" / "colour.npy", (folder / "fit" / "field" / "colour.npy").read_bytes()
    file.write_bytes(flipped(whole))
    runner = Runner(Settings(suite=suite), lambda *_: None)
    assert "fit/field/colour.npy was changed" in why_not(runner, made.cells[0])
    lines, verdict = explain(read_result(folder), Settings(suite=suite), roots=())
    assert (lines, verdict) == (["fit/field/colour.npy was changed after it was kept"], "will be fitted again")
    with pytest.raises(ValueError, match=r"field/colour.npy was changed .* `unposed run` fits this cell again"):
        load_field(folder, "cpu")
    (folder / "fit" / "poses.json").write_bytes(moved((folder / "fit" / "poses.json").read_bytes()))
    with pytest.raises(ValueError, match=r"poses.json was changed"):
        read_fit(folder / "fit")
    _, fitted, _ = execute(suite, made)
    assert (len(fitted), file.read_bytes()) == (1, whole)


def newer(*files):
    """As of a copy, whose files are written one after another."""
    for file in files:
        os.utime(file, ns=(later := time.time_ns() + 10**9, later))


def test_a_copy_of_a_suite_that_kept_digests_of_poses_and_field_alone_stands(settled):
    made, suite, folder = settled
    file = folder / "fit" / "outcome.json"
    outcome = json.loads(file.read_text())
    kept = {name: digest for name, digest in outcome["sha256"].items() if name == "poses.json" or "field/" in name}
    assert {"capture.json", "start.json"} & (outcome["sha256"].keys() - kept.keys())
    del outcome["digest"]
    file.write_text(json.dumps(outcome | {"sha256": kept}))
    (folder / "fit" / "start.json").write_text('{"poses": {}, "exact": []}')
    newer(*(path for path in (folder / "fit").rglob("*") if path.is_file() and path != file))
    assert execute(suite, made)[1:] == ([], [f"{made.cells[0].cell.id}"])
    newer(field := folder / "fit" / "field" / "colour.npy")
    field.write_bytes(flipped(field.read_bytes()))
    newer(field)
    assert len(execute(suite, made)[1]) == 1


def test_what_a_file_manager_leaves_in_a_field_costs_no_fit(settled):
    made, suite, folder = settled
    for name in (".DS_Store", ".nfs00000001", ".AppleDouble/colour.npy"):
        (stray := folder / "fit" / "field" / name).parent.mkdir(exist_ok=True)
        stray.write_bytes(b"x")
        newer(stray)
    assert len(execute(suite, made)[2]) == 1
    (folder / "result.json").unlink()
    assert execute(suite, made)[1:] == ([], [])  # judged, from the fit as it lies


def test_a_file_that_cannot_be_read_ends_no_run(settled):
    made, suite, folder = settled
    file = folder / "fit" / "field" / "colour.npy"
    file.unlink()
    file.symlink_to("/proc/self/mem")  # is there, is newer, and is an error of the disk to whoever reads it
    newer(file)
    assert touched(folder / "fit") == "fit/field/colour.npy cannot be read (Input/output error)"
    (after,), fitted, _ = execute(suite, made)
    assert (after.status, len(fitted)) == ("done", 1)


def test_a_look_at_the_poses_reads_no_field(settled, monkeypatch):
    *_, folder = settled
    read, digest = [], saved_fit._digest
    monkeypatch.setattr(saved_fit, "_digest", lambda file: (read.append(file.name), digest(file))[1])
    read_fit(folder / "fit")
    assert read == ["poses.json"]


def test_a_result_outlives_a_fit_that_was_deleted_to_save_room(settled):
    made, suite, folder = settled
    shutil.rmtree(folder / "fit" / "field")
    assert len(execute(suite, made)[2]) == 1
    shutil.rmtree(folder / "fit")
    assert len(execute(suite, made)[2]) == 1


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
