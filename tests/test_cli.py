"""The command line as a person meets it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from bench.matrix.registry import find_scene

ROOT = Path(__file__).parent.parent
SCRIPTED = str(ROOT / "tests" / "plugins" / "scripted.py")


@pytest.mark.parametrize("arguments", [["--help"], ["list", "scenes"], ["list", "methods"], ["plan", "-m", "nerf"]])
def test_looking_around_imports_nothing_heavy(arguments):
    look = (
        "import sys; from bench.cli import main\n"
        "try: main(sys.argv[1:], standalone_mode=True)\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = 'torch', 'mlflow', 'pycolmap', 'evo', 'pandas', 'numba', 'skimage'\n"
        "print('HEAVY', [name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", look, *arguments], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "HEAVY []" in done.stdout


@pytest.mark.parametrize("group", [[], ["list"], ["data"]])
def test_no_line_of_help_is_cut(unposed, group):
    code, text = unposed(*group, "--help")
    assert code == 0
    assert "..." not in text.partition("Commands:")[2]


def test_info_has_every_option_with_type_default_and_comment(unposed):
    code, text = unposed("info", "gnerf[reseed_every=50]")
    assert code == 0
    assert re.search(r'prior +given \| learned = "given"  # learned: from AB on', text)
    assert re.search(r"reseed_every +int = 50  # iterations of AB", text)
    assert "grid.quick.b " in text
    assert "numbers reached" in text
    listed = {option["name"] for option in json.loads(unposed("info", "nerf", "--json")[1])["options"]}
    assert {"field", "sh_degree", "grid_quick.rays"} <= listed


def test_info_knows_scenes_and_degradations_and_what_is_near(unposed):
    assert "can give camera, masks, prior" in unposed("info", "blocks")[1]
    assert re.search(r"severity +0 +1", unposed("info", "low_texture")[1])
    assert "the same at every seed" in unposed("info", "low_texture")[1]
    assert "gaussian_noise@3#7 is draw 7 at every seed" in unposed("info", "gaussian_noise")[1]
    code, text = unposed("info", "gnerff")
    assert code == 2
    assert "did you mean gnerf" in text


def test_the_lists_say_in_one_line_what_each_thing_is(unposed):
    code, text = unposed("list", "methods")
    assert code == 0
    assert "colmap_nerf" in text
    assert "[given intrinsics" in text
    rows = json.loads(unposed("list", "scenes", "--json")[1])
    assert {row["name"] for row in rows} >= {"blocks", "nerf_synthetic/chair"}
    assert all(row["summary"] for row in rows)
    assert "gaussian_noise" in unposed("list", "degradations")[1]


def test_scenes_that_are_had_in_one_way_are_told_together(unposed):
    here, absent = unposed("list", "scenes")[1].split("\nnot here:\n")
    assert "blocks-repeat " in here and "nerf_synthetic" not in here
    lines = absent.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("nerf_synthetic/{chair,drums,")]
    assert "get nerf_synthetic.zip" in lines[at + 1]
    assert absent.count("nerf_synthetic.zip") == 1


def test_an_absent_scene_is_listed_with_how_to_get_it(unposed):
    rows = {row["name"]: row for row in json.loads(unposed("list", "scenes", "--json")[1])}
    assert rows["blocks"]["missing"] is None
    assert rows["nerf_synthetic/lego"]["missing"]


def test_nothing_is_written_for_bad_input(unposed, tmp_path):
    assert unposed("run", "-s", "blocks,nowhere", "-o", tmp_path / "suite")[0] == 2
    assert not (tmp_path / "suite").exists()


def test_a_run_is_told_and_told_again_from_its_files(unposed, tmp_path):
    suite = tmp_path / "suite"
    methods = f"{SCRIPTED},{SCRIPTED}[behaviour=raise],{SCRIPTED}[behaviour=collapse]"
    code, text = unposed("run", "-m", methods, "--effort", "smoke", "-o", suite, "--no-track")
    assert code == 1  # one failed
    assert "3 cells: 1 solved · 1 collapsed · 1 failed" in text
    assert "RuntimeError: told to" in text
    code, text = unposed("status", "-o", suite)
    assert code == 0
    assert "3 cells: 1 solved · 1 collapsed · 1 failed" in text
    code, text = unposed("run", "-m", methods, "--effort", "smoke", "-o", suite, "--no-track")
    assert text.count("(cached)") == 3
    code, text = unposed("plan", "-m", methods, "--effort", "smoke", "-o", suite)
    assert text.count("finished: ") == 3
    assert text.startswith(f"3 cells, 0 to run; suite {suite}\n")
    code, text = unposed("report", "-o", suite)
    assert code == 0
    assert Path(text.strip()).is_file()


def test_an_answer_goes_out_and_comes_back(unposed, tmp_path):
    suite = ["--effort", "smoke", "-o", tmp_path / "suite"]
    assert "100 images" in unposed("data", "export", "blocks", "--effort", "smoke", "--to", tmp_path / "blocks")[1]
    truth = find_scene("blocks", ()).load(64).truth.poses
    lines = []
    for image in sorted((tmp_path / "blocks" / "images").iterdir()):  # somebody who knows the answer
        pose = truth[image.stem]
        numbers = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        lines.append(" ".join(map(str, [int(image.stem[1:]), *numbers])))
    (tmp_path / "answer.txt").write_text("\n".join(lines))
    code, text = unposed("submit", tmp_path / "answer.txt", "-s", "blocks", "--name", "me", *suite, "--no-track")
    assert code == 0, text
    assert "poses[name=me]/seed0  solved  0.00 deg  100% registered" in " ".join(text.split(" "))
    assert "seed0/heldout.transforms.json" in text
    cell = "blocks/clean/poses[name=me]/seed0"
    code, text = unposed("why", cell, *suite)
    assert "stands: nothing has changed" in text
    code, text = unposed("export", cell, *suite, "--to", tmp_path / "out", "--format", "tum")
    assert code == 0, text
    written = np.loadtxt(tmp_path / "out" / "poses.tum")
    assert written[:, 1:4] == pytest.approx(np.array([truth[f"v{int(k):03d}"][:3, 3] for k in written[:, 0]]))


def test_an_export_has_the_draw_of_its_seed_and_says_how_to_come_back(unposed, tmp_path):
    images = {}
    for name, more in {"tied": ["noise@3", "--seed", 2], "fixed": ["noise@3#2"], "first": ["noise@3"]}.items():
        kind = f"gaussian_{more[0]}"
        code, text = unposed(
            "data", "export", "blocks", "-d", kind, *more[1:], "--effort", "smoke", "--to", tmp_path / name
        )
        assert code == 0, text
        images[name] = {path.name: path.read_bytes() for path in (tmp_path / name / "images").iterdir()}
    assert images["tied"] == images["fixed"] != images["first"]
    assert "-d gaussian_noise@3 --seeds 2 --effort smoke" in (tmp_path / "tied" / "README.txt").read_text()
    assert "-d 'gaussian_noise@3#2' --effort smoke" in (tmp_path / "fixed" / "README.txt").read_text()
    code, text = unposed(
        "submit",
        tmp_path / "tied" / "images",
        "-s",
        "blocks",
        "-d",
        "gaussian_noise@3",
        "--name",
        "x",
        "--seeds",
        "0-1",
    )
    assert code == 2
    assert "one scene's under one degradation and draw" in text


def test_why_says_what_changed(unposed, tmp_path):
    suite, source = tmp_path / "suite", tmp_path / "mine.py"
    source.write_text(Path(SCRIPTED).read_text())
    unposed("run", "-m", source, "--effort", "smoke", "-o", suite, "--no-track")
    cell = "blocks/clean/scripted/seed0"
    code, text = unposed("plan", "-m", source, "--effort", "smoke", "-o", suite, "--json")
    assert json.loads(text)[0]["state"] == "finished: solved"
    source.write_text(source.read_text().replace("0.5", "0.6"))
    code, text = unposed("why", cell, "-o", suite, "-m", source)
    assert code == 0
    assert "fit > code > mine.py" in text
    assert "will be fitted again" in text


def test_all_cells_good_is_exit_code_0(unposed, tmp_path):
    methods = f"{SCRIPTED},{SCRIPTED}[behaviour=collapse]"
    assert unposed("run", "-m", methods, "--effort", "smoke", "-o", tmp_path / "s", "--no-track")[0] == 0


def test_doctor_names_what_it_looked_at(unposed, tmp_path):
    code, text = unposed("doctor", "-o", tmp_path)
    assert code == 0, text
    for subject in ("python", "torch", "lpips", "names", "nerf", "scenes", "disk"):
        assert subject in text
    assert "a step of a small grid by numba_cpu took" in text


def a_blender_scene(folder):
    """Eight views of a coloured square, in the official layout."""
    from PIL import Image

    for split, count in (("train", 6), ("test", 2)):
        (folder / split).mkdir(parents=True)
        frames = []
        for k in range(count):
            Image.new("RGBA", (32, 32), (200, 30 * k, 60, 255)).save(folder / split / f"r_{k}.png")
            turn = 2 * np.pi * k / count
            c, s = np.cos(turn), np.sin(turn)
            pose = [[c, 0, s, 4 * s], [0, 1, 0, 0], [-s, 0, c, 4 * c], [0, 0, 0, 1]]
            frames.append({"file_path": f"./{split}/r_{k}", "transform_matrix": pose})
        text = json.dumps({"camera_angle_x": 0.7, "frames": frames})
        (folder / f"transforms_{split}.json").write_text(text)
    return folder


def edit_frame(folder, change):
    path = folder / "transforms_train.json"
    raw = json.loads(path.read_text())
    change(raw["frames"][3])
    path.write_text(json.dumps(raw))


def test_a_folder_of_ones_own_is_a_scene(unposed, tmp_path):
    scene = a_blender_scene(tmp_path / "mine")
    code, text = unposed("run", "-s", scene, "-m", SCRIPTED, "--effort", "smoke", "-o", tmp_path / "s", "--no-track")
    assert code == 0, text
    assert "1 cell: 1 solved" in text


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "train" / "r_3.png").unlink(), ["train frame 3", "r_3"]),
        (lambda folder: (folder / "train" / "r_3.png").write_bytes(b"\x89PNG nonsense"), ["r_3.png"]),
        (
            lambda folder: edit_frame(folder, lambda frame: frame["transform_matrix"][0].__setitem__(0, 3.0)),
            ["rotation"],
        ),
        (lambda folder: resize(folder / "train" / "r_3.png"), ["32x32", "16x16"]),
        (lambda folder: shutil.rmtree(folder) or folder.mkdir(), ["empty"]),
        (lambda folder: (folder / "transforms_train.json").write_text("{"), ["transforms_train.json"]),
    ],
)
def test_a_spoilt_scene_is_refused_in_a_sentence_and_nothing_is_written(unposed, tmp_path, spoil, words):
    scene = a_blender_scene(tmp_path / "mine")
    spoil(scene)
    code, text = unposed("run", "-s", scene, "-m", SCRIPTED, "--effort", "smoke", "-o", tmp_path / "s", "--no-track")
    assert code == 2
    assert text.count("\n") == 1
    assert all(word in text for word in words), text
    assert not (tmp_path / "s").exists()


def resize(path):
    from PIL import Image

    Image.open(path).resize((16, 16)).save(path)
