"""Bad input on the command line: one sentence, and exit code 2."""

from pathlib import Path

import pytest

from bench.scene import SceneError

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "-s", "block"], "did you mean blocks"),
        (["run", "-m", "nerv"], "did you mean nerf"),
        (["run", "-d", "gausian_noise@3"], "did you mean gaussian_noise"),
        (["run", "-d", "gaussian_noise@9"], "0 to 5"),
        (["run", "--seeds", "x"], "neither a number nor a range"),
        (["run", "-m", "nerf[field=cube]"], "field='cube'"),
        (["run", "-s", "../blocks"], "'..' is not allowed"),
        (["plan", "-s", "/"], "/ is the root of all folders and no scene"),
        (["data", "verify", "/"], "name the folder of one capture"),
        (["run", "-m", "nowhere/method.py"], "there is no file"),
        (["plan", "--effort", "huge"], "huge"),
        (["report", "-o", "nowhere"], "holds no results yet"),
        (["why", "x", "-o", "nowhere"], "holds no results yet"),
        (["export", "--to", "x", "-o", "nowhere"], "holds no results yet"),
        (["data", "export", "block", "--to", "x"], "did you mean blocks"),
        (["submit", "nowhere.tum", "-s", "blocks", "--name", "x"], "nowhere.tum: there is no such file"),
        (["submit", "README.md", "-s", "blocks", "--name", "x"], "not a pose estimate that can be read"),
        *[
            (["run", option, nan], f"{nan} is no finite number; leave the option out for its default")
            for option in ("--limit", "--memory", "--disk", "--gpus")
            for nan in ("nan", "inf", "1e999")
        ],
        (["run", "--gpus", "1.5"], "gpus 1.5: write a part of one GPU, as 0.5, or a whole number of them"),
        (["judge", "--render-limit", "nan"], "nan is no finite number"),
        (["data", "add", ".", "--focal", "nan"], "nan is no finite number"),
        (["data", "prior", ".", "--orbit", "--distance", "9" * 400], "--distance: a number of so many digits is none"),
        (["run", "--seeds", "0-99999999999"], "the range '0-99999999999' holds more than 10,000 numbers"),
        (["run", "--seeds", "0-9999,20000-29999"], "these are 20,000, and a matrix has 10,000 at most"),
        (["run", "-d", "noise@1-99999999"], "the range '1-99999999' holds more than 10,000 numbers"),
        (["run", "-d", "noise@1#0-99999999"], "the range '0-99999999' holds more than 10,000 numbers"),
        (["run", "-d", "noise@1-5#0-9999"], "a matrix has 10,000 at most, and these are more"),
        (["plan", "-m", "nerf", "--seeds", "0-999", "-d", "gaussian_noise@1#0-100"], "this matrix has 101,000 cells"),
        (["plan", "--effort", "+views=8"], "write smoke, quick, full"),
    ],
)
def test_bad_input_gets_a_sentence_and_exit_code_2(unposed, arguments, sentence):
    code, text = unposed(*arguments)
    assert code == 2
    assert sentence in " ".join(text.split())
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["run", "--effort", ""], "--effort"), (["run", "-o", ""], "-o"), (["run", "--out="], "--out"),
        (["plan", "--data", ""], "--data"), (["run", "--shard", ""], "--shard"),
        (["judge", ""], "an argument"), (["data", "add", "--", ""], "an argument"), (["", "-h"], "an argument"),
        (["export", "--to", ""], "--to"), (["collect", "--track", ""], "--track"),
    ],
)  # fmt: skip
def test_an_empty_word_is_refused(unposed, arguments, what):
    """It is no current folder, and no effort: somebody's variable was not set."""
    said = f"unposed: {what} is empty, as by a variable of the shell that is not set; give it a value\n"
    assert unposed(*arguments) == (2, said)


def test_no_options_are_options(unposed):
    code, text = unposed("submit", "nowhere.tum", "-s", "blocks", "--name", "x", "--options", "")
    assert (code, "there is no such file" in text) == (2, True)


def test_a_name_with_a_line_break_is_quoted_in_one_line(unposed, tmp_path):
    code, text = unposed("plan", "-s", "blo\nck\u2028s", "-o", tmp_path / "s")
    assert (code, text.count("\n"), len(text.splitlines())) == (2, 1, 1)
    assert r"blo\nck\u2028s" in text
    assert str(SceneError("frame \x1b[2J\r\n of é")) == r"frame \x1b[2J\r\n of é"
