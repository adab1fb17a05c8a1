"""Tables and figures for a paper: what they say of ours, of others', and of what failed."""

import csv
import io
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from synthetic_suite import HOSTILE, done, ended, write_cell

from reports.analysis import scores
from reports.analysis.scores import read
from reports.paper import latex, methods, plain, scenes
from reports.paper.build import build, tables
from reports.paper.published import library
from reports.paper.table import Cell, Head, Row, Table

PRIOR = ("camera", "prior")


@pytest.fixture(scope="module")
def paper(suite: Path) -> Path:
    """The folder made of the shared suite."""
    return build(suite).parent


def written(folder: Path, *results) -> list[scores.Entry]:
    for result in results:
        write_cell(folder, result, files=False)
    return read(folder)


def chair(seed: int, psnr: float, effort="full", method="gnerf"):
    result = done("nerf_synthetic/chair", "clean", method, seed, rotation=0.1, psnr=psnr, given=PRIOR)
    return replace(result, cell=replace(result.cell, effort=effort))


def table_of(entries, name: str) -> Table:
    return next(table for table in tables(entries, library()) if table.name == name)


def column_of(table: Table, quantity: str, text: str) -> int:
    return next(k for k, head in enumerate(table.heads) if head.text == text and quantity in head.group)


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


def test_a_published_number_stands_beside_ours_with_the_gap_and_its_source(tmp_path):
    table = table_of(written(tmp_path, chair(0, 28.0), chair(1, 29.0)), "novel_views_aligned")
    ours, theirs, gap = (column_of(table, "PSNR", text) for text in ("gnerf", "GNeRF", "gap to GNeRF"))
    (row,) = table.rows
    assert (row.cells[ours].text, row.cells[ours].spread) == ("28.50", "[28.00 … 29.00]")
    assert (row.cells[theirs].text, row.cells[gap].text) == ("31.30", "−2.80")
    assert [table.heads[k].source for k in (ours, theirs, gap)] == ["ours", "published", "gap"]
    said = dict(table.notes)
    assert "re-run from the authors' code by IR-NeRF" in said[table.heads[theirs].notes[0]]
    assert not any(head.text.startswith("gap") and "LPIPS" in head.group for head in table.heads)


def test_there_is_no_gap_between_images_of_two_sizes(tmp_path):
    table = table_of(written(tmp_path, chair(0, 28.0, effort="quick")), "novel_views_aligned")
    assert not any(head.source == "gap" for head in table.heads)
    assert ("GNeRF: no gap, for ours is at 200 px") in dict(table.notes).values()


def test_a_published_number_never_enters_a_mean_of_ours(tmp_path):
    lego = replace(chair(0, 20.0), cell=replace(chair(0, 20.0).cell, scene="nerf_synthetic/lego"))
    table = table_of(written(tmp_path, chair(0, 30.0), lego), "novel_views_aligned")
    mean = table.rows[-1]
    assert mean.label == "mean of 2 scenes"
    assert mean.cells[column_of(table, "PSNR", "gnerf")].text == "25.00"
    assert mean.cells[column_of(table, "PSNR", "GNeRF")].text == f"{(31.30 + 28.52) / 2:.2f}"


def test_a_failure_is_a_dagger_with_its_reason_and_leaves_no_mean(tmp_path):
    entries = written(
        tmp_path, done("a", "clean", "m", 0, rotation=1, psnr=30), ended("b", "clean", "m", 0, "timeout", "killed")
    )
    table = table_of(entries, "novel_views_aligned")
    cell = table.rows[1].cells[0]
    assert (cell.text, cell.failed) == ("", True)
    assert dict(table.notes)[cell.notes[0]] == "m, b: timeout in fit: killed"
    assert table.rows[2].cells[0].text == "—"
    assert r"$^{\dagger " in latex.table(table)
    assert "<sup>†" in plain.markdown(table)


def test_stages_have_tables_of_their_own_and_so_has_agreement_with_colmap(suite):
    names = [table.name for table in tables(read(suite), library())]
    assert {"novel_views_aligned", "novel_views_refined", "novel_views_half", "novel_views_aligned_colmap"} <= set(
        names
    )
    assert len(set(names)) == len(names)


def test_variants_stand_in_the_ablation_and_not_among_the_methods(suite):
    entries = read(suite)
    assert "colmap_nerf[mapper=global]" not in {entry.method for entry in scenes.main_methods(entries)}
    (table,) = (t for t in tables(entries, library()) if t.name.startswith("ablation") and "colmap_nerf" in t.name
                and not t.name.endswith("_colmap"))  # fmt: skip
    assert [row.label for row in table.rows] == ["colmap_nerf", "colmap_nerf[mapper=global]"]


def test_the_published_noise_has_a_table_of_its_own():
    (table,) = methods.noise(library())
    assert [cell.text for cell in table.rows[0].cells] == ["0.119", "0.190", "0.363", "1.784"]
    assert all(head.source == "published" for head in table.heads)


def test_every_number_of_a_table_is_in_its_csv(paper):
    for path in (paper / "tables").glob("*.csv"):
        rows = list(csv.DictReader(io.StringIO(path.read_text())))
        markdown = path.with_suffix(".md").read_text()
        body = [line for line in markdown.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in body}) == 1
        across = len({(row["quantity"], row["column"], row["source"]) for row in rows})
        assert len(rows) == (len(body) - 2) * across
        assert all(
            float(row["number"]) == float(row["number"]) for row in rows if re.fullmatch(r"[-\d.]+", row["number"])
        )


def test_what_latex_would_act_on_is_text():
    assert latex.escape("a_b & 50% {x} $ # ~ ^ \\ <b>") == (
        r"a\_b \& 50\% \{x\} \$ \# \textasciitilde{} \textasciicircum{} \textbackslash{} \textless{}b\textgreater{}"
    )
    assert latex.escape("−1.5 ± 2 … 日é") == r"$-$1.5 $\pm$ 2 \ldots{} ?é"


def test_best_is_bold_second_underlined_published_in_italics():
    heads = (Head(group="g", text="x"), Head(group="g", text="y"), Head(group="g", text="z", source="published"))
    cells = (Cell(text="1", mark="best"), Cell(text="2", mark="second", spread="[1, 3]"), Cell(text="3"))
    made = Table(name="t", caption="c", stub="s", heads=heads, rows=(Row(label="r", cells=cells),), notes=())
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
