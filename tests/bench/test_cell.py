import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cell import Cell, fingerprint, join_label, split_label


def cell(**change):
    base = {"scene": "blocks", "degradation": "clean", "method": "nerf", "seed": 0, "effort": "quick"}
    return Cell(**{**base, **change})


def test_options_of_a_method_are_read_and_written_in_one_order():
    name, options = split_label("colmap_nerf[mapper=global, field=grid]")
    assert (name, options) == ("colmap_nerf", {"field": "grid", "mapper": "global"})
    assert join_label(name, options) == "colmap_nerf[field=grid,mapper=global]"


@pytest.mark.parametrize("label", ["nerf[", "nerf[a]", "nerf[a=]", "nerf[a=1,a=2]", "nerf]x[", "nerf[a=1]b"])
def test_a_malformed_label_is_refused_by_name(label):
    with pytest.raises(ValueError, match="method"):
        split_label(label)


@given(st.lists(st.text("ab/@[]=, %.+", min_size=1, max_size=8), min_size=2, max_size=2, unique=True))
def test_different_scenes_never_share_a_folder(names):
    first, second = (cell(scene=name.strip("/.") or "x" + name.replace("/", "s")) for name in names)
    assert (first.folder == second.folder) == (
        [p for p in first.scene.split("/") if p] == [p for p in second.scene.split("/") if p]
    )


def test_a_folder_has_no_brackets_and_no_parent():
    folder = cell(scene="a/b", method="colmap_nerf[mapper=global]", degradation="gaussian_noise@3").folder
    assert folder.as_posix() == "a/b/gaussian_noise@3/colmap_nerf+mapper=global/seed0"


def test_a_fingerprint_ignores_order_and_feels_every_leaf():
    assert fingerprint({"a": 1, "b": {"c": [1, 2]}}) == fingerprint({"b": {"c": [1, 2]}, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 1.5})
    with pytest.raises(ValueError, match="JSON"):
        fingerprint({"a": float("nan")})
