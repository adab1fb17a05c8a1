"""Where nobody knows the cameras, a report says how far those of the answers agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation
from synthetic_suite import TRUTH_VIEWS, done, ring, write_cell

from bench.record import read_json, write_json
from bench.task import look_at
from reports.analysis import agreement
from reports.analysis.entries import read
from reports.build import build


def suite_of(folder):
    """Two methods with the same cameras in frames of their own, and one with others."""
    rig = ring(len(TRUTH_VIEWS))
    other = look_at(np.random.default_rng(0).normal(size=(len(rig), 3)) * 4, np.zeros(3), np.array([0.0, 0, 1]))
    moved = rig.copy()
    moved[:, :3, 3] = 7 * moved[:, :3, 3] + [1, 2, 3]
    for method, poses in (("colmap_nerf", rig), ("nerfmm", moved), ("barf", other)):
        result = replace(done("vase", "clean", method, 0, rotation=1, psnr=20), reference="none")
        metrics = {name: value for name, value in result.metrics.items() if not name.startswith("pose/")}
        place = write_cell(folder, replace(result, metrics=metrics)) / "cameras.json"
        for path in (place.parent / "renders").glob(
            "*.aligned.png"
        ):  # with cameras that nobody knows nothing is aligned
            path.rename(path.with_name(path.name.replace("aligned", "refined")))
        held = {"estimate": dict(zip(TRUTH_VIEWS, poses, strict=True)), "truth": {}}
        write_json(place, read_json(place) | held)
    return folder


def test_answers_without_a_truth_are_held_against_each_other(tmp_path):
    found = agreement.of_question(read(suite_of(tmp_path)))
    assert found is not None
    texts = {frozenset((found.labels[i], found.labels[j])): found.rows[i][j] for i in range(3) for j in range(i + 1, 3)}
    assert texts[frozenset(("colmap_nerf", "nerfmm"))].endswith(" %, 30 views")
    assert float(texts[frozenset(("colmap_nerf", "nerfmm"))].split()[0]) < 1e-4
    assert "colmap_nerf and nerfmm: 2 of 3 methods have the same cameras" in found.finding
    assert not found.notes


def write(folder, method, seed, poses):
    """A cell of a scene without a truth that answered these cameras."""
    result = replace(done("vase", "clean", method, seed, rotation=1, psnr=20), reference="none")
    place = write_cell(folder, result) / "cameras.json"
    write_json(place, read_json(place) | {"estimate": dict(zip(TRUTH_VIEWS, poses, strict=True)), "truth": {}})


def spun(degrees):
    """The ring with each camera turned about its own axis, which no similarity undoes."""
    poses = ring(len(TRUTH_VIEWS)).copy()
    poses[:, :3, :3] = poses[:, :3, :3] @ Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    return poses


def test_seeds_of_one_method_are_one_answer_and_its_spread_is_said(tmp_path):
    for seed, degrees in enumerate((40.0, 1.0, 2.0, 4.0)):
        write(tmp_path, "barf", seed, spun(degrees))
    write(tmp_path, "nerfmm", 0, spun(100.0))
    found = agreement.of_question(read(tmp_path))
    assert found.labels == ("barf, seed 2", "nerfmm")  # 1 and 2 deg from its neighbours: the nearest to all
    assert "No two of 2 methods" in found.finding  # however many seeds of one agree
    (note,) = found.notes
    assert note == (
        "barf, seed 2 stands for seeds 0, 1, 2, 3, being nearest to the others: two of them are 1.00 to 39.00 deg "
        "apart; 3 of 4 have the same cameras, within 5 deg."
    )
    page = build(tmp_path)
    (scene,) = (page.parent / "scenes").glob("*.html")
    for text in (scene.read_text(), (page.parent / "report.md").read_text()):
        assert note in text and "98.00 deg" in text


def test_one_method_alone_has_a_spread_and_no_consensus(tmp_path):
    write(tmp_path, "barf", 3, spun(0.0))
    assert agreement.of_question(read(tmp_path)) is None
    write(tmp_path, "barf", 5, spun(7.0))
    found = agreement.of_question(read(tmp_path))
    assert found.labels == ("barf, seed 3",) and "no other method to hold them against" in found.finding
    assert "7.00 deg apart; no two of 2 have the same cameras" in found.notes[0]
    assert "no other method to hold them against" in (build(tmp_path).parent / "report.md").read_text()


def test_what_the_table_leaves_out_is_named(tmp_path):
    for k in range(14):
        write(tmp_path, f"barf[start_noise=0.{k:02d}]", 0, spun(9.0 * k))
    for seed in range(1, 10):
        write(tmp_path, "barf[start_noise=0.00]", seed, spun(0.0))
    found = agreement.of_question(read(tmp_path))
    assert len(found.labels) == 12 and "2 more are left out: seeds 8, 9." in found.notes[0]
    assert "left out: barf[start_noise=0.12], barf[start_noise=0.13]." in found.notes[-1]


def test_where_nobody_knows_the_cameras_the_overview_shows_no_truth_and_the_numbers_that_there_are(tmp_path):
    site = build(suite_of(tmp_path / "own"))
    overview, cell = site.read_text(), next((site.parent / "cells").glob("*.html")).read_text()
    assert "20.60 dB refined · 20.30 dB half" in overview  # of write_cell's psnr=20
    assert "optimised on the held-out image itself" in overview
    for text in (overview, cell):
        drawn = text.partition('<figure class="orbit')[2].partition("</figure>")[0]
        assert "30 training cameras in three dimensions: estimates of" in drawn
        assert 'value="estimate"' in drawn
        for untrue in ("grey", "Grey", 'value="truth"', 'value="errors"'):
            assert untrue not in drawn
    pictures = overview.partition('id="pictures"')[2].partition("</section>")[0]
    assert "true held-out camera" not in pictures and "rotation error" not in pictures
    write_cell(tmp_path / "known", done("vase", "clean", "nerfmm", 0, rotation=1, psnr=20))
    overview = build(tmp_path / "known").read_text()
    assert "1.00° · 20.00 dB<" in overview and "Rendered at the true held-out camera" in overview
    assert 'value="truth"' in overview and "Grey: the true cameras." in overview
    assert "Where nobody knows the cameras" not in overview


def test_pages_and_markdown_show_it_and_scenes_with_a_truth_have_none(tmp_path):
    suite = suite_of(tmp_path / "own")
    page = build(suite)
    (scene,) = (page.parent / "scenes").glob("*.html")
    for text in (scene.read_text(), (page.parent / "report.md").read_text()):
        assert "that they are right is not known" in text and "30 views" in text
    assert "30 cameras in the method&#39;s own frame" in scene.read_text()
    assert "True cameras in grey" not in scene.read_text()
    assert "no renders were kept" not in scene.read_text()
    for text in (scene.read_text(), next((page.parent / "cells").glob("*.html")).read_text()):
        assert ".refined.jpg" in text
    write_cell(tmp_path / "known", done("vase", "clean", "nerfmm", 0, rotation=1, psnr=20))
    write_cell(tmp_path / "known", done("vase", "clean", "barf", 0, rotation=1, psnr=20))
    assert "they are right is not known" not in (build(tmp_path / "known").parent / "report.md").read_text()
