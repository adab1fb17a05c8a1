"""What pages quote of the reference is what the reference says, and nothing stands in it twice."""

import csv
import re
from pathlib import Path

import pytest

from bench.reference import read, rows_of
from reports.reference import __main__ as command
from reports.reference.lines import lines
from reports.reference.pages import MARKED, pages, updated, written
from reports.reference.site import results, write_site
from reports.reference.tables import KINDS

ROOT = Path(__file__).parents[2]


def row(seed, rotation, psnr, outcome="solved", **more):
    return {
        "scene": "nerf_synthetic/chair", "degradation": "clean", "method": "gnerf", "effort": "quick",
        "protocol": "posefree/2", "seed": str(seed), "outcome": outcome, "pose/rotation_deg_median": rotation,
        "nvs/aligned/psnr": psnr, "nvs/refined/psnr": psnr, "pose/registered": "1.0" if rotation else "",
        "pose/rotation_deg_mean": rotation, "tuned_on": "", "given": "camera; prior", "device": "cpu",
        "processor": "x 2", "threads": "2", "torch": "2.0",
    } | more  # fmt: skip


THREE = [row(0, "0.061", "30.0"), row(1, "0.058", "33.0"), row(2, "0.070", "31.0")]


def test_a_focal_length_that_was_found_has_a_column_of_its_own_and_no_table_else():
    assert "focal" not in "\n".join(KINDS["rows"](lines(THREE)))
    found = [row(0, "0.1", "30.0", **{"camera/focal_relative_error": "0.0386"}), THREE[1]]
    head, _, body, *_ = KINDS["rows"](lines(found))
    values = dict(zip(head.split(" | "), body.split(" | "), strict=True))
    assert values["focal length off by"] == "3.9 % (1 of 2)"


def outside(text):
    """What a page says by hand."""
    return MARKED.sub("", text)


def first(text):
    """The first line of a table's body."""
    return text.splitlines()[2]


def test_a_number_is_the_median_with_its_range_and_n():
    assert (
        first(written("methods", THREE))
        == "| `gnerf` | 0.061° [0.058, 0.070], 31.0 [30.0, 33.0] / 31.0 [30.0, 33.0] dB | 3 |"
    )
    assert "posefree/2, `quick` (200 px); cpu (x 2; threads: 2)" in " ".join(written("methods", THREE).split())


def test_a_seed_that_failed_is_counted_beside_the_median_of_the_others():
    said = first(written("rows", [*THREE, row(3, "", "", "collapsed")]))
    assert "| 4 | 3 solved, 1 collapsed | 100 % (3 of 4) | 0.061° [0.058, 0.070] (3 of 4) |" in said
    assert "| collapsed (n = 1) |" in written(
        "sweep; kinds = rain", [row(3, "", "", "collapsed", degradation="rain@1")]
    )


def test_an_answer_that_is_not_solved_says_so():
    assert "90.0°, 100 %; answered, not solved (n = 1)" in written(
        "sweep; kinds = rain", [row(0, "90", "9", "answered", degradation="rain@1")]
    )


@pytest.mark.parametrize(
    ("given", "said"), [("rough_start", True), ("camera; some_start", True), ("camera; start", False)]
)
def test_what_was_given_less_than_the_true_poses_says_that_it_is_not_solved(given, said):
    shown = written("methods", [row(0, "9", "9", "answered", given=given)])
    assert ("answered, not solved" in shown) == said


def test_rows_of_two_protocols_meet_in_no_median_and_no_table():
    rows = [*THREE, row(0, "9.0", "9.0", protocol="posefree/1")]
    assert sorted((line.protocol, line.n) for line in lines(rows)) == [("posefree/1", 1), ("posefree/2", 3)]
    with pytest.raises(ValueError, match="rows of posefree/1 and posefree/2 meet in one table"):
        written("methods", rows)


def test_a_scene_that_defaults_were_chosen_on_has_its_dagger():
    tuned = [row(0, "0.1", "30.0", tuned_on="blocks; nerf_synthetic/chair")]
    assert "| † 0.100°" in written("methods", tuned) and "the number flatters" in " ".join(
        written("methods", tuned).split()
    )
    assert "†" not in written("methods", THREE)


def test_a_gap_stands_beside_what_was_published_at_the_same_size_alone():
    quick, full = (
        written("published; effort = " + effort, [row(0, "0.100", "30.0", effort=effort)])
        for effort in ("quick", "full")
    )
    assert "| 0.363° | 0.100° | 1 | none: 400 px there, 200 px here |" in quick
    assert "| 0.363° | 0.100° | 1 | −0.263° |" in full
    assert "| 31.30 dB | 30.00 dB | 1 | −1.30 dB |" in full


def test_what_is_measured_of_a_whole_record_is_counted():
    swept = [row(k, "1", "9", degradation="low_texture@3") for k in range(2)]
    said = written("coverage; kinds = low_texture", [*THREE, *swept])
    assert "| `gnerf` | — | — | — | 3 of 5 | — |" in said and "| `gnerf` | — | 2 of 27 | — |" in said


def test_rows_of_other_scenes_and_methods_stay_out():
    rows = [*THREE, row(0, "9", "9", scene="blocks"), row(0, "8", "8", method="gnerf[reseed=false]")]
    said = written("rows; scenes = nerf_synthetic/chair; methods = gnerf", rows)
    assert len(re.findall(r"^\| `", said, re.MULTILINE)) == 1
    variants = written("rows; scenes = nerf_synthetic/chair; methods = gnerf*", rows)
    assert [line.method for line in lines(rows) if line.scene != "blocks"] == re.findall(
        r"^\| `([^`]+)`", variants, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("curve", "there is no table 'curve'"),
        ("rows; scene = blocks", "'scene = blocks' is not one of"),
        ("sweep; kinds = low_texture", "no degraded cell"),
        ("rows; scenes = attic", "no cell of scenes = attic"),
    ],
)
def test_a_marker_that_asks_for_what_is_not_there_is_refused(asked, said, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"<!-- reference: {asked} -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match=said) as refused:
        updated(page, THREE)
    assert str(page) in str(refused.value)


def test_what_is_written_between_markers_is_replaced_and_all_else_stays(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- reference: methods -->\nan old table\n<!-- end -->\nafter\n")
    text = updated(page, THREE)
    assert text.startswith("before\n<!-- reference: methods -->\n\n|") and text.endswith("\n\n<!-- end -->\nafter\n")
    assert "an old table" not in text and outside(text) == "before\n\nafter\n"
    page.write_text(text)
    assert updated(page, THREE) == text


BEGIN, END = "<!-- reference: methods -->\n", "<!-- end -->\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BEGIN + "never closed\n", "1 markers begin, 0 end, and 0 tables"),
        (BEGIN + END + "more\n\n" + END, "1 markers begin, 2 end, and 1 tables"),
        ("- a list\n  " + BEGIN + "  old\n  " + END, "1 markers begin, 1 end, and 0 tables"),
        ("<!--reference: methods-->\nold\n" + END, "1 markers begin, 1 end, and 0 tables"),
        (BEGIN + "old\n<!--end-->\n", "1 markers begin, 1 end, and 0 tables"),
        (BEGIN + "old\n" + BEGIN + END, "2 markers begin, 1 end, and 1 tables"),
    ],
)
def test_markers_that_a_formatter_broke_are_refused(text, said, tmp_path):
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(ValueError, match=said):
        updated(tmp_path / "page.md", THREE)


def test_markers_in_code_are_none(tmp_path):
    (page := tmp_path / "page.md").write_text(f"`{BEGIN.strip()}` and `{END.strip()}` make a table\n")
    assert updated(page, THREE) == page.read_text()


def test_the_check_tells_by_its_exit_code_and_writes_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / "README.md").write_text("<!-- reference: rows; scenes = blocks -->\n<!-- end -->\n")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    for arguments, code in ((["--check"], 1), ([], 0), (["--check"], 0)):
        monkeypatch.setattr("sys.argv", ["reference", *arguments])
        before = (tmp_path / "README.md").read_text()
        with pytest.raises(SystemExit) as ended:
            command.main()
        assert ended.value.code == code
        assert (before == (tmp_path / "README.md").read_text()) == ("--check" in arguments)
    assert "README.md" in capsys.readouterr().err


@pytest.mark.parametrize("out", ["a file", "a folder in a file"])
def test_a_site_that_cannot_be_written_is_refused_in_a_sentence(out, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    place = tmp_path / "file" / ("" if out == "a file" else "site")
    few = [row for row in read() if row["scene"] == "blocks" and row["seed"] == "0" and row["degradation"] == "clean"]
    monkeypatch.setattr(command, "read", lambda: few)
    monkeypatch.setattr("sys.argv", ["reference", "--site", str(place)])
    with pytest.raises(SystemExit) as ended:
        command.main()
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1) and "file" in error


def test_rows_that_lack_what_the_site_shows_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"the reference has no column .*truth"):
        write_site(THREE, tmp_path)


def test_a_row_is_read_back_as_the_result_that_it_was_kept_of():
    rows = read()
    again = [{key: str(value) for key, value in row.items()} for row in rows_of(results(rows))]
    assert again == rows


def test_the_site_shows_the_rows_and_no_ablation(tmp_path):
    shown = [row for row in read() if row["scene"] == "blocks" and row["seed"] == "0" and row["degradation"] == "clean"]
    index = write_site(shown, tmp_path / "record")
    assert {"gnerf", "gnerf[reseed=false]", "colmap_nerf"} <= {row["method"] for row in shown}
    with (tmp_path / "record" / "results.csv").open() as file:
        held = {row["method"]: float(row["pose/rotation_deg_median"]) for row in csv.DictReader(file)}
    asked = {row["method"]: float(row["pose/rotation_deg_median"] or "nan") for row in shown}
    assert all(held[name] == pytest.approx(asked[name]) for name in ("gnerf", "colmap_nerf"))
    assert "gnerf[reseed=false]" not in held and {"nerf", "colmap_nerf[features=xfeat]"} <= held.keys()
    text = index.read_text()
    assert 'id="leaderboard"' in text and "reseed" not in text
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 20e6


def test_what_was_measured_with_another_effort_has_pages_of_its_own(tmp_path):
    shown = [row for row in read() if row["scene"] == "blocks" and row["method"] in ("nerf", "gnerf")]
    fewer = {row["seed"] for row in shown if row["effort"] == "full"}
    write_site(shown, tmp_path)
    held = {}
    for effort, place in (("quick", tmp_path), ("full", tmp_path / "full")):
        with (place / "results.csv").open() as file:
            held[effort] = list(csv.DictReader(file))
        assert (place / "index.html").is_file() and {row["effort"] for row in held[effort]} == {effort}
    assert fewer and {row["seed"] for row in held["full"]} == fewer and len(held["quick"]) > len(held["full"])
    with pytest.raises(ValueError, match="no row of a whole method"):
        write_site([row for row in read() if row["method"] == "gnerf[reseed=false]"], tmp_path / "none")


@pytest.mark.parametrize("page", list(pages(ROOT)), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_quotes_the_reference_as_it_is(page):
    assert updated(page, read()) == page.read_text(), "`make tables` writes the tables anew"


def test_the_readme_types_no_row_by_hand_that_the_reference_has():
    held = {line.method for line in lines(read()) if line.scene == "blocks" and line.degradation == "clean"}
    typed = re.findall(r"^\| `([^`]+)`[^|]*\|[^|]* dB", outside((ROOT / "README.md").read_text()), re.MULTILINE)
    assert not held.intersection(typed)
