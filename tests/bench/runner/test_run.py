"""The whole path of a cell through the real worker, with a method that does as it is told."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scripted_cells import SCRIPTED, execute, make_plan

from bench.cell import Cell
from bench.judge import protocol
from bench.record import read_json, read_log, read_result
from bench.runner import fit_client, scratch
from bench.runner.evaluate import _own
from bench.runner.settings import Settings
from bench.runner.shards import claimed
from bench.runner.suite_lock import SuiteBusy, hold


@pytest.mark.parametrize(
    ("behaviour", "status", "reason"),
    [
        ("answer", "done", None),
        ("collapse", "collapsed", "told to"),
        ("coincide", "collapsed", "coincide"),
        ("raise", "failed", "RuntimeError: told to"),
        ("strangers", "failed", "not shown: v999"),
        ("sure_true", "failed", "a margin of True for v000: it must be a number of decibels, at most 1000"),
        ("sure_vast", "failed", "for v000: it must be a number of decibels, at most 1000"),
        ("sure_nan", "failed", "a margin of nan for v000: it must be a number of decibels, at most 1000"),
        ("sure_strangers", "failed", "margins of views that have no pose: v999"),
        ("sure_list", "failed", "margins as list: it must be a mapping of view ids to decibels"),
        ("memory", "out_of_memory", "MemoryError"),
        ("hang", "timeout", "killed at the time limit"),
        ("stuck", "timeout", "killed at the time limit"),
        ("die", "failed", "killed by SIGSEGV"),
        ("die_once", "done", None),
    ],
)
def test_however_a_method_ends_it_is_a_row(tmp_path, behaviour, status, reason):
    results, *_ = execute(tmp_path, make_plan(behaviour), limit=3.0 if behaviour in ("hang", "stuck") else 60.0)
    assert [result.status for result in results] == [status]
    assert reason is None or reason in results[0].reason
    stored = read_result(tmp_path / results[0].cell.folder)
    assert stored == read_result(tmp_path / results[0].cell.folder)
    assert stored.status == status
    assert stored.cost["fit_seconds"] > 0
    assert "nvs/aligned/psnr" not in stored.metrics or status == "done"


def test_a_crash_is_tried_again_and_its_attempts_are_counted(tmp_path):
    (once,), *_ = execute(tmp_path, make_plan("die_once"))
    assert once.notes["attempts"] == 2
    (never,), *_ = execute(tmp_path, make_plan("die"), retries=2)
    assert never.notes["attempts"] == 3


def test_a_crash_is_tried_again_from_its_checkpoints(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("steps_die_once"))
    assert (result.status, result.notes["attempts"]) == ("done", 2)
    steps = [row["step"] for row in read_log(tmp_path / result.cell.folder) if "psnr" not in row]
    assert steps == list(range(10))


def test_a_second_run_fits_nothing(tmp_path):
    made = make_plan("answer", "collapse", "raise")
    first, fitted, cached = execute(tmp_path, made)
    assert (len(fitted), len(cached)) == (3, 0)
    second, fitted, cached = execute(tmp_path, made)
    assert (len(fitted), len(cached)) == (0, 3)
    assert second == [read_result(tmp_path / result.cell.folder) for result in first]


@pytest.mark.parametrize("moment", ["keep_fit", "write_outcome", "append"])
def test_a_judge_killed_after_the_worker_ended_takes_up_what_it_left(tmp_path, monkeypatch, moment):
    made = make_plan("answer")
    folder = tmp_path / made.cells[0].cell.folder

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit_client, moment, killed)
        with pytest.raises(KeyboardInterrupt):
            execute(tmp_path, made)
    left = read_json(scratch.noted(folder) / "out" / "outcome.json")
    assert not (folder / "result.json").exists()
    (result,), *_ = execute(tmp_path, made)
    assert result.status == "done"
    assert result.cost["fit_seconds"] == left["seconds"]
    assert result.notes["attempts"] == 1
    assert scratch.noted(folder) is None
    assert not list(folder.rglob("*.tmp"))


def test_only_failures_run_again_and_only_when_asked(tmp_path):
    made = make_plan("answer", "collapse", "raise")
    execute(tmp_path, made)
    _, fitted, _ = execute(tmp_path, made, retry_failed=True)
    assert fitted == ["blocks/clean/scripted[behaviour=raise]/seed0"]


def test_a_new_protocol_judges_again_and_fits_nothing_whatever_the_cell_came_to(tmp_path, monkeypatch):
    made = make_plan("answer", "coincide", "collapse", "raise")
    before, *_ = execute(tmp_path, made)
    monkeypatch.setattr(protocol, "ID", "posefree/test")
    monkeypatch.setattr("bench.runner.evaluate.Judge.protocol", "posefree/test")
    after, fitted, cached = execute(tmp_path, made)
    assert (fitted, cached) == ([], [])
    assert {result.protocol for result in after} == {"posefree/test"}
    assert [(r.status, r.reason, r.metrics) for r in after] == [(r.status, r.reason, r.metrics) for r in before]
    assert [r.fingerprints["fit"] for r in after] == [r.fingerprints["fit"] for r in before]
    assert [r.cost.get("fit_seconds") for r in after] == [r.cost.get("fit_seconds") for r in before]


def test_an_edited_judge_judges_again(tmp_path, monkeypatch):
    made = make_plan("answer")
    (before,), *_ = execute(tmp_path, made)
    assert set(before.ingredients["judgement"]["code"]) >= {
        f"judge/{name}.py" for name in ("align", "metrics", "refine")
    }
    monkeypatch.setattr(protocol, "code", lambda: {"judge/align.py": "edited"})
    _, fitted, cached = execute(tmp_path, made)
    assert (fitted, cached) == ([], [])


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("load_raises", "rendering the held-out views failed: RuntimeError: told to"),
        ("load_hangs", "rendering the held-out views failed: killed at the time limit"),
        (
            "wrong_size",
            "the method answered with aligned (25, 65, 64, 3) of float32, where (25, 64, 64, 3) of numbers was",
        ),
        ("no_depth", "what the method answered cannot be read"),
        (
            "badly_registered",
            "the method answered with registered (25, 3, 4) of float64, where (25, 4, 4) of numbers was",
        ),
    ],
)
def test_a_render_that_fails_costs_the_view_columns_and_not_the_poses(tmp_path, behaviour, reason):
    (result,), *_ = execute(tmp_path, make_plan(behaviour), render_limit=3.0 if behaviour == "load_hangs" else 60.0)
    assert (result.status, result.stage) == ("done", "judge")
    assert result.solved
    assert result.metrics["pose/rotation_deg_median"] < 1e-6
    assert [name for name in result.metrics if name.startswith("nvs/")] == ["nvs/mean_colour/psnr"]
    assert result.absent["nvs/aligned"].startswith(reason)
    assert any(flag.startswith(f"nvs: {reason}") for flag in result.flags)
    _, fitted, cached = execute(tmp_path, make_plan(behaviour))
    assert (fitted, len(cached)) == ([], 1)
    _, fitted, cached = execute(tmp_path, make_plan(behaviour), retry_failed=True, render_limit=1.0)
    assert (fitted, cached) == ([], [])


def test_the_limit_of_a_render_is_that_of_the_fit_unless_it_has_its_own(tmp_path):
    cell = Cell(scene="blocks", degradation="clean", method="nerf", seed=0, effort="quick")
    assert Settings(suite=tmp_path).judge_limit(cell) == Settings(suite=tmp_path).fit_limit(cell) == 900
    assert Settings(suite=tmp_path, limit=7.0).judge_limit(cell) == 7.0
    assert Settings(suite=tmp_path, limit=7.0, render_limit=9.0).judge_limit(cell) == 9.0


def test_the_mean_colour_is_that_of_the_clean_scene_whatever_was_shown_and_however_the_cell_ended(tmp_path):
    made = make_plan(
        "answer", "collapse", "coincide", "raise", degradations="clean,contrast@5,fewer_views@3", seeds="0"
    )
    results, *_ = execute(tmp_path, made)
    scene = made.cells[0].source.load(64)
    colour = np.mean([image / 255 for image in scene.capture.images.values()], axis=(0, 1, 2))
    squared = ((scene.truth.heldout.images / 255 - colour) ** 2).mean(axis=(1, 2, 3))
    level = np.mean(-10 * np.log10(squared))
    assert [r.metrics["nvs/mean_colour/psnr"] for r in results] == pytest.approx([level] * 12)
    assert len({r.status for r in results}) == 3


def test_the_level_of_silhouettes_is_that_of_their_clean_masks(tmp_path):
    made = make_plan("answer", "raise", degradations="silhouette@1,silhouette@5")
    results, *_ = execute(tmp_path, made)
    scene = made.cells[0].source.load(64)
    grey = np.mean([mask / 255 for mask in scene.capture.masks.values()])
    level = np.mean(-10 * np.log10(((scene.truth.heldout.masks / 255 - grey) ** 2).mean(axis=(1, 2))))
    assert [r.metrics["nvs/mean_colour/psnr"] for r in results] == pytest.approx([level] * 4)


def test_what_a_method_was_given_is_said_of_every_cell_that_was_tried(tmp_path):
    results, *_ = execute(tmp_path, make_plan("answer", "raise"))
    for result in results:
        assert result.given == ("camera", "start")
        assert result.given_in_full["start"] == "true poses of all 100 views"
        assert result.given_in_full["prior"] == "not given"


def test_an_edited_method_is_fitted_again_and_the_old_result_is_kept_aside(tmp_path):
    source = tmp_path / "mine.py"
    shutil.copy(SCRIPTED, source)
    (first,), *_ = execute(tmp_path / "suite", make_plan("answer", source=source))
    source.write_text(SCRIPTED.read_text().replace("# a comment", "") + "\n# another comment\n")
    assert execute(tmp_path / "suite", make_plan("answer", source=source))[1] == []
    source.write_text(SCRIPTED.read_text().replace('"loss": 0.5', '"loss": 0.25'))
    (second,), fitted, _ = execute(tmp_path / "suite", make_plan("answer", source=source))
    assert len(fitted) == 1
    assert second.fingerprints["fit"] != first.fingerprints["fit"]
    kept = tmp_path / "suite" / first.cell.folder / "previous" / f"{first.fingerprints['judgement'][:12]}.json"
    assert json.loads(kept.read_text())["fingerprints"] == first.fingerprints


def test_a_refit_that_finds_nothing_leaves_no_cameras_of_the_one_before(tmp_path):
    source = tmp_path / "mine.py"
    shutil.copy(SCRIPTED, source)
    (first,), *_ = execute(tmp_path / "suite", make_plan("answer", source=source))
    folder = tmp_path / "suite" / first.cell.folder
    assert (folder / "cameras.json").exists()
    source.write_text(
        SCRIPTED.read_text().replace("        match self", "        raise Collapsed('now')\n        match self")
    )
    (second,), *_ = execute(tmp_path / "suite", make_plan("answer", source=source))
    assert second.status == "collapsed"
    assert not (folder / "cameras.json").exists()
    assert not (folder / "renders").exists()


def test_another_seed_and_another_degradation_are_other_cells(tmp_path):
    results, *_ = execute(tmp_path, make_plan("answer", seeds="0-1", degradations="clean,gaussian_noise@3"))
    assert len({result.fingerprints["fit"] for result in results}) == 4


def test_half_of_the_views_lost_stay_in_every_denominator(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("partial"))
    assert result.metrics["pose/registered"] == pytest.approx(0.5)
    assert result.metrics["pose/rotation_deg_mean"] == pytest.approx(90.0, abs=1e-6)


def test_a_render_that_is_not_finite_is_flagged(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("nan"))
    assert any("not finite" in flag for flag in result.flags)


def test_poses_without_a_field_are_judged_as_poses(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("poses_only"))
    assert result.metrics["pose/rotation_deg_median"] < 1e-6
    assert "nvs/aligned/psnr" not in result.metrics
    assert result.absent["nvs/aligned"] == "the method returned no field"


def test_silhouettes_are_judged_by_their_overlap(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("answer", degradations="silhouette"))
    assert result.status == "done"
    assert 0 <= result.metrics["nvs/aligned/iou"] <= 1


def test_what_a_person_looks_at_is_kept(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("answer"))
    folder = tmp_path / result.cell.folder
    assert {path.name for path in (folder / "renders").iterdir()} >= {"h000.aligned.png", "h000.depth.png"}
    assert (folder.parent.parent / "truth" / "h000.png").exists()
    assert (folder.parent.parent / "shown" / "v000.png").exists()
    assert (folder / "previews" / "mean.000001.png").exists()
    assert read_log(folder)[0]["loss"] == 0.5
    assert (tmp_path / "results.parquet").exists()


def test_pictures_of_another_effort_or_draw_give_way_to_those_of_the_cell_judged_last(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("answer"))
    beside = (tmp_path / result.cell.folder).parent.parent
    right = {path: path.read_bytes() for name in ("truth", "shown") for path in (beside / name).iterdir()}
    for path in right:
        Image.new("RGB", (25, 25), "red").save(path)
    (beside / "truth" / "h000.png").write_bytes(b"torn")
    Image.new("RGB", (25, 25), "red").save(beside / "truth" / "h999.png")
    execute(tmp_path, make_plan("answer", seeds="1"))
    assert {path: path.read_bytes() for name in ("truth", "shown") for path in (beside / name).iterdir()} == right


@pytest.mark.parametrize("behaviour", ["answer", "raise"])
def test_what_was_measured_stays_where_it_can_be_run_no_more(tmp_path, behaviour):
    """As where its other environment is named no longer, which changes what decides its fit as well."""
    made = make_plan(behaviour)
    (first,), *_ = execute(tmp_path, made)
    stored = (tmp_path / first.cell.folder / "result.json").read_bytes()
    (planned,) = made.cells
    ref = replace(planned.method.ref, file=str(SCRIPTED.with_name("preparing.py")))
    lacking = replace(planned, method=replace(planned.method, ref=ref), skip="needs torch in an environment of its own")
    for settings in ({}, {"retry_failed": True}):
        (second,), fitted, cached = execute(tmp_path, replace(made, cells=(lacking,)), **settings)
        assert (second.status, fitted, cached) == (first.status, [], [first.cell.id])
        assert (tmp_path / first.cell.folder / "result.json").read_bytes() == stored
    (other,), *_ = execute(tmp_path / "new", replace(made, cells=(lacking,)))
    assert (other.status, other.reason) == ("skipped", lacking.skip)


def test_a_cell_skipped_for_what_loading_showed_stays_skipped_unread(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.task.Traits.unmet_by", lambda self, capture: "needs what the scene turned out to lack")
    made = make_plan("answer")
    (first,), *_ = execute(tmp_path, made)
    assert (first.status, first.stage) == ("skipped", "load")
    stored = (tmp_path / first.cell.folder / "result.json").read_bytes()
    monkeypatch.setattr(
        "bench.runner.loaded_scenes.LoadedScenes.get", lambda *_: pytest.fail("the scene was read again")
    )
    (second,), _, cached = execute(tmp_path, made)
    assert cached == [first.cell.id]
    assert second.reason == first.reason
    assert (tmp_path / first.cell.folder / "result.json").read_bytes() == stored


def test_the_threads_of_a_fit_stand_beside_its_seconds_whoever_judges_it(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.runner.settings.cpu_count", lambda: 3)
    made = make_plan("answer")
    (first,), *_ = execute(tmp_path, made)
    assert first.cost["threads"] == 3
    folder = tmp_path / first.cell.folder
    outcome = json.loads((folder / "fit" / "outcome.json").read_text())
    del outcome["threads"], outcome["digest"]  # earlier versions left the one in the request, and had no other
    (folder / "fit" / "outcome.json").write_text(json.dumps(outcome))
    (folder / "result.json").unlink()
    monkeypatch.setattr("bench.runner.settings.cpu_count", lambda: 1)
    (again,), fitted, _ = execute(tmp_path, made)
    assert fitted == []
    assert (again.cost["threads"], again.provenance["threads"]) == (3, 1)


def test_a_file_that_is_no_result_is_kept_aside_and_its_cell_is_run(tmp_path):
    made = make_plan("answer")
    (first,), *_ = execute(tmp_path, made)
    folder = tmp_path / first.cell.folder
    (folder / "result.json").write_text('{"score": 1}')
    (again,), *_ = execute(tmp_path, made)
    assert (again.status, again.metrics) == ("done", first.metrics)
    assert (folder / "previous" / "unreadable.json").read_text() == '{"score": 1}'


DRAFTS = (
    ".results.csv.7-8.tmp", ".suite.toml.7-8.tmp", ".7.probe.tmp", "paper/.main.tex.7-8.tmp",
    "report/.index.html.7-8.tmp", "report/cells/.a.html.7-8.tmp",
    "blocks/clean/truth/.h000.png.7.tmp", "blocks/clean/m/seed0/.result.json.7-8.tmp",
    "blocks/clean/m/seed0/renders/.h000.aligned.png.7.tmp", "blocks/clean/m/seed0/fit/.request.json.7-8.tmp",
    "blocks/clean/m/seed0/.submission.7-8.tmp/estimate.json", "blocks/clean/m/seed0/.fit.tmp/poses.json",
)  # fmt: skip
NO_DRAFTS = (
    ".x.tmp/precious", ".thesis.tex.7-8.tmp", "blocks/.x.tmp/precious", "blocks/.result.json.7-8.tmp",
    "blocks/kept.tmp",
    ".results.csv.7-8.tmp.d/precious", "photographs/.h000.png.7.tmp", "photographs/.fit.tmp/precious",
    "blocks/clean/m/seed0/.result.json.7-9.tmp/precious", "blocks/clean/m/seed0/fit/field/.part.7-8.tmp",
    "blocks/clean/m/seed0/.notes.7-8.tmp", "blocks/clean/.submission.7-8.tmp/precious",
)  # fmt: skip


def test_drafts_that_kills_left_are_gone_and_nothing_else_is(tmp_path):
    """A suite may be made in any folder: what is hidden and temporary there may be dear to somebody."""
    for name in (*DRAFTS, *NO_DRAFTS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ".h000.png.7.tmp").touch()
    (tmp_path / "blocks" / "clean" / "shown").symlink_to(tmp_path / "elsewhere")
    with hold(tmp_path):
        left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*NO_DRAFTS, ".lock", "elsewhere/.h000.png.7.tmp"}


def test_a_shard_removes_the_drafts_of_the_cell_that_it_claims_and_no_others(tmp_path):
    cell, other = (tmp_path / "blocks" / "clean" / "m" / f"seed{seed}" for seed in (0, 1))
    for folder in (cell, other):
        folder.mkdir(parents=True)
        (folder / ".result.json.7-8.tmp").touch()
        (folder / ".mine.tmp").touch()
    with claimed(cell) as ours:
        assert ours
    assert [path.name for path in sorted(cell.iterdir())] == [".claim", ".mine.tmp"]
    assert len(list(other.iterdir())) == 2


def test_the_capture_is_gone_once_the_fit_is_done(tmp_path):
    (result,), *_ = execute(tmp_path, make_plan("answer"))
    assert not list((tmp_path / result.cell.folder).rglob("capture.npz"))


def test_two_runs_in_one_suite_are_refused(tmp_path):
    with hold(tmp_path), pytest.raises(SuiteBusy, match="in use by another run"):
        execute(tmp_path, make_plan("answer"))


def test_cells_side_by_side_end_as_cells_one_by_one(tmp_path):
    made = make_plan("answer", "partial", "raise", seeds="0-1")
    alone, *_ = execute(tmp_path / "alone", made)
    beside, *_ = execute(tmp_path / "beside", made, workers=3)
    assert [r.metrics for r in alone] == [r.metrics for r in beside]
    assert [r.status for r in alone] == [r.status for r in beside]


def test_a_suite_may_be_named_by_a_relative_path(tmp_path, monkeypatch):
    made = make_plan("answer")
    monkeypatch.chdir(tmp_path)
    (result,), *_ = execute(Path("runs/quick"), made)
    assert result.status == "done", result.reason
    assert "nvs/aligned/psnr" in result.metrics


def test_what_a_method_notes_never_stands_for_what_the_runner_knows(tmp_path):
    (result,), _, _ = execute(tmp_path, make_plan("own_facts"))
    assert result.notes["attempts"] == 1 and "machine" not in result.notes  # which is noted on a cluster
    assert isinstance(result.notes["phases"], dict)
    own = {name: result.notes[name] for name in ("method_attempts", "method_machine", "method_phases", "remark")}
    assert own == {"method_attempts": 99, "method_machine": "a better one", "method_phases": "none", "remark": "mine"}


def test_of_notes_whose_names_coincide_none_is_lost():
    said = {"machine": 1, "method_machine": 2, "phases/A/steps": 3, "phasers": 4}
    assert _own(said) == {"method_machine": 1, "method_method_machine": 2, "method_phases/A/steps": 3, "phasers": 4}
    assert sorted(_own(dict(reversed(said.items()))).values()) == [1, 2, 3, 4]
