"""What single methods are granted: read from words, matched to cells, and refused in a sentence."""

import tomllib

import pytest

from bench.cell import Cell
from bench.matrix.grants import granted, idle, in_words, read_grant
from bench.matrix.suite_file import keep_suite_file, read_suite_file
from bench.runner.devices import Devices
from bench.runner.settings import Settings


def cell(method="gnerf", effort="full"):
    return Cell(scene="blocks", degradation="clean", method=method, seed=0, effort=effort)


@pytest.mark.parametrize(
    ("words", "method", "effort", "fits"),
    [
        ("gnerf: threads=2", "gnerf", "quick", True),
        ("gnerf: threads=2", "gnerf[reseed=false]", "quick", True),
        ("gnerf: threads=2", "gnerf2", "quick", False),
        ("gnerf[b=1,a=2]: threads=2", "gnerf[a=2,b=1]", "quick", True),
        ("gnerf[a=2]: threads=2", "gnerf", "quick", False),
        ("*nerf*: threads=2", "colmap_nerf[features=xfeat]", "quick", True),
        ("colmap_nerf[features=*]: threads=2", "colmap_nerf[features=xfeat]", "quick", True),
        ("nerf?m: threads=2", "nerfmm", "quick", True),
        ("gnerf@full: threads=2", "gnerf", "full", True),
        ("gnerf@full: threads=2", "gnerf", "full@400", True),
        ("gnerf@full@400: threads=2", "gnerf", "full@400", True),
        ("gnerf@full@400: threads=2", "gnerf", "full", False),
        ("* @ quick : threads = 2", "gnerf", "full", False),
    ],
)
def test_a_grant_is_for_methods_by_name_label_or_pattern_and_effort(words, method, effort, fits):
    assert read_grant(words).is_for(cell(method, effort)) is fits
    assert idle([read_grant(words)], [cell(method, effort)]) == (
        [] if fits else [f"grant {words!r} is for no cell of this matrix"]
    )


def test_of_several_grants_the_last_is_heard_amount_by_amount():
    grants = [read_grant(each) for each in ("*: threads=2, memory=4", "gnerf: threads=8", "nerf: memory=9")]
    assert granted(grants, cell()) == {"threads": 8, "memory": 4}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("gnerf", "write it as 'METHOD@EFFORT: threads=8, memory=32'"),
        ("gnerf:", "grants nothing"),
        ("gnerf: thread=8", "'thread' cannot be granted; did you mean threads"),
        ("gnerf: threads=1.5", "threads=1.5: it must be a whole number of at least 1"),
        ("gnerf: threads=inf", "must be a whole number"),
        ("gnerf: memory=nan", "must be a number of at least 0.1"),
        ("gnerf: memory=much", "must be a number"),
        ("gnerf: limit=inf", "and at most 1e+09"),
        ("gnerf: threads=nan", "must be a whole number"),
        ("gnerf: threads=-inf", "must be a whole number"),
        ("gnerf: memory=1e308", "and at most 1e+09"),
        ("gnerf: gpus=1.5", "gpus 1.5: write a part of one GPU, as 0.5, or a whole number of them"),
        ("gnerf: gpus=0", "at least 0.01"),
        ("gnerf: threads=1, threads=2", "given twice"),
    ],
)
def test_a_grant_that_cannot_be_read_is_refused_in_a_sentence(words, said, unposed, tmp_path):
    with pytest.raises(ValueError, match="grant") as refused:
        read_grant(words)
    assert said in str(refused.value)
    code, text = unposed("plan", "-m", "nerf", "--grant", words, "-o", tmp_path)
    assert (code, text.count("\n")) == (2, 1)
    assert said in text


def test_a_share_is_the_runs_but_for_what_is_granted():
    grants = (read_grant("gnerf@full: threads=8, gpus=0.5, memory=2, limit=60"), read_grant("gnerf: disk=1"))
    made = {"suite": None, "threads_asked": 2, "memory": 512.0, "grants": grants}
    here, there = Settings(**made), Settings(**made, devices=Devices.of("cuda"))
    share = there.share(cell())
    assert (share.threads, share.gpus, share.memory_mb, share.disk_mb) == (8, 0.5, 2048, 1024)
    assert here.share(cell()).gpus == 0  # on a CPU nobody is granted a GPU
    other = there.share(cell("nerf"))
    assert (other.threads, other.gpus, other.memory_mb, other.disk_mb) == (2, 1, 512, None)
    assert (here.fit_limit(cell()), here.fit_limit(cell("nerf"))) == (60, 7200)


def test_a_table_of_a_suite_file_is_kept_as_it_was_meant(tmp_path):
    path = tmp_path / "paper.toml"
    path.write_text('methods = "gnerf"\n[grants]\n"gnerf@full" = {threads = 8, gpus = 0.5}\nnerf = {memory = 4}\n')
    asked = read_suite_file(path)
    assert asked["grants"] == ["gnerf@full: threads=8, gpus=0.5", "nerf: memory=4"]
    (tmp_path / "runs").mkdir()
    keep_suite_file(tmp_path / "runs", asked)
    assert tomllib.loads((tmp_path / "runs" / "suite.toml").read_text())["grants"] == asked["grants"]
    assert read_suite_file(tmp_path / "runs" / "suite.toml")["grants"] == asked["grants"]
    with pytest.raises(ValueError, match="grants"):
        in_words({"gnerf": 8})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("gnerf = 8", "grants: 'gnerf' needs a table, as in {threads = 8}"),
        ("gnerf = {thread = 8}", "'thread' cannot be granted; did you mean threads?; what can: threads, gpus"),
        ("gnerf = {threads = nan}", "must be a whole number"),
        ("gnerf = {threads = true}", "must be a whole number"),
        ("gnerf = {}", "grants nothing"),
        (f"gnerf = {{threads = 0x{'F' * 5000}}}", "grants: 'gnerf' has more than 1e+09 of something"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_a_sentence_that_names_the_file(table, said, unposed, tmp_path):
    path = tmp_path / "paper.toml"
    path.write_text(f"[grants]\n{table}\n")
    code, text = unposed("plan", path)
    assert (code, text.count("\n")) == (2, 1)
    assert f"{path}: " in text
    assert said in text


def test_a_plan_says_which_grants_are_for_no_cell(unposed, tmp_path):
    code, text = unposed(
        "plan", "-m", "nerf", "--grant", "nerf: threads=2", "--grant", "nefr: threads=8", "-o", tmp_path
    )
    assert (code, text.count("for no cell")) == (0, 1)
    assert "grant 'nefr: threads=8' is for no cell of this matrix" in text
