"""A suite file asks for what a command line asks for, and is kept beside the results."""

import math
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.app import main
from bench.matrix.suite_file import keep_suite_file, read_suite_file

METHOD = "tests/plugins/scripted.py"
WHOLE = """
scenes = ["blocks", "blocks-plain"]
methods = ["nerf", {name = "gnerf", reseed = false, "grid.quick.b" = 400, schedule = "A-B"}]
degradations = ["clean", "jpeg@1-2"]
seeds = [0, "2-3"]
effort = "smoke"
data = ["real"]
"""


def written(folder, text):
    path = folder / "paper.toml"
    path.write_text(text)
    return path


def test_lists_and_tables_become_the_words_of_a_command_line(tmp_path):
    assert read_suite_file(written(tmp_path, WHOLE)) == {
        "scenes": "blocks,blocks-plain",
        "methods": "nerf,gnerf[reseed=false,grid.quick.b=400,schedule=A-B]",
        "degradations": "clean,jpeg@1-2",
        "seeds": "0,2-3",
        "effort": "smoke",
        "data": [str(tmp_path / "real")],
        "out": "runs/paper",
    }


def test_the_command_line_is_heard_before_the_file(tmp_path):
    (tmp_path / "real").mkdir()
    path = str(written(tmp_path, WHOLE))
    out = ["-o", str(tmp_path / "out")]
    asked = CliRunner().invoke(main, ["plan", path, *out, "--json"])
    assert asked.exit_code == 0, asked.output
    assert asked.output.count('"cell"') == 2 * 2 * 3 * 3
    fewer = CliRunner().invoke(main, ["plan", path, *out, "--json", "--seeds", "7", "-m", "nerf"])
    assert fewer.output.count('"cell"') == 2 * 3
    assert fewer.output.count("seed7") == 2 * 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scene = 'blocks'", "'scene' is no key of a suite; did you mean scenes"),
        ("effort = 'fast'", "effort = \"fast\": effort 'fast': write smoke, quick, full"),
        ("workers = 0", "workers = 0"),
        ("scenes = [", "this is no TOML"),
        ("methods = [{reseed = false}]", "needs a name"),
        ('methods = [{name = "a.py", python = "/b,c/python"}]', 'python = "/b,c/python": an option can hold no comma'),
        ("[suite]\nscenes = 'blocks'", "'suite' is no key"),
        ('methods = [{name = "nerf", steps = 2020-01-01}]', 'steps = "2020-01-01": an option is text, a number'),
        ('methods = [{name = "nerf", steps = [1, 2]}]', 'of several values write "1:2:3"'),
        ("methods = [{name = 2020-01-01}]", "needs a name"),
        ("methods = [{name = 'nerf', steps = 0x" + "f" * 5000 + "}]", "methods: steps: a whole number of more digits"),
        ("scenes = " + "[" * 5000, "values lie within values, deeper than can be read"),
        ("[[methods]]\nname = 'nerf'\n[methods" + ".x" * 5000 + "]", "values lie within values"),
        ("seeds = 0x" + "f" * 5000, "seeds: a whole number of more digits"),
        ("limit = nan", "limit = nan: "),
        ("memory = inf", "memory = inf: input should be a finite number"),
        ("out = ''", 'out = "": it is empty'),
        ("scenes = ['blocks', '']", 'scenes = "": it is empty'),
        ('lpips = "a\\u0000b"', "it has a null character"),
        ("data = '~nobody-is-called-so/data'", "whose home that is, nobody here knows"),
        ("python = '~nobody-is-called-so/bin/python'", "whose home that is, nobody here knows"),
    ],
    ids=lambda text: text[:40],
)
def test_a_mistake_is_one_sentence_with_the_file_in_it(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, text)
    refused = CliRunner().invoke(main, ["run", str(path)])
    assert refused.exit_code == 2
    assert f"{path}: " in refused.output
    assert said in refused.output
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_there_is_named(tmp_path):
    refused = CliRunner().invoke(main, ["plan", str(tmp_path / "none.toml")])
    assert refused.exit_code == 2
    assert "none.toml: No such file" in refused.output


def test_what_was_asked_is_kept_beside_the_results_and_asks_for_the_same(tmp_path):
    out = tmp_path / "out"
    text = f'methods = [{{name = "{METHOD}", seconds = 0.1}}]\nseeds = 3\neffort = "smoke"\nno_track = true\n'
    ran = CliRunner().invoke(main, ["run", str(written(tmp_path, text)), "-o", str(out)])
    assert ran.exit_code == 0, ran.output
    kept = tomllib.loads((out / "suite.toml").read_text())
    whole = Path(METHOD).absolute()
    assert (kept["methods"], kept["seeds"], kept["out"]) == (f"{whole}[seconds=0.1]", "3", str(out))
    again = CliRunner().invoke(main, ["plan", str(out / "suite.toml"), "--json"])
    assert again.output.count("finished: solved") == 1


def test_an_interpreter_that_is_a_path_is_from_the_files_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "paper").mkdir()
    text = """
methods = [
  {name = "a.py", python = "venv/bin/python", b = 1}, "c.py[ python=../d/bin/python]", "e.py[python=~/f/python]",
]
python = "python3"
data = ["~/data"]
"""
    said = read_suite_file(Path(written(tmp_path / "paper", text).relative_to(tmp_path)))
    folder = tmp_path / "paper"
    assert said["methods"] == (
        f"a.py[python={folder}/venv/bin/python,b=1],c.py[ python={folder}/../d/bin/python],"
        f"e.py[python={tmp_path}/home/f/python]"
    )
    assert (said["python"], said["data"]) == ("python3", [f"{tmp_path}/home/data"])
    assert read_suite_file(written(folder, 'python = "venv/bin/python"'))["python"] == f"{folder}/venv/bin/python"
    keep_suite_file(folder, {"methods": "a.py[python=venv/python]", "python": "venv/python"})  # of a command line
    kept = read_suite_file(folder / "suite.toml")
    assert kept["methods"] == f"{tmp_path}/a.py[python={tmp_path}/venv/python]"
    assert kept["python"] == f"{tmp_path}/venv/python"


def test_what_is_kept_names_by_whole_paths_what_was_named_from_here(tmp_path, monkeypatch):
    """Which is read from another folder, too; a name stays a name, though a folder here is called so."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for folder in ("d", "photos", "blocks", "a,b", "suite"):
        Path(folder).mkdir()
    for file in ("alexnet.pth", "mine.py", "w.pt"):
        Path(file).touch()
    methods = "mine.py[steps=1],nerf,feedforward[weights=w.pt],feedforward[weights=facebook/VGGT-1B],./gone/x.py"
    asked = {
        "scenes": "photos,blocks,all,nerf_*/*", "methods": methods, "data": (Path("d"),), "lpips": Path("alexnet.pth"),
        "out": Path("runs/x"), "retries": 0, "retry_failed": False, "limit": None, "memory": math.inf,
        "track": "a\x7fb",
    }  # fmt: skip
    keep_suite_file(Path("suite"), asked)
    kept, here = tomllib.loads(Path("suite/suite.toml").read_text()), tmp_path / "here"
    assert kept == {
        "scenes": f"{here}/photos,blocks,all,nerf_*/*", "data": [f"{here}/d"], "lpips": f"{here}/alexnet.pth",
        "methods": f"{here}/mine.py[steps=1],nerf,feedforward[weights={here}/w.pt],"
        f"feedforward[weights=facebook/VGGT-1B],{here}/gone/x.py",
        "out": "runs/x", "retries": 0, "memory": math.inf, "track": "a\x7fb",
    }  # fmt: skip
    monkeypatch.chdir("a,b")  # where no whole path can be a part of a list
    Path("photos").mkdir()
    keep_suite_file(Path("../suite"), {"scenes": "photos", "methods": "mine.py"})
    kept = tomllib.loads(Path("../suite/suite.toml").read_text())
    assert kept == {"scenes": "photos", "methods": "mine.py"}
    with pytest.raises(ValueError, match="is no character, and cannot be kept"):
        keep_suite_file(Path("../suite"), {"out": Path("a\udcffb")})


def test_what_a_run_kept_is_planned_again_from_its_own_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sub/d").mkdir(parents=True)
    method = Path(__file__).parents[3] / METHOD
    text = f'data = "d"\nmethods = "{method}"\neffort = "smoke"\nretries = 0\n'
    Path("sub/k.toml").write_text(text)
    ran = CliRunner().invoke(main, ["run", "sub/k.toml", "--no-track"])
    assert ran.exit_code == 0, ran.output
    again = CliRunner().invoke(main, ["plan", "runs/k/suite.toml"])
    assert again.exit_code == 0, again.output
    assert again.output.count("finished: solved") == 1
    assert tomllib.loads(Path("runs/k/suite.toml").read_text())["retries"] == 0
    monkeypatch.chdir("sub")
    assert CliRunner().invoke(main, ["plan", "../runs/k/suite.toml", "-o", "../runs/k"]).output == again.output.replace(
        "suite runs/k", "suite ../runs/k"
    )
