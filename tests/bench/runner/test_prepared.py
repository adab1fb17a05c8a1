"""What a method prepares once for several cells, through the real worker: shared, and paid for by each of them."""

import json
import shutil
from pathlib import Path

import pytest
from scripted_cells import execute

from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.runner import prepared

PREPARING = Path(__file__).parents[2] / "plugins" / "preparing.py"


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("UNPOSED_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prepared"


def ran(suite, options="", seeds="0", degradations="clean", **settings):
    method = f"{PREPARING}[{options}]" if options else str(PREPARING)
    chosen = Selection(scenes="blocks", methods=method, degradations=degradations, seeds=seeds, effort="smoke")
    results, *_ = execute(suite, plan(chosen), refine=False, **settings)
    return results


def test_the_second_seed_takes_over_what_the_first_made_and_pays_for_it_all_the_same(tmp_path, store):
    first, second = ran(tmp_path / "runs", seeds="0-1")
    assert (first.notes["found"], second.notes["found"]) == (False, True)
    assert second.notes["thing"] == "1"
    assert first.cost["preparation_seconds"] == second.cost["preparation_seconds"] == 7.0
    assert "preparation_shared" not in first.cost
    assert second.cost["preparation_shared"] == 7.0
    assert second.cost["fit_seconds"] > 7.0
    assert second.notes["spent"] > 7.0  # of its limit, too
    assert len(list(store.iterdir())) == 1


def test_another_suite_finds_it_and_other_options_captures_and_draws_do_not(tmp_path, store):
    ran(tmp_path / "a")
    assert ran(tmp_path / "b", "other=5")[0].notes["found"]
    assert not ran(tmp_path / "b", "amount=2")[0].notes["found"]
    noisy = ran(tmp_path / "b", degradations="gaussian_noise@1", seeds="0-1")
    assert [result.notes["found"] for result in noisy] == [False, False]  # each seed has a draw of its own
    assert len(list(store.iterdir())) == 4


def test_what_collapsed_after_preparing_is_shared_and_what_was_cut_short_or_holds_a_link_is_not(tmp_path, store):
    assert ran(tmp_path, "end=half")[0].status == "collapsed"
    assert not store.exists()
    ran(tmp_path, "end=link")
    assert not list(store.glob("[!.]*"))
    assert ran(tmp_path, "end=collapsed")[0].status == "collapsed"
    assert ran(tmp_path, "other=1")[0].notes["found"]


@pytest.mark.parametrize("fault", ["changed", "added", "lost", "undone"])
def test_what_is_not_as_it_was_kept_is_made_anew(tmp_path, store, fault):
    ran(tmp_path)
    (kept,) = store.iterdir()
    match fault:
        case "changed":
            (kept / "thing.txt").write_text("9")
        case "added":
            (kept / "more.txt").write_text("9")
        case "lost":
            (kept / "thing.txt").unlink()
        case "undone":
            (kept / "sha256.json").unlink()
    (result,) = ran(tmp_path, "other=1")
    assert not result.notes["found"]
    assert result.notes["thing"] == "1"


def test_of_two_that_made_it_at_once_the_first_is_kept(tmp_path, store):
    out = tmp_path / "out"
    for word in ("first", "second"):
        shutil.rmtree(out, ignore_errors=True)
        (out / "work" / "prepared").mkdir(parents=True)
        (out / "work" / "prepared" / "thing.txt").write_text(word)
        (out / "work" / "prepared" / "seconds.json").write_text(json.dumps({"seconds": 1.0}))
        prepared.keep("name", out)
    assert (store / "name" / "thing.txt").read_text() == "first"
    # and where the other one's folder comes between the look and the rename
    shutil.rmtree(store / "name")
    exists = Path.exists
    with pytest.MonkeyPatch.context() as patch:
        prepared.keep("name", out)
        (out / "work" / "prepared" / "thing.txt").write_text("third")
        patch.setattr(Path, "exists", lambda path, **how: path.name != "name" and exists(path, **how))
        prepared.keep("name", out)
    assert (store / "name" / "thing.txt").read_text() == "second"
    assert not list(store.glob(".*"))


@pytest.mark.parametrize("moment", ["nothing", "placed", "told"])
def test_a_judge_killed_while_it_hands_over_does_it_again(tmp_path, store, moment):
    kept = store / "name"
    kept.mkdir(parents=True)
    (kept / "seconds.json").write_text(json.dumps({"seconds": 3.0}))
    (kept / "sha256.json").write_text(json.dumps(prepared._digests(kept)))
    (tmp_path / "in").mkdir()
    (tmp_path / "out" / "work").mkdir(parents=True)
    if moment != "nothing":
        (tmp_path / "out" / "work" / "prepared").mkdir()
    if moment == "told":
        (tmp_path / "in" / "prepared.json").write_text(json.dumps({"seconds": 3.0}))
    prepared.take_over("name", tmp_path)
    assert json.loads((tmp_path / "out" / "clock.json").read_text())["seconds"] == 3.0
    assert prepared.seconds_of(tmp_path) == {"preparation_seconds": 3.0, "preparation_shared": 3.0}
    (tmp_path / "out" / "clock.json").write_text(json.dumps({"seconds": 9.0}))
    prepared.take_over("name", tmp_path)  # a fit that has begun is left as it is
    assert json.loads((tmp_path / "out" / "clock.json").read_text())["seconds"] == 9.0
