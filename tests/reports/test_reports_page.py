"""The page, the Markdown and the CSV: complete, self-contained, escaped, the same bytes twice."""

import base64
import hashlib
import io
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from synthetic_suite import HELD_OUT, HOSTILE, TRUTH_VIEWS, done, picture, ring, suite_results, write_cell

from bench.record import read_json, write_json
from bench.task import look_at
from reports import cameras, curves, details, renders
from reports.build import build, read
from reports.columns import COLUMNS, HEADLINE, column


class Page(HTMLParser):
    """Tags, attributes and text of a page; checks that every element is closed in order."""

    VOID = frozenset({"meta", "link", "img", "br", "input", "wbr", "path"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
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
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def page_of(report: Path) -> Page:
    return Page((report / "index.html").read_text())


def test_the_page_is_well_formed_and_every_inner_link_has_its_target(report):
    page = page_of(report)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    links = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert len(ids) == len(set(ids))
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_no_request_leaves_the_page(report):
    page = page_of(report)
    for tag, attrs in page.tags:
        for name in ("src", "href", "action", "data", "poster"):
            if attrs.get(name) is not None:
                assert attrs[name].startswith(("data:", "#")), (tag, attrs)
    html = (report / "index.html").read_text()
    assert "http:" not in html
    assert "https:" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_only_our_own_script_may_run(report):
    html = (report / "index.html").read_text()
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert len(scripts) == 1
    assert f"script-src 'sha256-{digest}'" in html


def test_a_hostile_name_is_text_everywhere(report):
    page = page_of(report)
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(tag == "b" and "no" in str(attrs) for tag, attrs in page.tags)
    assert HOSTILE in "".join(page.text)
    markdown = re.sub(r"```sh\n.*?\n```", "", (report / "report.md").read_text(), flags=re.S)  # code is text
    assert "<script" not in markdown
    assert "<b>" not in markdown
    assert "&lt;script&gt;" in markdown


def test_every_failure_is_on_the_page_with_its_reason(report):
    text = " ".join("".join(page_of(report).text).split())
    markdown = (report / "report.md").read_text()
    for result in suite_results():
        if result.status != "done" and result.reason and "<" not in result.reason:
            assert result.reason in text
            assert result.reason in markdown
    assert "Traceback (most recent call last): ValueError: <b>no</b> images" in text


def test_every_image_and_drawing_has_words(report):
    tags = page_of(report).tags
    assert all(attrs.get("alt") for tag, attrs in tags if tag == "img")
    drawings = [attrs for tag, attrs in tags if tag == "svg"]
    assert drawings
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") for attrs in drawings)


def test_the_same_results_give_the_same_bytes_wherever_they_are(suite, report, tmp_path):
    shutil.copytree(suite, tmp_path / suite.name, ignore=shutil.ignore_patterns("report"))
    second = build(tmp_path / suite.name, tmp_path / "elsewhere").parent
    for name in ("index.html", "report.md", "results.csv"):
        assert (report / name).read_bytes() == (second / name).read_bytes()
    assert not list(second.glob(".*"))


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
    with pytest.raises(ValueError, match="holds no results; `unposed run"):
        build(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        build(tmp_path / "nowhere")


def test_a_report_is_made_of_result_files_alone(tmp_path):
    write_cell(tmp_path, done("s", "clean", "m", 0, rotation=1, psnr=30), files=False)
    for path in (*tmp_path.rglob("truth/*.png"), *tmp_path.rglob("shown/*.png")):
        path.unlink()
    text = "".join(Page(build(tmp_path).read_text()).text)
    assert "No renders and no truth were kept" in text
    assert "cameras.json is not there" in text
    assert "No fit of this scene logged a curve" in text


def test_broken_files_are_named_and_do_not_stop_the_report(tmp_path):
    folder = write_cell(tmp_path, done("s", "clean", "nerf", 0, rotation=1, psnr=30))
    (folder / "cameras.json").write_text('{"truth": ')
    (folder / "renders" / "h001.aligned.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.new("RGB", (10, 10)).save(folder / "renders" / "h002.aligned.png")
    text = "".join(Page(build(tmp_path).read_text()).text)
    assert "cameras.json cannot be read" in text
    assert "h001.aligned.png cannot be read" in text
    assert "truth and render differ in size" in text


def test_a_page_of_twenty_cells_stays_small(report):
    assert (report / "index.html").stat().st_size < 800_000


def plot_of(suite: Path, scene: str, method: str) -> cameras.CameraPlot:
    return cameras.cameras(next(e for e in read(suite) if e.result.cell.scene == scene and e.method == method))


def test_the_camera_plot_marks_unregistered_views_and_joins_errors(suite):
    plot = plot_of(suite, "blocks", "gnerf")
    assert plot.caption.startswith(f"{len(TRUTH_VIEWS) - 3} of {len(TRUTH_VIEWS)} views registered")
    for panel in plot.panels:
        assert panel.truth.count("M") == len(TRUTH_VIEWS)
        assert panel.estimate.count("M") == len(TRUTH_VIEWS) - 3
        assert panel.unregistered.count("l28") == 3
        spots = np.array(re.findall(r"M(-?\d+) (-?\d+)h0", panel.truth), dtype=int)
        assert spots.min() > 0
        assert spots.max() < cameras.SIDE


def test_seen_from_the_side_a_higher_camera_is_drawn_higher(tmp_path):
    folder = write_cell(tmp_path, done("s", "clean", "m", 0, rotation=1, psnr=30))
    turn = np.radians(np.arange(0, 360, 45))
    circle = np.stack([np.cos(turn), np.sin(turn), np.zeros(8)], axis=1)
    low, high = (look_at(4 * circle + [0, 0, z], np.zeros(3), np.array([0.0, 0.0, 1.0])) for z in (0, 2))
    poses = np.concatenate([low, high])
    write_json(folder / "cameras.json", {"truth": {f"v{k:02d}": pose for k, pose in enumerate(poses)}, "estimate": {}})
    plot = cameras.cameras(read(tmp_path)[0])
    side = next(panel for panel in plot.panels if panel.name == "from the side")
    above = next(panel for panel in plot.panels if panel.name == "from above")
    heights = np.array([int(y) for _, y in re.findall(r"M(\d+) (\d+)h0", side.truth)])  # of y pointing down
    assert (heights[8:] < heights[:8]).all()
    spots = np.array(re.findall(r"M(\d+) (\d+)h0", above.truth), dtype=float)
    drawn = np.linalg.norm(spots[:, None] - spots[None], axis=-1)
    true = np.linalg.norm(poses[:, None, :2, 3] - poses[None, :, :2, 3], axis=-1)
    scale = drawn.sum() / true.sum()
    assert np.abs(drawn - scale * true).max() < 1.5  # distances in the plan are kept, but for rounding


def test_estimates_far_off_are_counted_and_a_single_camera_is_drawn(tmp_path):
    folder = write_cell(tmp_path, done("s", "clean", "m", 0, rotation=1, psnr=30))
    held = read_json(folder / "cameras.json")
    held["estimate"] = {view: (np.array(pose) + 1e6).tolist() for view, pose in list(held["truth"].items())[:2]}
    write_json(folder / "cameras.json", held)
    assert "2 estimated centres lie outside the drawing" in cameras.cameras(read(tmp_path)[0]).caption
    write_json(folder / "cameras.json", {"truth": {"v0": ring(2)[0]}, "estimate": {"v0": np.full((4, 4), np.nan)}})
    assert cameras.cameras(read(tmp_path)[0]).caption.startswith("0 of 1 views registered")


def test_the_error_map_is_zero_for_the_truth_and_full_for_its_negative(tmp_path):
    picture(0).save(tmp_path / "truth.png")
    Image.eval(picture(0), lambda value: 255 - value).save(tmp_path / "negative.png")
    same = renders._error(tmp_path / "truth.png", tmp_path / "truth.png", "same")
    apart = renders._error(tmp_path / "truth.png", tmp_path / "negative.png", "apart")
    assert same.caption == "mean error 0.000"

    def levels(thumb):
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(thumb.source.partition(",")[2]))))

    assert levels(same).max() == 0
    assert np.median(levels(apart)) == renders.ERROR_LEVELS - 1


def test_the_middle_seed_stands_for_a_method(suite):
    blocks = [e for e in read(suite) if (e.result.cell.scene, e.result.cell.degradation) == ("blocks", "clean")]
    gallery = renders.gallery(blocks)
    assert gallery is not None
    assert gallery.views == HELD_OUT
    strip = next(strip for strip in gallery.strips if strip.label == "gnerf")
    assert strip.detail == "seed 2"  # of 27, 26, 25, 24, 23 dB
    assert [thumb.caption for thumb in strip.thumbs] == [f"{25 + k - 2}.00 dB" for k in range(5)]


def test_curves_fall_where_the_loss_falls_and_a_torn_line_is_dropped(suite):
    plots = {plot.title: plot for plot in curves.curves([e for e in read(suite) if e.method == "nerf"][:1])}
    for title, falls in (("Training PSNR (dB)", False), ("Training loss (log scale)", True)):
        heights = [int(y) for y in re.findall(r" (-?\d+)", plots[title].lines[0].path)]
        assert (heights[-1] > heights[0]) == falls
        assert heights == sorted(heights, reverse=not falls)


def test_a_command_runs_the_cells_again(suite):
    entries = read(suite)
    cell = next(e for e in entries if e.method == "colmap_nerf[mapper=global]").result.cell
    assert details.command([cell]) == (
        "unposed run -s blocks -d clean -m 'colmap_nerf[mapper=global]' --seeds 0 --effort quick"
    )


def test_headline_columns_are_defined_and_an_unknown_one_keeps_its_name():
    assert set(HEADLINE) <= COLUMNS.keys()
    assert column("pose/new").label == "pose/new"
    assert column("pose/registered").show(0.9) == "90"
    assert column("nvs/aligned/psnr").show(-1.5) == "−1.50"
