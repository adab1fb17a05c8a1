"""The draw of a degradation is an axis: the cell's seed decides it, or a label that fixes it."""

from dataclasses import replace

import numpy as np
import pytest
from captures import make_capture

from bench.cell import Cell
from bench.degrade import KINDS, degrade, is_random, parse
from bench.matrix.plan import at, plan
from bench.matrix.selection import Selection, select_degradations
from bench.runner.fit_client import fit_ingredients, shown_to


def planned(degradations, seeds="0-1", methods="nerf,colmap_nerf"):
    made = plan(Selection(scenes="blocks", methods=methods, degradations=degradations, seeds=seeds, effort="smoke"))
    return {(each.cell.method, each.cell.seed): each for each in made.cells}


def same(a, b):
    return a.images.keys() == b.images.keys() and all(np.array_equal(a.images[v], b.images[v]) for v in a.images)


@pytest.fixture(scope="module")
def blocks():
    return planned("clean")["nerf", 0].source.load(64)


@pytest.mark.parametrize("kind", ["gaussian_noise", "fewer_views", "occlusion"])
def test_methods_see_equal_pixels_at_a_seed_and_others_at_the_next(kind, blocks):
    cells = planned(f"{kind}@3")
    seen = {key: shown_to(each, blocks) for key, each in cells.items()}
    assert same(seen["nerf", 0], seen["colmap_nerf", 0])
    assert same(seen["nerf", 1], seen["colmap_nerf", 1])
    assert not same(seen["nerf", 0], seen["nerf", 1])


def test_a_fixed_draw_is_the_same_at_every_seed_and_is_that_of_the_seed_it_names(blocks):
    fixed = planned("gaussian_noise@3#7")
    assert same(shown_to(fixed["nerf", 0], blocks), shown_to(fixed["nerf", 1], blocks))
    tied = planned("gaussian_noise@3", seeds="7")
    assert same(shown_to(fixed["nerf", 0], blocks), shown_to(tied["nerf", 7], blocks))


def test_the_draw_is_in_the_fingerprint_of_what_is_drawn_and_of_nothing_else():
    def ingredients(degradations, seed):
        each = planned(degradations, methods="nerf")["nerf", seed]
        return fit_ingredients(each, "digest", "cpu")["degradation"]

    assert ingredients("gaussian_noise@3", 0) != ingredients("gaussian_noise@3", 1)
    assert ingredients("gaussian_noise@3#1", 0) == ingredients("gaussian_noise@3", 1)
    assert ingredients("jpeg@3", 0) == ingredients("jpeg@3", 1)
    assert ingredients("clean", 0) == ingredients("clean", 1)
    assert ingredients("gaussian_noise@3", 0)["seed"] == 0  # as recorded before the draw was an axis


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_random_where_another_seed_shows_something_else(kind):
    capture = make_capture(32, 32, views=24)
    first, second = (degrade(capture, replace(parse(f"{kind}@4"), seed=seed), "x") for seed in (0, 1))
    changed = not same(first, second) or any(
        not np.array_equal(first.start[view], second.start[view]) for view in first.start or {}
    )
    assert changed == is_random(KINDS[kind])


def test_a_draw_of_what_draws_nothing_is_refused():
    with pytest.raises(ValueError, match="jpeg#7: it draws nothing at random; leave out #7"):
        parse("jpeg@3#7")
    with pytest.raises(ValueError, match="after # stands a draw, a whole number, as in gaussian_noise@3#7"):
        parse("gaussian_noise@3#x")


def test_draws_are_selected_by_ranges_and_have_labels_and_folders_of_their_own():
    labels = [each.label for each in select_degradations("gaussian_noise@2-3#0-1,gaussian_noise@2")]
    assert labels == [
        "gaussian_noise@2#0", "gaussian_noise@2#1", "gaussian_noise@3#0", "gaussian_noise@3#1", "gaussian_noise@2",
    ]  # fmt: skip
    folders = {
        str(Cell(scene="s", degradation=label, method="m", seed=0, effort="smoke").folder).split("/")[1]
        for label in labels
    }
    assert len(folders) == len(labels)
    assert "gaussian_noise@2+draw1" in folders
    assert [parse(label).label for label in labels] == labels


def test_a_search_for_breaking_points_draws_by_the_seeds_too():
    clean = planned("clean", methods="nerf")
    assert [at(each, parse("gaussian_noise@2")).degradation.seed for each in clean.values()] == [0, 1]
    assert [at(each, parse("low_texture@2")).degradation.seed for each in clean.values()] == [0, 0]
