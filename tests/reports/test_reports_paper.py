"""Tables and figures for a paper: what they say of ours, of others', and of what failed."""

import csv
import html
import io
import re
import shutil
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from synthetic_suite import HOSTILE, done, ended, write_cell

from bench.degrade import KINDS
from reports.analysis import heat, tradeoff
from reports.analysis.columns import STAGES
from reports.analysis.entries import Entry, read
from reports.analysis.scorebook import Scorebook
from reports.analysis.table import Figure, Head, Number, Row, Table
from reports.paper import figures, latex, methods, plain, scenes
from reports.paper.build import build, pictures, tables
from reports.paper.published import library

PRIOR = ("camera", "prior")

# Copied from the rows of shared/design/published.md: PSNR / SSIM / LPIPS, rotation (deg) / translation.
NERF_SYNTHETIC = """
| chair | 31.30 / .94 / .08 | .363 / .018 | 32.87 / .96 / .07 | .251 / .013 |
| drums | 24.30 / .90 / .13 | .204 / .010 | 25.98 / .91 / .11 | .185 / .008 |
| hotdog | 32.00 / .96 / .07 | 2.349 / .122 | 33.52 / .97 / .06 | 1.932 / .098 |
| lego | 28.52 / .91 / .09 | .430 / .023 | 30.07 / .93 / .07 | .371 / .015 |
| mic | 31.07 / .96 / .06 | 1.865 / .031 | 32.33 / .97 / .04 | 1.598 / .019 |
| ship | 26.51 / .85 / .21 | 3.721 / .176 | 27.96 / .87 / .18 | 3.253 / .125 |
"""
DTU = """
| 23 | 17.89 / .55 / .54 | 19.96 / .59 / .45 |
| 45 | 18.06 / .68 / .48 | 20.19 / .73 / .41 |
| 58 | 21.83 / .62 / .67 | 24.02 / .67 / .55 |
| 82 | 19.91 / .77 / .33 | 21.55 / .85 / .27 |
| 103 | 22.67 / .74 / .44 | 24.72 / .82 / .37 |
| 109 | 22.88 / .71 / .54 | 25.36 / .75 / .44 |
"""
BLENDER = ("chair", "drums", "ficus", "hotdog", "lego", "materials", "mic", "ship")
BARF_ROTATION = ".096/.130 .043/.053 .085/.094 .248/.262 .082/.086 .844/.405 .071/.079 .075/.108"  # deg, BARF/JaxBARF
BARF_TRANSLATION = ".428/.47 .225/.17 .474/.40 1.308/1.41 .291/.25 2.692/1.78 .301/.25 .326/.38"  # x100
NERF = (
    "33.00 25.01 30.13 36.18 32.54 29.62 32.91 28.65",
    ".967 .925 .964 .974 .961 .949 .980 .856",
    ".046 .091 .044 .121 .050 .063 .028 .206",
)  # PSNR, SSIM, LPIPS


@pytest.fixture(scope="module")
def paper(suite: Path) -> Path:
    """The folder made of the shared suite."""
    return build(suite).parent


def written(folder: Path, *results) -> list[Entry]:
    for result in results:
        write_cell(folder, result, files=False)
    return read(folder)


def chair(seed: int, psnr: float, effort="full", method="gnerf"):
    result = done("nerf_synthetic/chair", "clean", method, seed, rotation=0.1, psnr=psnr, given=PRIOR)
    return replace(result, cell=replace(result.cell, effort=effort))


def table_of(entries, name: str) -> Table:
    return next(table for table in tables(entries, Scorebook(entries), library()) if table.name == name)


def drawings(entries: list[Entry]):
    return pictures(entries, Scorebook(entries))


def column_of(table: Table, quantity: str, text: str) -> int:
    return next(k for k, head in enumerate(table.heads) if head.text == text and quantity in head.group)


def published(name: str) -> dict[str, list[Decimal]]:
    """The rows of one entry of published.toml."""
    (found,) = (each for each in library().published if each.id == name)
    return {scene: list(row.values()) for scene, row in found.scenes.items()}


def copied(text: str) -> dict[str, list[list[Decimal]]]:
    """Scene -> the numbers of each cell of its row."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.strip().splitlines()]
    return {scene: [numbers(cell, "/") for cell in cells] for scene, *cells in rows}


def numbers(text: str, between: str | None = None) -> list[Decimal]:
    return [Decimal(word.strip()) for word in text.split(between)]


def test_the_published_numbers_are_those_of_the_sources_row_by_row():
    rows = copied(NERF_SYNTHETIC)
    assert published("gnerf") == {scene: views + poses for scene, (views, poses, _, _) in rows.items()}
    assert published("ir-nerf") == {scene: views + poses for scene, (_, _, views, poses) in rows.items()}
    rows = copied(DTU)
    assert published("gnerf-dtu") == {f"scan{scan}": views for scan, (views, _) in rows.items()}
    assert published("ir-nerf-dtu") == {f"scan{scan}": views for scan, (_, views) in rows.items()}
    assert published("nerf") == dict(zip(BLENDER, map(list, zip(*map(numbers, NERF), strict=True)), strict=True))


def test_the_published_numbers_of_barf_are_those_of_their_source_row_by_row():
    rotation, translation = (
        [numbers(pair, "/") for pair in text.split()] for text in (BARF_ROTATION, BARF_TRANSLATION)
    )
    for k, name in enumerate(("barf", "jaxbarf")):
        assert published(name) == {
            scene: [angle[k], distance[k] / 100]
            for scene, angle, distance in zip(BLENDER, rotation, translation, strict=True)
        }


def test_the_means_of_the_published_numbers_are_those_that_were_worked_out_by_hand():
    by_hand = {"gnerf": (28.95, 1.489, 0.063), "ir-nerf": (30.46, 1.265, 0.046)}
    for each in library().published:
        if each.id in by_hand:
            rows = list(each.scenes.values())
            means = [float(np.mean([float(row[name]) for row in rows])) for name in ("psnr", "rotation", "translation")]
            assert means[0] == pytest.approx(by_hand[each.id][0], abs=5.1e-3)
            assert means[1:] == pytest.approx(by_hand[each.id][1:], abs=6e-4)
            assert len(rows) == 6


def test_every_published_number_has_a_source_and_says_how_it_was_read():
    for each in library().published:
        assert each.source
        assert each.given
        assert each.read in ("table", "code", "secondary", "figure", "arithmetic")
        assert not set(each.comparable) - {name for row in each.scenes.values() for name in row}
        assert each.stage in ("", *STAGES)


def test_a_published_number_stands_beside_ours_with_the_gap_and_its_source(tmp_path):
    table = table_of(written(tmp_path, chair(0, 28.0), chair(1, 29.0)), "novel_views_refined")
    ours, theirs, gap = (column_of(table, "PSNR", text) for text in ("gnerf", "GNeRF", "gap to GNeRF"))
    (row,) = table.rows
    assert (row.numbers[ours].shown.text, row.numbers[ours].shown.spread) == ("29.10", "[28.60 … 29.60]")
    assert (row.numbers[theirs].shown.text, row.numbers[gap].shown.text) == ("31.30", "−2.20")
    assert [table.heads[k].source for k in (ours, theirs, gap)] == ["ours", "published", "gap"]
    said = dict(table.notes)
    assert "re-run from the authors' code by IR-NeRF" in said[table.heads[theirs].notes[0]]
    assert "A gap is ours minus published." in table.remarks
    assert not any(head.text.startswith("gap") and "LPIPS" in head.group for head in table.heads)


def test_published_novel_views_stand_beside_the_one_stage_that_they_are_like(tmp_path):
    entries = written(tmp_path, chair(0, 28.0), chair(0, 33.0, method="nerf"))
    beside = {
        stage: {head.text for head in table_of(entries, f"novel_views_{stage}").heads if head.source == "published"}
        for stage in ("aligned", "refined", "half")
    }
    assert beside == {"aligned": {"NeRF"}, "refined": {"GNeRF", "IR-NeRF"}, "half": set()}
    poses = table_of(entries, "pose_errors")
    assert {head.text for head in poses.heads if head.source == "published"} == {"GNeRF", "IR-NeRF", "BARF", "JaxBARF"}


def test_a_stage_that_the_source_does_not_say_is_explained_where_the_number_stands(tmp_path):
    entries = written(tmp_path, chair(0, 28.0))
    refined, poses = (dict(table_of(entries, name).notes) for name in ("novel_views_refined", "pose_errors"))
    reason = "the source does not say how held-out views are posed"
    assert [text.split(":")[0] for text in refined.values() if reason in text] == ["GNeRF", "IR-NeRF"]
    assert not any(reason in text for text in poses.values())


def test_a_gap_is_explained_only_where_there_is_one(tmp_path):
    entries = written(tmp_path, chair(0, 28.0), chair(0, 33.0, method="nerf"))
    for stage in ("aligned", "half"):
        table = table_of(entries, f"novel_views_{stage}")
        assert not any(head.source == "gap" for head in table.heads)
        assert table.remarks == ()


def test_there_is_no_gap_between_images_of_two_sizes(tmp_path):
    table = table_of(written(tmp_path, chair(0, 28.0, effort="quick")), "novel_views_refined")
    assert not any(head.source == "gap" for head in table.heads)
    assert ("GNeRF: no gap, for ours is at 200 px") in dict(table.notes).values()


def test_a_published_number_never_enters_a_mean_of_ours(tmp_path):
    lego = replace(chair(0, 20.0), cell=replace(chair(0, 20.0).cell, scene="nerf_synthetic/lego"))
    table = table_of(written(tmp_path, chair(0, 30.0), lego), "novel_views_refined")
    mean = table.rows[-1]
    assert mean.label == "mean of 2 scenes"
    assert mean.numbers[column_of(table, "PSNR", "gnerf")].shown.text == "25.60"
    assert mean.numbers[column_of(table, "PSNR", "GNeRF")].shown.text == f"{(31.30 + 28.52) / 2:.2f}"


def test_a_failure_is_a_dagger_with_its_reason_and_leaves_no_mean(tmp_path):
    entries = written(
        tmp_path, done("a", "clean", "m", 0, rotation=1, psnr=30), ended("b", "clean", "m", 0, "timeout", "killed")
    )
    table = table_of(entries, "novel_views_aligned")
    cell = table.rows[1].numbers[0]
    assert (cell.shown.text, cell.failed) == ("—", True)  # no cell of `b` says what its mean colour is worth
    assert dict(table.notes)[cell.notes[0]] == "m, b: timeout in fit: killed"
    assert table.rows[2].numbers[0].shown.text == "—"
    assert r"$^{\times " in latex.table(table)
    assert "<sup>×" in plain.markdown(table)


def test_stages_have_tables_of_their_own_and_so_has_agreement_with_colmap(suite):
    names = [table.name for table in tables(read(suite), Scorebook(read(suite)), library())]
    assert {"novel_views_aligned", "novel_views_refined", "novel_views_half", "novel_views_aligned_colmap"} <= set(
        names
    )
    assert len(set(names)) == len(names)


def test_variants_stand_in_the_ablation_and_not_among_the_methods(suite):
    entries = read(suite)
    assert "colmap_nerf[mapper=global]" not in {entry.cell.method for entry in scenes.main_methods(entries)}
    made = tables(entries, Scorebook(entries), library())
    (table,) = (t for t in made if t.name.startswith("ablation_colmap_nerf") and not t.name.endswith("_colmap"))
    assert [row.label for row in table.rows] == ["colmap_nerf", "colmap_nerf[mapper=global]"]


def test_the_published_noise_has_a_table_of_its_own():
    (table,) = methods.noise(library())
    assert [cell.shown.text for cell in table.rows[0].numbers] == ["0.119", "0.190", "0.363", "1.784"]
    assert all(head.source == "published" for head in table.heads)


def test_only_scenes_that_were_run_have_published_tables(tmp_path):
    entries = written(tmp_path, chair(0, 30.0))
    paper = build(tmp_path).parent
    assert not list((paper / "tables").glob("published_noise*"))  # of lego, which was not run
    rows = pd.read_csv(paper / "published.csv")
    assert set(rows["scene"]) == {"chair"}
    held = library().of({"nerf_synthetic/lego", entries[0].cell.scene})
    assert [each.scene for each in held.noise] == ["nerf_synthetic/lego"]


def printed(cell: str) -> str:
    """A cell of Markdown without its marks and notes, its numbers as programs read them."""
    bare = re.sub(r"<sup>.*?</sup>", "", cell).strip()
    bare = re.sub(r"^(\*+)(\S+?)\1", r"\2", bare)  # best, second
    return html.unescape(re.sub(r"\\(.)", r"\1", bare)).replace("−", "-").replace("∞", "inf")


def test_every_number_of_a_table_is_in_its_csv(paper):
    paths = list((paper / "tables").glob("*.csv"))
    assert paths
    for path in paths:
        listed = csv.DictReader(io.StringIO(path.read_text()))
        stub = (listed.fieldnames or [""])[0]
        found = [(row[stub], f"{row['number']} {row['spread']}".strip()) for row in listed]
        lines = [line for line in path.with_suffix(".md").read_text().splitlines() if line.startswith("|")]
        titles, _, *body = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
        lead = 2 if printed(titles[1]) == "given" else 1
        assert {len(cells) for cells in body} == {len(titles)}
        assert found == [(printed(cells[0]), printed(cell)) for cells in body for cell in cells[lead:]]
        assert any(re.search(r"\d", text) for _, text in found)


def test_what_latex_would_act_on_is_text():
    assert latex.escape("a_b & 50% {x} $ # ~ ^ \\ <b>") == (
        r"a\_b \& 50\% \{x\} \$ \# \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{}b\textgreater{}"
    )
    assert latex.escape("−1.5 ± 2 … 日é") == r"$-$1.5 $\pm$ 2 \ldots{} ?é"


def test_best_is_bold_second_underlined_published_in_italics():
    heads = (Head(group="g", text="x"), Head(group="g", text="y"), Head(group="g", text="z", source="published"))
    one, two = Figure(text="1", mark="best"), Figure(text="2", mark="second", spread="[1, 3]")
    numbers = (Number(figures={"": one}), Number(figures={"": two}), Number.plain("3"))
    made = Table(name="t", caption="c", stub="s", heads=heads, rows=(Row(label="r", numbers=numbers),), notes=())
    text = latex.table(made)
    assert r"r & \textbf{1} & \unposedspread{\underline{2}}{{[}1, 3{]}} & \textit{3} \\" in text
    assert r"\multicolumn{3}{c}{g}" in text
    assert r"\cmidrule(lr){2-4}" in text


def test_figures_are_pdf_and_svg_and_a_hostile_name_is_text_in_them(paper):
    drawn = {path.stem for path in (paper / "figures").iterdir()}
    assert {"heat_degradation", "heat_scene", "cost", "heat_degradation_colmap"} <= drawn
    words = ""
    for name in drawn:
        assert (paper / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        root = ElementTree.parse(paper / "figures" / f"{name}.svg").getroot()
        assert not [each for each in root.iter() if each.tag.endswith("script")]
        words += " ".join("".join(each.itertext()) for each in root.iter() if each.tag.endswith("text"))
    assert HOSTILE in words


def test_the_stars_and_hollow_marks_of_figures_are_explained_as_any_given_poses(tmp_path):
    entries = written(tmp_path, chair(0, 28.0))
    captions = {name: caption for name, caption, _ in pictures(entries, Scorebook(entries))}
    for name in ("heat_degradation", "cost"):
        assert captions[name].endswith(": given poses (true, rough or submitted), or with a pretrained pose estimator.")


def test_many_kinds_of_degradation_are_in_rows_of_four_and_on_pages_of_eight(tmp_path):
    kinds = [kind for kind in KINDS if not KINDS[kind].changes_scene][:11]
    results = [
        done("a", degradation, "m", 0, rotation=1, psnr=30)
        for degradation in ("clean", *(f"{kind}@1" for kind in kinds))
    ]
    drawn = {name: figure for name, _, figure in drawings(written(tmp_path, *results)) if name.startswith("robustness")}
    assert list(drawn) == ["robustness", "robustness_2"]
    first, second = drawn.values()
    assert [panel.get_title() for figure in (first, second) for panel in figure.axes if panel.get_title()] == kinds
    assert [len(figure.axes) for figure in (first, second)] == [16, 6]
    first.draw_without_rendering()
    assert len({round(panel.get_position().x0, 6) for panel in first.axes}) == 4
    assert first.get_figheight() == 2 * second.get_figheight()


def test_a_wide_heat_map_goes_on_in_panels_of_equal_squares(tmp_path):
    names = [f"scene{k:02d}" for k in range(16)]
    entries = written(tmp_path, *(done(name, "clean", "m", 0, rotation=1, psnr=30) for name in names))
    (table,) = (each for each in heat.heats(entries, Scorebook(entries)) if each.across == "scene")
    figure = figures.heat(table)
    labels = [[label.get_text() for label in panel.get_xticklabels()] for panel in figure.axes]
    assert labels == [names[:8], names[8:]]
    assert {panel.get_xlim() for panel in figure.axes} == {(-0.5, 7.5)}
    assert figure.get_figheight() == 2 * figures.heat(replace(table, columns=table.columns[:14])).get_figheight()


def test_seconds_are_labelled_as_plain_numbers(tmp_path):
    results = [done("a", "clean", method, 0, rotation=1, psnr=30) for method in ("fast", "slow")]
    slow = replace(results[1], cost={"fit_seconds": 430.0})
    entries = written(tmp_path, replace(results[0], cost={"fit_seconds": 70.0}), slow)
    (costs,) = tradeoff.costs(entries, Scorebook(entries))
    figure = figures.tradeoff(costs, {"fast": 0, "slow": 1})
    figure.draw_without_rendering()
    (panel,) = figure.axes
    low, high = panel.get_xlim()
    ticks = [*panel.xaxis.get_major_ticks(), *panel.xaxis.get_minor_ticks()]
    assert [t.label1.get_text() for t in ticks if low <= t.get_loc() <= high and t.label1.get_text()] == [
        "50", "100", "200", "500"
    ]  # fmt: skip


def test_cells_without_success_are_a_dagger_with_their_number_in_the_table_of_robustness(tmp_path):
    entries = written(
        tmp_path,
        *(done("a", "clean", "m", seed, rotation=1, psnr=30) for seed in range(3)),
        done("a", "flat@1", "m", 0, rotation=1, psnr=29),
        done("a", "flat@1", "m", 1, rotation=20, psnr=20),
        ended("a", "flat@1", "m", 2, "failed", "broke"),
    )
    table = table_of(entries, "robustness_flat")
    cells = [cell for head, cell in zip(table.heads, table.rows[0].numbers, strict=True) if head.group == "success ↑"]
    assert [(cell.shown.text, cell.failed) for cell in cells] == [("100 %", False), ("33 %", True)]
    assert [dict(table.notes)[letter] for letter in cells[1].notes] == ["2 of 3 cells did not succeed"]
    assert not any(cell.failed for cell in table.rows[0].numbers if cell not in cells)


def test_what_a_failure_counts_as_registered_is_said_where_that_column_is_shown(tmp_path):
    whole = [
        replace(each, metrics={**each.metrics, "pose/registered": 1.0})
        for each in (done("a", "clean", "m", 0, rotation=1, psnr=30), done("a", "flat@1", "m", 0, rotation=1, psnr=29))
    ]
    caption = table_of(written(tmp_path / "whole", *whole), "robustness_flat").caption
    assert "failures charged. " in caption
    lost = [whole[0], ended("a", "flat@1", "m", 0, "failed", "broke")]
    caption = table_of(written(tmp_path / "lost", *lost), "robustness_flat").caption
    assert "failures charged, and counted as 0 % in registered. " in caption


def test_the_same_results_give_the_same_paper_wherever_they_are(tmp_path):
    for place in ("here", "there"):
        for seed in range(2):
            write_cell(tmp_path / place / "s", done("a", "clean", "m", seed, rotation=1, psnr=30 + seed))
        write_cell(tmp_path / place / "s", ended("a", "noise@2", "m", 0, "failed", "broke"))

    def files(folder):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    here, there = (files(build(tmp_path / place / "s").parent) for place in ("here", "there"))
    assert here == there
    assert {"figures/renders_a.pdf", "figures/robustness.svg", "tables/robustness_noise.tex"} <= here.keys()


def test_the_latex_compiles(paper, tmp_path):
    tool = shutil.which("pdflatex") or shutil.which("tectonic")
    if tool is None:
        pytest.skip("needs pdflatex (texlive-latex-recommended) or tectonic on the PATH")
    options = ["-interaction=nonstopmode", "-halt-on-error", f"-output-directory={tmp_path}"]
    command = [tool, *options] if "pdflatex" in tool else [tool, "-o", str(tmp_path)]
    ended = subprocess.run([*command, "main.tex"], cwd=paper, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size > 50_000
