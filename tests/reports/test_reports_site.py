"""The site, the Markdown and the CSV: complete, self-contained, escaped, the same bytes twice."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_suite import HOSTILE, TRUTH_VIEWS, done, picture, ring, suite_results, write_cell

from bench.matrix import catalogue
from bench.record import read_json, read_log, write_json
from reports import naming, pictures
from reports.analysis.columns import COLUMNS, HEADLINE, column
from reports.analysis.entries import read
from reports.build import build
from reports.site import curves, details, orbit, pages, relatives


class Page(HTMLParser):
    """Tags, attributes and text of a page; checks that every element is closed in order."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "wbr"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.data: dict[str, str] = {}  # of scripts that hold data, by id
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            if data.strip():
                self.data[str(self.tags[-1][1].get("id"))] = data
        elif not self.open or self.open[-1] != "style":
            self.text.append(data)

    @property
    def said(self) -> str:
        return " ".join("".join(self.text).split())


@pytest.fixture(scope="module")
def site(report) -> dict[str, Page]:
    """Every page of the report of the shared suite, by its path."""
    return {
        path.relative_to(report).as_posix(): Page(path.read_text()) for path in sorted(report.rglob("*.html"))
    }  # fmt: skip


def cell_page(suite: Path, site: dict[str, Page], scene: str, method: str) -> Page:
    """Of the clean capture, seed 0."""
    wanted = (scene, "clean", method, 0)
    cells = {entry.page: entry.cell for entry in read(suite)}
    return next(site[p] for p, c in cells.items() if (c.scene, c.degradation, c.method, c.seed) == wanted)


def test_there_is_a_page_for_every_cell_and_scene_and_each_is_well_formed(site, suite):
    entries = read(suite)
    assert {entry.page for entry in entries} == {path for path in site if path.startswith("cells/")}
    assert len([path for path in site if path.startswith("scenes/")]) == len({e.question for e in entries})
    assert {"index.html", "cells.html", "statistics.html", "protocol.html"} <= site.keys()
    for page in site.values():
        ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(ids) == len(set(ids))


def test_every_link_has_its_target(site, report):
    for path, page in site.items():
        for tag, attrs in page.tags:
            link = attrs.get("href") if tag in ("a", "link") else attrs.get("src")
            if link is None or link.startswith("data:"):
                continue
            file, _, anchor = link.partition("#")
            target = (report / path).parent / unquote(file) if file else report / path
            assert target.resolve().is_file(), (path, link)
            inside = target.resolve().relative_to(report.resolve()).as_posix()
            if anchor and "=" not in anchor:
                assert any(attrs.get("id") == anchor for _, attrs in site[inside].tags), (path, link)


def test_no_request_leaves_the_site(site, report):
    for path, page in site.items():
        for tag, attrs in page.tags:
            for name in ("src", "href", "action", "data", "poster", "srcset"):
                assert not re.match(r"[a-z]+:(?!,)|//|/", attrs.get(name) or "."), (path, tag, attrs)
        policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv"))
        assert "default-src 'none'" in policy
        assert "unsafe-inline" not in policy.partition("script-src")[2]
    for asset in (report / "assets").iterdir():
        text = asset.read_text()
        assert not re.search(r"https?:|@import|fetch\(|XMLHttpRequest|import\(|url\((?!#)", text), asset


def test_a_hostile_name_is_text_everywhere(site, report):
    said = ""
    for path, page in site.items():
        scripts = [attrs for tag, attrs in page.tags if tag == "script"]
        assert all("src" in attrs or attrs.get("type") == "application/json" for attrs in scripts), path
        assert not any(tag == "b" and attrs == {} and "no" in page.text for tag, attrs in page.tags if tag == "b")
        assert "alert(1)" not in path
        said += page.said
    assert HOSTILE in said
    assert "<b>no</b> images" in said
    markdown = re.sub(r"```sh\n.*?\n```", "", (report / "report.md").read_text(), flags=re.S)  # code is text
    assert "<script" not in markdown
    assert "<b>" not in markdown
    assert "&lt;script&gt;" in markdown


def test_every_failure_is_one_click_from_the_overview_with_its_reason(site, suite, report):
    links = {attrs["href"] for tag, attrs in site["index.html"].tags if tag == "a"}
    markdown = (report / "report.md").read_text()
    for entry in read(suite):
        if entry.failed:
            assert entry.page in links
            assert entry.result.reason in site["index.html"].said
            assert entry.result.reason in site[entry.page].said
            if "<" not in str(entry.result.reason):
                assert entry.result.reason in markdown
    failed = cell_page(suite, site, HOSTILE, "colmap_nerf")
    assert "Traceback (most recent call last): ValueError: <b>no</b> images" in failed.said


def test_every_page_names_the_protocol_and_every_cell_what_it_was_given(site, suite):
    for page in site.values():
        assert "posefree/1" in page.said
    for entry in read(suite):
        said = site[entry.page].said
        assert "n = 1" in said
        if entry.result.status != "skipped":
            assert "intrinsics" in said.partition("given")[2][:80]


def test_every_picture_and_drawing_has_words(site):
    drawn = 0
    for page in site.values():
        for tag, attrs in page.tags:
            if tag == "img" and attrs.get("src"):
                assert attrs.get("alt") or attrs.get("class") == "under", attrs  # the truth beneath a render repeats it
            if tag in ("svg", "canvas"):
                drawn += 1
                assert attrs.get("aria-label") or attrs.get("aria-hidden"), attrs
    assert drawn > 50


def test_the_same_results_give_the_same_bytes_wherever_they_are(suite, report, tmp_path):
    shutil.copytree(suite, tmp_path / suite.name, ignore=shutil.ignore_patterns("report"))
    second = build(tmp_path / suite.name, tmp_path / "elsewhere").parent

    def files(folder):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert files(report) == files(second)
    assert not list(second.rglob(".*"))


def test_what_an_earlier_report_left_of_cells_now_gone_is_removed(tmp_path):
    results = [done("s", "clean", "m", k, rotation=1, psnr=30) for k in (0, 1)]
    folders = [write_cell(tmp_path / "suite", result) for result in results]
    report = build(tmp_path / "suite").parent
    (report / "notes.txt").write_text("mine")
    shutil.rmtree(folders[1])
    build(tmp_path / "suite")
    assert [path.name for path in (report / "cells").iterdir()] == ["s--clean--m--seed0.html"]
    assert {path.parent.name for path in (report / "pictures").rglob("*.jpg")} == {"s--clean", "s--clean--m--seed0"}
    assert (report / "notes.txt").read_text() == "mine"


def test_the_readme_says_what_a_method_is_given_as_the_command_line_does():
    """Reports print the same words of what was given: `bench.record.given_in_words`."""
    lines = Path("README.md").read_text().splitlines()
    fields = [[field.strip() for field in line.split("|")] for line in lines if line.startswith("| [`")]
    said = {match[1]: given for _, name, given, *_ in fields if (match := re.match(r"\[`(.+)`\]", name))}
    listed = {row["name"]: row["note"].removeprefix("given ") for row in catalogue.method_rows()}
    assert said.keys() >= {"nerf", "gnerf", "barf"}
    assert said == {name: listed[name] for name in said}


def test_no_two_cells_share_a_file_name():
    names = ["a/b", "a--b", "a b", "a?b", "A/b", "x" * 300, "x" * 301, HOSTILE, "é", "..", ".hidden"]
    slugs = [naming.slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_=@+-][A-Za-z0-9._=@+-]*", slug) and len(slug) < 150 for slug in slugs)
    assert naming.slug("blocks/clean/gnerf/seed0") == "blocks--clean--gnerf--seed0"


def test_the_csv_tells_absent_from_nan(report):
    table = pd.read_csv(report / "results.csv", keep_default_na=False)
    assert len(table) == len(suite_results())
    broken = table[(table.scene == HOSTILE) & (table.method == "gnerf")].iloc[0]
    assert (broken["pose/rotation_deg_median"], broken["nvs/aligned/psnr"]) == ("nan", "inf")
    assert "nvs/aligned/lpips_alex: no AlexNet backbone" in broken["absent"]
    failed = table[table.status == "failed"].iloc[0]
    assert (failed["nvs/aligned/psnr"], failed["reason"][:10]) == ("", "ValueError")


def test_a_markdown_table_has_as_many_fields_in_every_line(report):
    blocks = re.split(r"\n\s*\n", (report / "report.md").read_text())
    found = [block for block in blocks if block.lstrip().startswith("|")]
    assert len(found) >= 8
    for block in found:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.strip().splitlines()}) == 1


def test_an_empty_or_missing_suite_is_one_clear_sentence(tmp_path):
    with pytest.raises(ValueError, match="holds no results yet: `unposed run"):
        build(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        build(tmp_path / "nowhere")


def test_one_cell_of_two_suites_is_refused_for_its_pages_would_be_one(tmp_path):
    for suite in ("quick", "full"):
        write_cell(tmp_path / suite, done("s", "clean", "m", 0, rotation=1.0, psnr=30.0))
    with pytest.raises(ValueError, match="are one cell of two suites; name the folder of one suite"):
        build(tmp_path)


def test_a_report_is_made_of_result_files_alone(tmp_path):
    write_cell(tmp_path, done("s", "clean", "m", 0, rotation=1, psnr=30), files=False)
    for path in (*tmp_path.rglob("truth/*.png"), *tmp_path.rglob("shown/*.png")):
        path.unlink()
    report = build(tmp_path).parent
    said = Page((report / "scenes" / "s.html").read_text()).said
    assert "No renders and no truth were kept" in said
    assert "cameras.json is not there" in said
    assert "No fit of this scene logged a curve" in said
    assert "cameras.json is not there" in Page((report / "cells" / "s--clean--m--seed0.html").read_text()).said


def test_broken_files_are_named_and_do_not_stop_the_report(tmp_path):
    folder = write_cell(tmp_path, done("s", "clean", "nerf", 0, rotation=1, psnr=30))
    (folder / "cameras.json").write_text('{"truth": ')
    (folder / "renders" / "h001.aligned.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    said = Page((build(tmp_path).parent / "cells" / "s--clean--nerf--seed0.html").read_text()).said
    assert "cameras.json cannot be read" in said
    assert "h001.aligned.png cannot be read" in said


def test_a_site_of_twenty_cells_stays_small(report):
    assert (report / "index.html").stat().st_size < 300_000
    assert max(path.stat().st_size for path in (report / "cells").iterdir()) < 120_000
    assert sum(path.stat().st_size for path in report.rglob("*") if path.is_file()) < 3_000_000


def test_a_suite_of_thousands_keeps_fewer_and_smaller_pictures():
    small, large = pictures.budget(50), pictures.budget(2000)
    assert large.side < small.side
    assert large.common + large.worst < small.common + small.worst


def test_a_page_of_many_thousands_leaves_its_drawings_out_and_says_where_they_are(tmp_path, monkeypatch):
    folder = write_cell(tmp_path, done("s", "clean", "m", 0, rotation=1, psnr=30))
    rows = [{"step": k, "seconds": k, "psnr": 10 + k, "inner/rate": 1 / (1 + k)} for k in range(5)]
    (folder / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def charts(page: Page) -> str:
        return "; ".join(given.get("aria-label") or "" for tag, given in page.tags if tag == "svg")

    whole = Page((build(tmp_path, tmp_path / "whole").parent / "cells" / "s--clean--m--seed0.html").read_text())
    assert "inner/rate against wall seconds" in charts(whole)
    plan = pictures.budget(10_000)
    monkeypatch.setattr(pages, "budget", lambda cells: plan)
    lean = Page((build(tmp_path, tmp_path / "lean").parent / "cells" / "s--clean--m--seed0.html").read_text())
    assert "inner/rate against wall seconds" not in charts(lean)
    assert "psnr against wall seconds" in charts(lean)
    assert f"one of the folder {tmp_path.name}/s alone draws them" in lean.said
    assert build(tmp_path / "s").parent == tmp_path / "s" / "report"  # which is what it says to type


def test_a_cell_shows_the_common_views_and_its_own_worst(tmp_path):
    result = done("s", "clean", "m", 0, rotation=1, psnr=30)
    views = [f"h{k:03d}" for k in range(20)]
    per_view = {view: {"nvs/aligned/psnr": 40.0 - k} for k, view in enumerate(views)}
    folder = write_cell(tmp_path, replace(result, per_view=per_view))
    for k, view in enumerate(views):
        picture(k).save(folder.parent.parent / "truth" / f"{view}.png")
        picture(k).save(folder / "renders" / f"{view}.aligned.png")
    entries = read(tmp_path)
    shown = pictures.make(entries, tmp_path / "site").views[entries[0].page]
    assert [view.name for view in shown if view.common] == ["h002", "h006", "h010", "h014", "h018"]
    assert {view.name for view in shown if view.worst} == {"h019", "h018", "h017", "h016"}
    assert {view.name: view.scores["aligned"] for view in shown}["h019"] == "21.00 dB"


def test_the_viewer_is_told_every_stage_that_was_kept_in_order(tmp_path):
    folder = write_cell(tmp_path, done("s", "clean", "m", 0, rotation=1, psnr=30))
    for stage in ("depth", "refined"):
        picture(0).save(folder / "renders" / f"h000.{stage}.png")
    page = Page((build(tmp_path).parent / "cells" / "s--clean--m--seed0.html").read_text())
    told = json.loads(page.data["viewer-data"])
    first = next(view for view in told["views"] if view["name"] == "h000")
    assert [stage["name"] for stage in first["stages"]] == ["aligned", "refined", "depth"]
    assert all((tmp_path / "report" / stage["path"]).is_file() for stage in first["stages"])


def test_the_drawing_in_three_dimensions_keeps_every_camera_where_it_is(suite):
    entry = next(e for e in read(suite) if e.cell.scene == "blocks" and e.cell.method == "gnerf")
    drawn = orbit.orbit(entry)
    assert isinstance(drawn, dict)
    held = read_json(entry.folder / "cameras.json")
    assert drawn["views"] == sorted(held["truth"])
    truth = np.array([held["truth"][view] for view in drawn["views"]])
    numbers = np.array(drawn["truth"])
    drawn_apart, apart = (
        np.linalg.norm(each[:, None] - each[None], axis=-1) for each in (numbers[:, :3], truth[:, :3, 3])
    )
    assert drawn_apart == pytest.approx(apart * drawn_apart.sum() / apart.sum(), abs=2e-3)  # rounded to 1e-3
    assert np.linalg.norm(numbers[:, :3], axis=1).max() == pytest.approx(1, abs=1e-3)
    assert numbers[:, 3:6] == pytest.approx(truth[:, :3, 0], abs=5.1e-4)
    assert sum(each is None for each in drawn["estimate"]) == len(truth) - len(held["estimate"])
    assert drawn["caption"].startswith(
        f"{len(TRUTH_VIEWS) - 3} of {len(TRUTH_VIEWS)} views registered; median centre error"
    )


def test_a_single_camera_and_estimates_that_are_no_numbers_are_drawn(tmp_path):
    folder = write_cell(tmp_path, done("s", "clean", "m", 0, rotation=1, psnr=30))
    write_json(folder / "cameras.json", {"truth": {"v0": ring(2)[0]}, "estimate": {"v0": np.full((4, 4), np.nan)}})
    drawn = orbit.orbit(read(tmp_path)[0])
    assert (drawn["caption"], drawn["estimate"]) == ("0 of 1 views registered", [None])
    write_json(folder / "cameras.json", {"truth": {}, "estimate": {}})
    assert orbit.orbit(read(tmp_path)[0]) == "no cameras were recorded"


def test_the_overview_begins_with_the_truth_and_every_render_of_the_same_view_ranked(tmp_path):
    for method, psnr in (("worse", 25), ("best", 30)):
        write_cell(tmp_path / "s", done("blocks", "clean", method, 0, rotation=1, psnr=psnr))
    write_cell(tmp_path / "s", done("blocks", "clean", "a", 0, rotation=0, psnr=40, given=("camera", "start")))
    page = Page(build(tmp_path / "s").read_text())
    shown = [attrs for tag, attrs in page.tags if tag == "img" and "h002" in str(attrs.get("alt"))]
    assert [str(attrs["alt"]).split(",")[0] for attrs in shown] == ["truth of h002", "best", "worse", "a"]
    assert page.said.index("30.00 dB") < page.said.index("Leaderboard")
    assert sum(tag == "canvas" for tag, _ in page.tags) == 1  # the cameras of the best


def test_a_film_of_a_cell_is_shown_on_its_page_and_linked(tmp_path):
    folder = write_cell(tmp_path / "s", done("blocks", "clean", "m", 0, rotation=1, psnr=30))
    picture(0).save(folder / "orbit.gif", save_all=True, append_images=[picture(1)])
    (folder / "spiral.mp4").write_bytes(b"film")
    report = build(tmp_path / "s").parent
    (entry,) = read(tmp_path / "s")
    page = Page((report / entry.page).read_text())
    sources = [str(attrs.get("src")) for tag, attrs in page.tags if tag in ("img", "video")]
    films = [source for source in sources if source.endswith((".gif", ".mp4"))]
    assert [Path(source).name for source in films] == ["orbit.gif", "spiral.mp4"]
    assert all((report / "cells" / source).resolve().is_file() for source in films)
    assert {attrs.get("href") for tag, attrs in page.tags if tag == "a"} >= set(films)


def test_depth_is_shown_with_contrast_and_an_empty_background_is_black(tmp_path):
    folder = write_cell(tmp_path / "s", done("blocks", "clean", "m", 0, rotation=1, psnr=30))
    depth = np.full((48, 48), 255, np.uint8)  # nothing there
    depth[8:40, 8:24], depth[8:40, 24:40] = 10, 14  # all that is there, in a sliver of the range
    for view in ("h000", "h001"):
        Image.fromarray(depth).save(folder / "renders" / f"{view}.depth.png")
    report = build(tmp_path / "s").parent
    shown = np.asarray(Image.open(next((report / "pictures").rglob("h000.depth.jpg")))).astype(int).sum(axis=2)
    assert shown[4, 4] < 30
    assert shown[24, 34] - shown[24, 14] > 150  # the nearer is far brighter


def test_bars_of_views_stand_on_axes(suite, site):
    page = cell_page(suite, site, "blocks", "colmap_nerf")
    assert "5 views, worst first" in page.said
    (drawn,) = [attrs["aria-label"] for tag, attrs in page.tags if tag == "svg" and "worst first" in str(attrs)]
    assert str(drawn).startswith("PSNR (dB) of 5 views, worst first: h000 ")


def test_nothing_is_offered_that_would_change_nothing(tmp_path):
    write_cell(tmp_path / "s", done("blocks", "clean", "m", 0, rotation=1, psnr=30))
    page = Page(build(tmp_path / "s").read_text())
    assert not any(attrs.get("name") in ("stat", "tier") for _, attrs in page.tags)  # one seed, one kind of gift
    assert not any("heat" in str(attrs.get("class")) for tag, attrs in page.tags if tag == "table")
    assert "Robustness" not in page.said
    cells = Page((tmp_path / "s" / "report" / "cells.html").read_text())
    assert "select" not in [tag for tag, _ in cells.tags]  # one value of each


def test_the_filters_of_the_cells_are_those_that_have_a_choice(tmp_path):
    flagged = replace(done("blocks", "clean", "m", 0, rotation=1, psnr=30), flags=("in doubt",))
    for result in (flagged, done("blocks", "clean", "n", 0, rotation=1, psnr=30)):
        write_cell(tmp_path / "s", result)
    build(tmp_path / "s")
    page = Page((tmp_path / "s" / "report" / "cells.html").read_text())
    assert [attrs["name"] for tag, attrs in page.tags if tag == "select"] == ["status", "method"]
    values = [attrs["value"] for tag, attrs in page.tags if tag == "option"]
    assert values == ["", "flagged", "solved", "", "m", "n"]


def test_internals_of_a_method_are_shown_where_it_logged_some(tmp_path):
    log = write_cell(tmp_path / "s", done("blocks", "clean", "m", 0, rotation=1, psnr=30)) / "log.jsonl"
    (cell,) = (build(tmp_path / "s").parent / "cells").glob("*.html")
    assert "Internals" not in cell.read_text()  # PSNR and loss, which stand above
    rows = [json.dumps({"step": k, "seconds": k, "loss": 1 / (1 + k), "sharpness": k * k}) for k in range(9)]
    log.write_text("\n".join(rows) + "\n")
    build(tmp_path / "s")
    text = cell.read_text()
    above, _, internals = text.partition("Internals of the method")
    assert "<b>sharpness</b>" in internals and "<b>sharpness</b>" not in above
    assert "<b>loss</b>" in above and "<b>loss</b>" not in internals


def test_a_smoke_row_says_that_it_only_shows_that_a_method_runs(tmp_path, site):
    quick = done("blocks", "clean", "m", 0, rotation=1, psnr=30)
    write_cell(tmp_path / "s", replace(quick, cell=replace(quick.cell, effort="smoke")))
    report = build(tmp_path / "s").parent
    for path in ("index.html", "scenes/blocks.html", *(entry.page for entry in read(tmp_path / "s"))):
        assert "not how good it is" in Page((report / path).read_text()).said
    assert "not how good it is" in (report / "report.md").read_text()
    assert "not how good it is" not in site["index.html"].said


def test_the_middle_seed_stands_for_a_method(site, suite):
    blocks = [e for e in read(suite) if (e.cell.scene, e.cell.degradation) == ("blocks", "clean")]
    chosen = pictures.typical([e for e in blocks if e.cell.method == "gnerf"])
    assert chosen is not None
    assert chosen.cell.seed == 2  # of 27, 26, 25, 24, 23 dB, and one without an answer
    strips = [attrs["alt"] for tag, attrs in site["scenes/blocks.html"].tags if tag == "img" and attrs.get("alt")]
    assert [alt for alt in strips if alt.startswith("gnerf, seed") and "h002" in alt] == [
        "gnerf, seed 2: h002 aligned, 25.00 dB"
    ]


def test_where_nothing_was_rendered_the_middle_rotation_error_stands_for_a_method(tmp_path):
    for seed, rotation in enumerate((9.0, 1.0, 2.0)):
        found = done("s", "clean", "m", seed, rotation=rotation, psnr=30)
        poses = {name: value for name, value in found.metrics.items() if name.startswith("pose/")}
        write_cell(tmp_path, replace(found, metrics=poses), files=False)
    chosen = pictures.typical(read(tmp_path))
    assert chosen is not None
    assert chosen.cell.seed == 2


def test_curves_are_those_of_the_log_and_a_torn_line_is_dropped(suite):
    entry = next(e for e in read(suite) if e.cell.method == "nerf")
    found = curves.headline(curves.series(read_log(entry.folder)))
    assert list(found) == ["psnr", "loss"]
    assert len(found["psnr"]) == 100
    assert (np.diff(found["psnr"][:, 1]) > 0).all()
    assert (np.diff(found["loss"][:, 1]) < 0).all()
    assert found["psnr"][-1, 0] == 99


def test_a_command_runs_the_cells_again(suite):
    entries = read(suite)
    cell = next(e for e in entries if e.cell.method == "colmap_nerf[mapper=global]").cell
    assert details.command([cell]) == (
        "unposed run -s blocks -d clean -m 'colmap_nerf[mapper=global]' --seeds 0 --effort quick"
    )


def test_relatives_differ_from_a_cell_in_one_thing_only(tmp_path):
    quick = done("s", "clean", "m", 0, rotation=1.0, psnr=30.0)
    for result in (quick, *(replace(quick, cell=replace(quick.cell, seed=k, effort="full")) for k in (1, 2))):
        write_cell(tmp_path / "suite", result, files=False)
    entries = read(tmp_path / "suite")
    related = relatives.Relatives(entries)
    found = {entry.cell.seed: related.of(entry)["rows"] for entry in entries}
    assert found[0] == []  # the others are of another effort
    assert [(what, [name for name, _ in others]) for what, others in found[1]] == [("seed", ["1", "2"])]


def test_headline_columns_are_defined_and_an_unknown_one_keeps_its_name():
    assert set(HEADLINE) <= COLUMNS.keys()
    assert column("pose/new").label == "pose/new"
    assert column("pose/registered").show(0.9) == "90"
    assert column("nvs/aligned/psnr").show(-1.5) == "−1.50"
