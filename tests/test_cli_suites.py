"""Suites from the command line: judged again, kept apart, and refused where they cannot be had."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from bench.cli.app import Refusals
from bench.matrix.plan import plan
from bench.matrix.selection import Selection
from bench.record import cells_of
from bench.runner.run import run
from bench.runner.settings import Settings

SCRIPTED = str(Path(__file__).parent / "plugins" / "scripted.py")


@pytest.fixture
def unposed(unposed, monkeypatch, tmp_path):
    """The same, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return unposed


def fits(suite):
    """When each fit of a suite was finished."""
    return {path: path.stat().st_mtime_ns for path in Path(suite).rglob("fit/outcome.json")}


def test_a_suite_is_judged_again_and_nothing_is_fitted(unposed):
    methods = f"{SCRIPTED},{SCRIPTED}[behaviour=collapse]"
    assert unposed("run", "-m", methods, "--effort", "smoke", "-o", "s", "--no-track")[0] == 0
    before, made = {str(f): r for f, r in cells_of(Path("s"))}, fits("s")
    code, text = unposed("judge", "s", "--no-refine", "--render-limit", 60, "--no-track")
    assert code == 0, text
    assert "2 cells: 1 solved · 1 collapsed" in text
    assert fits("s") == made
    after = {str(f): r for f, r in cells_of(Path("s"))}
    assert before.keys() == after.keys()
    for folder, result in after.items():
        assert result.fingerprints["fit"] == before[folder].fingerprints["fit"]
        assert result.fingerprints["judgement"] != before[folder].fingerprints["judgement"]
        assert result.ingredients["judgement"]["refine"] is False
    assert unposed("judge", "s", "--no-track")[0] == 0
    code, text = unposed("run", "-m", methods, "--effort", "smoke", "-o", "s", "--no-track")
    assert text.count("(cached)") == 2  # as a run would have judged them


def test_where_there_is_no_fit_judge_says_so(unposed):
    assert unposed("run", "-m", "gnerf", "-d", "start_noise@3", "--effort", "smoke", "-o", "s", "--no-track")[0] == 0
    code, text = unposed("judge", "s", "--no-track")
    assert (code, text) == (2, "unposed: s holds no fit to judge\n")
    assert unposed("judge", "nowhere")[0] == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:3", "warp9"])
def test_a_device_that_is_not_here_is_refused_before_anything_starts(unposed, device):
    code, text = unposed("run", "-m", SCRIPTED, "--effort", "smoke", "-o", "s", "--device", device, "--no-track")
    assert code == 2
    assert text.startswith(f"unposed: --device {device}: torch ")
    assert text.count("\n") == 1
    assert not Path("s").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("verb", [["render"], ["view"], ["export", "--mesh", "--to", "out"]])
def test_a_device_that_is_not_here_is_refused_before_a_cell_is_shown(unposed, verb):
    code, text = unposed(*verb, "blocks/clean/scripted/seed0", "-o", "s", "--device", "cuda")
    said = "torch sees no CUDA device here; `unposed doctor` says more, --device cpu runs without"
    assert (code, text) == (2, f"unposed: --device cuda: {said}\n")
    assert list(Path().iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_auto_without_a_gpu_runs_on_the_cpu_and_says_so_first(unposed):
    """Of a suite that was run there it changes nothing."""
    asked = ["-m", SCRIPTED, "--effort", "smoke", "-o", "s"]
    assert unposed("run", *asked, "--no-track")[0] == 0
    first = "--device auto: on the CPU, for torch sees no CUDA device here"
    for verb in (["run", *asked, "--no-track"], ["plan", *asked], ["judge", "s", "--no-track"]):
        code, text = unposed(*verb, "--device", "auto")
        assert (code, text.splitlines()[0].partition(" (CUDA_VISIBLE_DEVICES")[0]) == (0, first)
        if verb[0] != "judge":
            assert "(cached)" in text or "finished: solved" in text
    code, text = unposed("plan", *asked, "--device", "auto", "--json")
    assert json.loads(text)[0]["state"] == "finished: solved"
    ((_, result),) = cells_of(Path("s"))
    assert result.provenance["device"] == "cpu"
    assert "card" not in result.provenance


@pytest.mark.parametrize("asked", ["all", "cuda:0,cuda:1"])
@pytest.mark.parametrize(
    "verb",
    [
        ["render", "x"], ["view", "x"], ["export", "--mesh", "--to", "out"],
        ["submit", "one.tum", "-s", "blocks", "--name", "x"],
    ],
    ids=lambda verb: verb[0],
)  # fmt: skip
def test_what_works_on_one_device_refuses_a_list_in_a_sentence(unposed, verb, asked):
    Path("one.tum").write_text("".join(f"{k} {k} {k % 3} 0 0 0 0 1\n" for k in range(9)))
    code, text = unposed(*verb, "-o", "s", "--device", asked)
    said = f"--device {asked}: this works on one device: write auto, cpu, cuda or cuda:1"
    assert (code, text) == (2, f"unposed: {said}\n")
    assert not Path("s").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_suite_file_names_devices_as_the_command_line_does(unposed):
    Path("two.toml").write_text(f'methods = "{SCRIPTED}"\neffort = "smoke"\ndevice = ["cuda:0", "cuda:1"]\n')
    code, text = unposed("plan", "two.toml")
    assert (code, text.splitlines()[0]) == (0, "--device cuda:0,cuda:1: on cuda:0, cuda:1")
    assert "--gpus=2" in unposed("plan", "two.toml", "--slurm", 4)[1]
    code, text = unposed("run", "two.toml", "--no-track")
    assert (code, text.count("\n")) == (2, 1)
    assert "torch sees no CUDA device here" in text
    code, text = unposed("run", "two.toml", "--executor", "ray")
    assert (code, text.count("\n"), Path("runs").exists()) == (2, 1, False)
    assert "with --executor ray, Ray chooses each fit's GPU: write cpu or cuda" in text
    assert unposed("run", "two.toml", "--no-track", "--device", "auto")[0] == 0
    assert 'device = "auto"' in Path("runs/two/suite.toml").read_text()


@pytest.mark.parametrize(
    ("error", "verb", "code", "text"),
    [
        (OSError(28, "No space left on device", "s/x"), "run", 2,
         "s/x: No space left on device; finished cells are kept"),
        (OSError(28, "No space left on device", "s/x"), "report", 2, "s/x: No space left on device"),
        (KeyboardInterrupt(), "judge", 130,
         "stopped; finished cells are kept, and the same command goes on from here"),
        (KeyboardInterrupt(), "report", 130, "stopped"),
    ],
)  # fmt: skip
def test_that_finished_cells_are_kept_is_said_by_the_verbs_that_make_them(error, verb, code, text):
    group = Refusals()

    @group.command(verb)
    def _():
        raise error

    done = CliRunner().invoke(group, [verb])
    assert (done.exit_code, done.output) == (code, f"unposed: {text}\n")


@pytest.mark.parametrize("out", ["file/suite", "/proc/suite", "/sys/suite"])
@pytest.mark.parametrize("verb", ["run", "submit", "stress"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_starts(unposed, out, verb):
    Path("file").write_text("not a folder")
    Path("one.tum").write_text("".join(f"{k} {k} {k % 3} 0 0 0 0 1\n" for k in range(9)))
    arguments = {
        "run": ["-m", SCRIPTED], "stress": ["-m", SCRIPTED, "-d", "jpeg"],
        "submit": ["one.tum", "-s", "blocks", "--name", "x"],
    }  # fmt: skip
    code, text = unposed(verb, *arguments[verb], "--effort", "smoke", "-o", out, "--no-track")
    assert code == 2
    assert f"unposed: --out {out}: cannot be written to: " in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("out", ["loop", "loop/suite"])
@pytest.mark.parametrize(
    "verb",
    [
        ["run", "-m", SCRIPTED], ["plan", "-m", SCRIPTED], ["stress", "-m", SCRIPTED, "-d", "jpeg"], ["status"],
        ["report"], ["collect"], ["ui"], ["doctor"], ["submit", "one.tum", "-s", "blocks", "--name", "x"],
    ],
    ids=lambda verb: verb[0],
)  # fmt: skip
def test_a_link_that_leads_back_to_itself_is_a_sentence(unposed, out, verb):
    Path("loop").symlink_to("loop")
    Path("one.tum").write_text("".join(f"{k} {k} {k % 3} 0 0 0 0 1\n" for k in range(9)))
    code, text = unposed(*verb, "-o", out)
    assert code == (1 if verb[0] == "doctor" else 2)
    assert f"{out}" in text
    assert "Too many levels of symbolic links" in text or verb[0] in ("status", "report", "collect", "doctor")
    if verb[0] in ("run", "plan", "stress", "submit"):
        assert text.startswith(f"unposed: --out {out}: cannot be written to: Too many levels of symbolic links")
        assert text.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "-o", "nowhere"], ["report", "-o", "nowhere"], ["judge", "nowhere"], ["compare", "nowhere", "s"],
        ["compare", "nowhere:nerf", "s"], ["track", "--replay", "-o", "nowhere"], ["ui", "-o", "nowhere/s"],
    ],
)  # fmt: skip
def test_a_folder_that_is_not_there_is_named_in_a_sentence(unposed, arguments):
    code, text = unposed(*arguments)
    assert code == 2
    assert "nowhere" in text
    assert text.count("\n") == 1
    assert list(Path().iterdir()) == []


def a_capture(folder, *, shade):
    """Ten views of a coloured square, on a circle."""
    folder.mkdir(parents=True)
    frames = []
    for k in range(10):
        Image.new("RGB", (32, 32), (shade, 20 * k, 60)).save(folder / f"f_{k:02d}.png")
        c, s = np.cos(0.6 * k), np.sin(0.6 * k)
        pose = [[c, 0, s, 4 * s], [0, 1, 0, 0.1 * k], [-s, 0, c, 4 * c], [0, 0, 0, 1]]
        frames.append({"file_path": f"f_{k:02d}.png", "transform_matrix": pose})
    (folder / "transforms.json").write_text(json.dumps({"fl_x": 40.0, "w": 32, "h": 32, "frames": frames}))
    return folder


def settle(unposed, scenes, *more):
    return unposed("run", "-s", scenes, "-m", SCRIPTED, "--effort", "smoke", "-o", "s", "--no-track", *more)


def scenes_of(suite):
    return {result.cell.scene: result.provenance["scene_folder"] for _, result in cells_of(Path(suite))}


def test_two_folders_of_one_last_name_are_two_scenes(unposed):
    places = [a_capture(Path(home) / "vase", shade=90 * k).resolve() for k, home in enumerate(("a", "b"))]
    both = "a/vase,b/vase"
    assert "2 cells" in unposed("plan", "-s", both, "-m", SCRIPTED, "--effort", "smoke", "-o", "s")[1]
    assert settle(unposed, both)[0] == 0
    assert scenes_of("s") == {"a/vase": str(places[0]), "b/vase": str(places[1])}
    for one in ("a/vase", "b/vase", both):  # a name stays, whoever else is asked for
        assert "(cached)" in settle(unposed, one)[1]


def test_a_folder_whose_last_name_is_taken_in_the_suite_has_a_longer_one(unposed):
    places = [a_capture(Path(home) / "at" / "vase", shade=90 * k).resolve() for k, home in enumerate("abc")]
    for place in places:
        assert settle(unposed, place)[0] == 0
    assert scenes_of("s") == {"vase": str(places[0]), "at/vase": str(places[1]), "c/at/vase": str(places[2])}
    assert settle(unposed, ",".join(map(str, places)))[1].count("(cached)") == 3
    for name in ("vase", "at/vase", "c/at/vase"):  # which are names in this suite, and no folders here
        assert "(cached)" in settle(unposed, name)[1]


def test_a_plan_that_does_not_know_the_suite_cannot_take_a_name_in_it(unposed):
    places = [a_capture(Path(home) / "vase", shade=90 * k).resolve() for k, home in enumerate("ab")]
    assert settle(unposed, places[0])[0] == 0
    made = plan(Selection(scenes=str(places[1]), methods=SCRIPTED, effort="smoke"))
    with pytest.raises(ValueError, match="another scene called 'vase'"):
        run(made, Settings(suite=Path("s")), lambda *_: None)
    assert scenes_of("s") == {"vase": str(places[0])}


def test_a_scene_that_was_moved_or_copied_is_the_same_scene(unposed):
    first = a_capture(Path("a") / "kitchen" / "vase", shade=0)
    assert settle(unposed, first)[0] == 0
    shutil.copytree("a", "b")
    assert "(cached)" in settle(unposed, "b/kitchen/vase")[1]
    shutil.rmtree("a")
    assert "(cached)" in settle(unposed, "b/kitchen/vase")[1]


def test_a_suite_remembers_where_its_scenes_and_methods_were(unposed):
    shutil.copy(SCRIPTED, "mine.py")
    scene = a_capture(Path("kitchen") / "vase", shade=0)
    code, text = unposed("run", "-s", scene, "-m", "mine.py[behaviour=partial]", "--effort", "smoke", "-o", "s",
                         "--no-track")  # fmt: skip
    assert code == 0, text
    cell = "vase/clean/scripted[behaviour=partial]/seed0"
    code, text = unposed("why", cell, "-o", "s")
    assert (code, text) == (0, f"{cell} stands: nothing has changed\n")
    code, text = unposed("export", cell, "-o", "s", "--to", "out", "--format", "transforms")
    assert code == 0 and "without images" not in text
    assert len(list(Path("out/images").iterdir())) == 8
    shutil.move("kitchen", "cellar")
    code, text = unposed("why", cell, "-o", "s")
    assert code == 2
    assert f"it was at {Path('kitchen/vase').resolve()}" in text
