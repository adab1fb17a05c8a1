"""An answer that goes out of the suite and comes back: as files that other programs read, and as a row of its own."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.geometry import OPENGL_AXES as GL
from bench.judge.align import align
from bench.matrix.plan import plan
from bench.matrix.registry import find_scene
from bench.matrix.selection import Selection
from bench.poses_io.capture_export import hand_out
from bench.poses_io.export import export
from bench.poses_io.submission import kept
from bench.poses_io.submit import plan_submission, remarks
from bench.record import read_json, read_result, read_suite
from bench.runner.run import run
from bench.runner.settings import Settings
from datasets.folder import open_folder
from reports.build import build

NOISY = Path(__file__).parents[2] / "plugins" / "noisy.py"
COLUMNS = ("pose/rotation_deg_median", "pose/ate_rmse", "pose/auc_15", "pose/registered", "pose/rpe_rotation_deg")


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    """A suite in which a method ran: poses with known errors, in a frame of its own, two views lost."""
    folder = tmp_path_factory.mktemp("suite")
    made = plan(
        Selection(scenes="blocks", methods=str(NOISY), degradations="clean", seeds="0", effort="smoke", roots=())
    )
    (result,) = run(made, Settings(suite=folder), lambda *_: None)
    assert result.status == "done", result.reason
    return folder


@pytest.fixture(scope="module")
def row(suite):
    """Folder and result of the method that ran."""
    return next((folder, result) for folder, result in read_suite(suite) if result.cell.method == "noisy")


@pytest.fixture(scope="module")
def exported(row, tmp_path_factory):
    to = tmp_path_factory.mktemp("out") / "poses"
    list(export([row], to, forms=["transforms", "colmap", "tum"], aligned=False, truth=True, roots=()))
    return to


@pytest.fixture(scope="module")
def truth():
    return find_scene("blocks", ()).load(64).truth


def planned(path, name="mine", **change):
    arguments = {"scene": "blocks", "degradation": "clean", "seeds": "0", "effort": "smoke", "renders": None}
    arguments |= {"train": False, "roots": ()} | change
    return plan_submission(path, name=name, **arguments)


def test_a_field_of_choice_is_trained_on_what_was_brought(suite, exported):
    answer = exported / "poses.tum"
    (cell,) = planned(answer, train=True, options="field=gaussians,gaussians.backend=torch").cells
    assert cell.cell.method == "poses+nerf[field=gaussians,gaussians.backend=torch,name=mine]"
    assert cell.submission is not None and cell.skip is None
    (result,) = run(
        planned(answer, "gpu", train=True, options="field=gaussians"), Settings(suite=suite), lambda *_: None
    )
    assert result.status == "skipped" and str(result.reason).startswith("needs --device cuda: Gaussians are rasterised")
    with pytest.raises(ValueError, match="--options field=mlp: these are of a field, which --train asks for"):
        planned(answer, options="field=mlp")


def submit(path, suite, name="mine", **change):
    (result,) = run(planned(path, name, **change), Settings(suite=suite), lambda *_: None)
    assert result.status == "done", result.reason
    return result


@pytest.mark.parametrize("part", [".", "sparse/0", "poses.tum"])
def test_the_same_poses_have_the_same_numbers_whoever_brings_them(suite, row, exported, part):
    result = submit(exported / part, suite, name=f"form{len(part)}")
    assert result.cell.method == f"poses[name=form{len(part)}]"
    assert {name: result.metrics[name] for name in COLUMNS} == pytest.approx(
        {name: row[1].metrics[name] for name in COLUMNS}, abs=1e-9
    )
    assert result.metrics["pose/registered"] == pytest.approx(0.98)


@pytest.fixture(scope="module")
def brought(suite, exported):
    """The row of a submission."""
    return submit(exported / "poses.tum", suite, name="brought")


def evo_ape(folder, tmp_path, *options):
    """evo's own command on the exported files; HOME is elsewhere, for it writes its settings there."""
    program = Path(sys.executable).with_name("evo_ape")
    done = subprocess.run(
        [program, "tum", folder / "truth" / "poses.tum", folder / "poses.tum", *options],
        capture_output=True, text=True, check=True, env=os.environ | {"HOME": str(tmp_path)},
    )  # fmt: skip
    return next(float(line.split()[1]) for line in done.stdout.splitlines() if line.strip().startswith("rmse"))


def test_evo_finds_the_error_that_the_protocol_finds(row, exported, tmp_path):
    assert row[1].metrics["pose/ate_rmse"] > 0.01
    assert evo_ape(exported, tmp_path, "--align", "--correct_scale") == pytest.approx(
        row[1].metrics["pose/ate_rmse"], abs=1e-6
    )
    list(export([row], tmp_path / "aligned", forms=["tum"], aligned=True, truth=True, roots=()))
    assert evo_ape(tmp_path / "aligned", tmp_path) == pytest.approx(row[1].metrics["pose/ate_rmse"], abs=1e-6)
    assert sorted(path.name for path in (tmp_path / "aligned").iterdir()) == ["poses.tum", "truth"]


def test_an_exported_folder_is_a_scene_of_the_images_that_were_shown(exported):
    scene = open_folder(exported).load(64)
    shown = find_scene("blocks", ()).load(64).capture.images
    images = {image.tobytes() for image in shown.values()}
    assert len(scene.capture.images) + len(scene.truth.heldout.ids) == 98  # of two views there is no pose
    assert all(image.tobytes() in images for image in scene.capture.images.values())


def test_nothing_is_written_over_and_a_cell_without_poses_is_named(row, exported, tmp_path):
    with pytest.raises(ValueError, match="exists and is not empty"):
        list(export([row], exported, forms=["tum"], aligned=False, truth=False, roots=()))
    (tmp_path / "cell").mkdir()
    with pytest.raises(ValueError, match=r"no cell has aligned poses .*noisy/seed0"):
        list(
            export([(tmp_path / "cell", row[1])], tmp_path / "to", forms=["tum"], aligned=False, truth=False, roots=())
        )
    assert not (tmp_path / "to").exists()
    lines = list(
        export([row, (tmp_path / "cell", row[1])], tmp_path / "to", forms=["tum"], aligned=False, truth=False, roots=())
    )
    assert "left out" in lines[1]
    assert (tmp_path / "to" / row[1].cell.folder / "poses.tum").is_file()


def test_a_submission_says_what_it_is_wherever_it_is_shown(suite, brought):
    assert brought.given == ("camera", "estimate")
    assert brought.notes["submitted"] == "poses.tum (tum)"
    assert "fit_seconds" not in brought.cost
    assert "peak_rss_mb" not in brought.cost
    assert "not known" in brought.absent["cost/fit_seconds"]
    assert brought.absent["nvs/aligned"] == "no renders were submitted"
    page = build(suite).read_text()
    assert "intrinsics + submitted poses" in page
    assert "Submitted, not run here: poses[name=" in page
    command = "unposed submit -s blocks -d clean --effort smoke --name brought --seeds 0 FILE_OR_FOLDER"
    assert command in page
    assert "-m noisy" in page


def test_a_later_run_takes_the_submission_from_the_suite(suite, brought):
    heard = []
    methods = f"{NOISY},poses[name=brought],poses[name=nobody]"
    made = plan(Selection(scenes="blocks", methods=methods, degradations="clean", seeds="0", effort="smoke"))
    *cached, absent = run(made, Settings(suite=suite), lambda _, stage, __: heard.append(stage))
    assert heard[:2] == ["cached", "cached"]
    assert cached[1] == read_result(suite / brought.cell.folder)
    assert (cached[1].metrics, cached[1].fingerprints) == (brought.metrics, brought.fingerprints)
    assert (absent.status, absent.reason) == ("skipped", "needs poses that `unposed submit` brought under this name")
    shutil.rmtree(suite / absent.cell.folder)


def test_all_methods_are_those_that_run_here():
    made = plan(Selection(scenes="blocks", methods="all", degradations="clean", seeds="0", effort="smoke"))
    assert not [each.cell.method for each in made.cells if each.cell.method.startswith("poses")]
    with pytest.raises(ValueError, match="name each outright"):
        plan(Selection(scenes="blocks", methods="poses*", degradations="clean", seeds="0", effort="smoke"))


def test_a_changed_file_is_judged_anew_and_the_old_result_is_kept_aside(suite, exported, tmp_path):
    before = submit(exported, suite, name="changing")
    path = tmp_path / "poses.tum"
    path.write_text("".join((exported / "poses.tum").read_text().splitlines(keepends=True)[:-10]))
    after = submit(path, suite, name="changing")
    assert after.metrics["pose/registered"] == pytest.approx(0.88)
    assert after.fingerprints["fit"] != before.fingerprints["fit"]
    assert after.ingredients["fit"]["estimate"] != before.ingredients["fit"]["estimate"]
    aside = suite / after.cell.folder / "previous" / f"{before.fingerprints['judgement'][:12]}.json"
    assert read_json(aside)["metrics"] == before.metrics
    assert len(read_json(suite / after.cell.folder / "cameras.json")["estimate"]) == 88


def test_intrinsics_of_ones_own_are_judged_and_those_handed_out_are_known_again(suite, exported, tmp_path, truth):
    own = tmp_path / "own.json"
    raw = json.loads((exported / "transforms.json").read_text())
    own.write_text(
        json.dumps(
            raw | {"w": 128, "h": 128, "cx": 64, "cy": 64, "fl_x": 2.2 * truth.camera.fx, "fl_y": 2.2 * truth.camera.fy}
        )
    )
    result = submit(own, suite, name="own")
    assert result.given == ("estimate",)
    assert result.metrics["camera/focal_relative_error"] == pytest.approx(0.1)
    given = planned(exported / "transforms.json").cells[0].submission
    assert given.estimate.camera is None


def test_renders_made_at_the_cameras_written_down_are_judged(suite, exported, tmp_path, truth):
    made = planned(exported, "rendered")
    (result,) = run(made, Settings(suite=suite), lambda *_: None)
    folder = suite / result.cell.folder
    assert any(str(folder / "heldout.transforms.json") in line for line in remarks(made, suite, [result]))
    frames = json.loads((folder / "heldout.transforms.json").read_text())["frames"]
    assert [frame["file_path"] for frame in frames] == [f"{view}.png" for view in truth.heldout.ids]
    assert len(kept(folder).estimate.poses) == 98
    renders = tmp_path / "renders"
    renders.mkdir()
    rng = np.random.default_rng(0)
    for frame, image in zip(frames, truth.heldout.images, strict=True):
        shaken = np.clip(image + rng.normal(0, 8, image.shape), 0, 255).round().astype(np.uint8)
        Image.fromarray(shaken).save(renders / frame["file_path"])
    shown = submit(exported, suite, name="rendered", renders=renders)
    assert shown.fingerprints["fit"] == result.fingerprints["fit"]
    assert shown.fingerprints["judgement"] != result.fingerprints["judgement"]
    assert 29 < shown.metrics["nvs/aligned/psnr"] < 33  # noise of 8 of 255 is 30.1 dB; white stays white
    assert shown.notes["renders"] == "submitted"
    assert shown.absent["nvs/refined"] == "the renders were submitted, without a field"
    assert (folder / "renders" / "h000.aligned.png").exists()


def test_the_cameras_to_render_from_are_the_true_ones_in_the_submitters_frame(suite, brought, truth):
    """The similarity that takes his poses to the truth takes them there too."""
    folder = suite / brought.cell.folder
    raw = json.loads((folder / "heldout.transforms.json").read_text())
    poses = np.array([frame["transform_matrix"] for frame in raw["frames"]]) @ GL
    alignment = align(kept(folder).estimate.poses, truth.poses)
    np.testing.assert_allclose(alignment.similarity.apply(poses), truth.heldout.poses, atol=1e-9)
    assert (raw["w"], raw["h"]) == (64, 64)


def refused(suite, path, words, **change):
    before = sorted(suite.rglob("*"))
    with pytest.raises(ValueError, match=words) as refusal:
        submit(path, suite, **change)
    assert "\n" not in str(refusal.value)
    assert sorted(suite.rglob("*")) == before


def test_what_does_not_fit_is_refused_before_anything_is_written(suite, exported, tmp_path, truth):
    refused(suite, exported, "a name is letters", name="a,b]")
    refused(suite, exported, "one scene's", name="x", scene="blocks,blocks-plain")
    refused(suite, exported, "leave out --renders", name="x", train=True, renders=tmp_path)
    refused(suite, exported, r"lacks h000.png, h001.png, h002.png and 22 more", name="x", renders=tmp_path)
    for view in truth.heldout.ids:
        Image.new("RGB", (64, 64)).save(tmp_path / f"{view}.png")
    Image.new("RGB", (32, 64)).save(tmp_path / "h007.png")
    refused(suite, exported, "h007.png is 32x64 px, the held-out images are 64x64 px", name="x", renders=tmp_path)
    Image.new("RGBA", (64, 64)).save(tmp_path / "h007.png")
    refused(suite, exported, "h007.png has mode RGBA", name="x", renders=tmp_path)
    (tmp_path / "h007.png").write_bytes(b"\x89PNG nonsense")
    refused(suite, exported, "h007.png cannot be read", name="x", renders=tmp_path)
    (tmp_path / "far.tum").write_text("0 1 2 3 0 0 0 1\n100 1 2 3 0 0 0 1\n")
    refused(suite, tmp_path / "far.tum", "v100, which were not shown; the 100 views are v000 to v099", name="x")
    raw = json.loads((exported / "transforms.json").read_text())
    (tmp_path / "wide.json").write_text(json.dumps(raw | {"w": 96}))
    refused(suite, tmp_path / "wide.json", "96x64 px but the images are 64x64 px", name="x")


def test_poses_in_another_convention_are_judged_as_they_stand_and_the_mistake_is_named(suite, exported, tmp_path):
    raw = json.loads((exported / "transforms.json").read_text())
    for frame in raw["frames"]:
        frame["transform_matrix"] = (np.array(frame["transform_matrix"]) @ np.diag([1, -1, -1, 1])).tolist()
    (tmp_path / "opencv.json").write_text(json.dumps(raw))
    made = planned(tmp_path / "opencv.json", "axes")
    (result,) = run(made, Settings(suite=suite), lambda *_: None)
    assert result.metrics["pose/rotation_deg_median"] > 150
    assert "OpenGL axes" in str(result.notes["mistaken"])
    assert any("OpenGL axes" in line for line in remarks(made, suite, [result]))


def test_the_command_in_a_handed_out_folder_can_be_pasted_whatever_the_scene_is_called(tmp_path):
    folder, to = tmp_path / "my vase (1)", tmp_path / "out"
    folder.mkdir()
    for k in range(6):
        Image.fromarray(np.full((30, 40, 3), 20 * k, np.uint8)).save(folder / f"{k}.png")
    hand_out(str(folder), to, degradation="clean", effort="smoke", roots=())
    command, *_ = [
        line for line in (to / "README.txt").read_text().splitlines() if line.strip().startswith("unposed submit -s")
    ]
    assert shlex.split(command)[:4] == ["unposed", "submit", "-s", str(folder)]


def test_a_handed_out_folder_holds_what_methods_are_shown_and_no_truth(tmp_path, truth):
    to = tmp_path / "blocks"
    capture = hand_out("blocks", to, degradation="gaussian_noise@2", effort="smoke", roots=())
    names = sorted(path.relative_to(to).as_posix() for path in to.rglob("*") if path.is_file())
    assert names == ["README.txt", "capture.json", *(f"images/v{k:03d}.png" for k in range(100))]
    assert capture.start is None
    assert capture.masks is None
    clean = find_scene("blocks", ()).load(64).capture.images
    for view, image in capture.images.items():
        with Image.open(to / "images" / f"{view}.png") as picture:
            assert picture.info == {}
            assert np.array_equal(np.asarray(picture), image)
            assert not np.array_equal(image, clean[view])
    assert "unposed submit -s blocks -d gaussian_noise@2 --effort smoke --name NAME" in (to / "README.txt").read_text()
    text = (to / "capture.json").read_text() + (to / "README.txt").read_text()
    for pose in [*truth.poses.values(), *truth.heldout.poses]:
        for number in np.abs(pose[:3].ravel()):
            digits = f"{number:.8g}"
            assert len(digits) < 8 or digits not in text
    assert set(read_json(to / "capture.json")) == {
        "scene", "degradation", "draw", "effort", "views", "camera", "prior", "background",
    }  # fmt: skip
    with pytest.raises(ValueError, match="exists and is not empty"):
        hand_out("blocks", to, degradation="clean", effort="smoke", roots=())


def test_what_was_handed_out_spoilt_may_be_answered_too(exported):
    """The suite cannot know whether he looked at the prior, so it does not skip him."""
    (cell,) = planned(exported / "poses.tum", degradation="prior_elevation@3").cells
    assert cell.skip is None
    with pytest.raises(ValueError, match="which were not shown; the 50 views"):
        planned(exported / "poses.tum", degradation="fewer_views@1")
