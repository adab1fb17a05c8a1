"""MLflow shows a fit while it is at work, and holds nothing twice afterwards."""

import json

import pytest
from followed_fits import CELL, always, child, content, end, is_what_a_replay_says, log, losses, preview

from bench.tracking import fit_now
from bench.tracking.beside import Tracking, replay
from bench.tracking.cell_run import curves_of
from bench.tracking.tracker import Tracker

pytestmark = pytest.mark.filterwarnings("ignore")  # mlflow's own deprecations are not ours to mend


def test_a_fit_at_work_is_a_running_child_that_grows_and_that_its_result_completes(suite, fit, store):
    tracker = Tracker(suite, store("live"))
    tracker.follow(suite / CELL.folder, CELL, always)
    begun = child(tracker)
    assert begun.info.status == "RUNNING"
    assert begun.data.params["method"] == "made"
    for number, steps in enumerate((range(40), range(40, 150), range(150, 700))):
        log(fit, steps)
        log(fit, steps, "system.jsonl")
        preview(fit, steps[-1])
        (fit / "previews" / "torn.000001.png").write_bytes(b"\x89PNG")  # being written
        tracker.follow(suite / CELL.folder, CELL, always)
        said = losses(tracker)
        assert said[:100] == list(range(min(100, steps[-1] + 1))) and len(said) == len(set(said))
        if number == 1:  # another process goes on, and the store has what was sent
            tracker = Tracker(suite, tracker.uri)
    assert child(tracker).info.status == "RUNNING" and child(tracker).info.run_id == begun.info.run_id
    (fit / "previews" / "torn.000001.png").unlink()
    folder, result = end(suite, fit)
    assert tracker.send(folder, result)
    assert child(tracker).info.run_id == begun.info.run_id and child(tracker).info.status == "FINISHED"
    assert losses(tracker)[-1] == 699
    assert is_what_a_replay_says(tracker, store("replayed"))
    assert sum("images/" in name for name in content(tracker)["files"]) == 6  # three previews, each in two sizes


@pytest.mark.parametrize("by", ["replay", "run"])
def test_a_run_that_was_killed_before_it_sent_a_result_is_completed(suite, fit, store, by):
    uri = store("live")
    log(fit, range(30))
    preview(fit, 7)
    Tracker(suite, uri).follow(suite / CELL.folder, CELL, always)
    begun = child(Tracker(suite, uri)).info.run_id
    folder, result = end(suite, fit)
    if by == "replay":
        assert replay(suite, uri)[0] == 1
    else:  # to which the cell is settled
        with Tracking(suite, uri, pytest.fail) as tracking:
            tracking.heard(folder, CELL, "cached", result)
    assert child(Tracker(suite, uri)).info.run_id == begun
    assert is_what_a_replay_says(Tracker(suite, uri), store("replayed"))
    assert replay(suite, uri)[0] == 0


@pytest.mark.parametrize("by", ["replay", "run"])
@pytest.mark.parametrize("followed", [True, False])
def test_a_sending_that_is_cut_short_is_made_anew(suite, fit, store, monkeypatch, followed, by):
    """Also of a cell whose fit was over before the store was open, as on a busy machine."""
    tracker = Tracker(suite, store("live"))
    log(fit, range(30))
    if followed:
        tracker.follow(suite / CELL.folder, CELL, always)
    folder, result = end(suite, fit)

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(tracker.client, "log_inputs", killed)
        with pytest.raises(KeyboardInterrupt):
            tracker.send(folder, result)
    assert child(tracker).info.status == "RUNNING"
    if by == "replay":
        assert replay(suite, tracker.uri)[0] == 1
    else:  # to which the cell is settled
        with Tracking(suite, tracker.uri, pytest.fail) as tracking:
            tracking.heard(folder, CELL, "cached", result)
    tracker = Tracker(suite, tracker.uri)
    assert child(tracker).info.status == "FINISHED"
    assert is_what_a_replay_says(tracker, store("replayed"))
    assert replay(suite, tracker.uri)[0] == 0


def test_a_fit_that_was_wound_back_begins_its_run_anew(suite, fit, store):
    """Nothing can be taken out of a run."""
    tracker = Tracker(suite, store("live"))
    log(fit, range(30))
    tracker.follow(suite / CELL.folder, CELL, always)
    (fit / "log.jsonl").unlink()
    log(fit, range(20))
    tracker.follow(suite / CELL.folder, CELL, always)
    assert losses(tracker) == list(range(20))
    (fit / "log.jsonl").write_text('{"step": 0, "seconds": 0.5, "loss": 3.0}\n')
    assert tracker.send(*end(suite, fit))
    assert losses(tracker) == [0]
    assert is_what_a_replay_says(tracker, store("replayed"))


@pytest.mark.parametrize(
    "row", ['{"step": 1e300, "seconds": 1.0, "loss": 1}', '{"step": 1, "seconds": 1.0, "loss": 1' + "0" * 400 + "}"]
)
def test_what_a_worker_writes_by_mischief_is_not_sent_while_it_runs(suite, fit, store, row, monkeypatch):
    tracker = Tracker(suite, store("live"))
    log(fit, range(3))
    tracker.follow(suite / CELL.folder, CELL, always)
    begun = child(tracker).info.run_id
    with (fit / "log.jsonl").open("a") as file:
        file.write(row + "\n")
    tracker.follow(suite / CELL.folder, CELL, always)
    (fit / "log.jsonl").unlink()
    log(fit, range(3))
    (fit / "previews").symlink_to("/etc")
    tracker.follow(suite / CELL.folder, CELL, always)
    monkeypatch.setattr(fit_now, "LONGEST_LOG", 100)
    log(fit, range(3, 90))
    tracker.follow(suite / CELL.folder, CELL, always)
    assert child(tracker).info.run_id == begun and losses(tracker) == [0, 1, 2]


def test_names_that_mlflow_would_not_take_are_changed(suite, fit, store):
    tracker = Tracker(suite, store("live"))
    (fit / "log.jsonl").write_text(json.dumps({"step": 1, "seconds": 1.0, "../a//\u00fc+": 1.0, "x" * 300: 2.0}) + "\n")
    preview(fit, 1)
    (fit / "previews" / "seen.000001.png").rename(fit / "previews" / "\u00fc:+.000001.png")
    tracker.follow(suite / CELL.folder, CELL, always)
    assert {"fit/a/\u00fc_", f"fit/{'x' * 246}"} <= child(tracker).data.metrics.keys()
    tracker.send(*end(suite, fit))
    assert is_what_a_replay_says(tracker, store("replayed"))


def test_whatever_is_sent_of_a_curve_stays_a_part_of_it():
    rows = [{"step": k, "seconds": float(k), "loss": 1.0} | ({"psnr": 2.0} if k > 90 else {}) for k in range(3000)]
    whole = set(curves_of("fit", rows))
    assert all(set(curves_of("fit", rows[:k], ended=False)) <= whole for k in range(0, 3000, 37))
    assert max(whole, key=lambda point: point.step).step == 2999
