"""The reliability curve against numbers made by hand."""

import math
from dataclasses import replace

import pytest
from synthetic_suite import done, write_cell

from reports.analysis.entries import Entry
from reports.analysis.reliability import binned, reliabilities
from reports.build import build


def views(*pairs):
    """Of (margin or None, robust error or None)."""
    named = {"confidence/margin_db": 0, "pose/robust_rotation_deg": 1}
    return {
        f"v{k:03d}": {name: pair[at] for name, at in named.items() if pair[at] is not None}
        for k, pair in enumerate(pairs)
    }


FIRST = [(-2.0, 90.0), (0.0, 90.0), (0.5, 3.0), (2.5, 1.0), (2.9, 80.0), (9.0, 0.1), (None, 0.1), (7.0, None)]
SECOND = [(2.0, 0.2), (3.0, 10.0), (3.5, 9.9), (8.0, 0.1)]


def test_bins_hold_what_was_put_in_them_and_the_lower_edge_belongs_to_a_bin():
    found = [(each.title, each.n, each.right) for each in binned([(m, e) for m, e in SECOND])]
    assert found == [("2 to 3", 1, 1), ("3 to 4", 2, 1), ("8 and more", 1, 1)]


def test_a_method_has_one_curve_over_all_its_cells_and_views_without_a_pose_count_nowhere(tmp_path):
    told = [
        replace(done("blocks", "clean", "gnerf", seed, rotation=1, psnr=30), per_view=views(*pairs))
        for seed, pairs in enumerate((FIRST, SECOND))
    ]
    silent = done("blocks", "clean", "nerf", 0, rotation=0, psnr=35)
    entries = [Entry(folder=tmp_path, result=each, given_poses=False) for each in (*told, silent)]
    (only,) = reliabilities(entries)
    assert (only.method, only.cells) == ("gnerf", 2)
    assert [(each.low, each.n, each.share) for each in only.bins] == [
        (-math.inf, 1, 0.0), (0.0, 2, 0.5), (2.0, 3, pytest.approx(2 / 3)), (3.0, 2, 0.5), (8.0, 2, 1.0),
    ]  # fmt: skip


def test_it_stands_on_the_page_of_statistics_and_the_margins_on_that_of_the_cell(tmp_path):
    told = replace(done("blocks", "clean", "gnerf", 0, rotation=1, psnr=30), per_view=views(*FIRST))
    write_cell(tmp_path / "s", told)
    report = build(tmp_path / "s").parent
    page = (report / "statistics.html").read_text()
    assert "Does a method know where it is wrong?" in page
    assert "gnerf: below 0 dB: 0% of 1 view, 0 to 1 dB: 50% of 2 views, 2 to 3 dB: 50% of 2 views" in page
    assert "below 0 dB 0 % (1), 0 to 1 dB 50 % (2)" in (report / "report.md").read_text()
    (cell,) = (report / "cells").glob("*.html")
    assert "margin (dB) of 7 views, worst first: v000 −2.00, v001 0.00" in cell.read_text()
    write_cell(tmp_path / "t", done("blocks", "clean", "gnerf", 0, rotation=1, psnr=30))
    assert "know where it is wrong" not in (build(tmp_path / "t").parent / "statistics.html").read_text()
