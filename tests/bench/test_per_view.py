"""Views held small are the views that were put in."""

import pytest

from bench import per_view
from bench.per_view import PerView

ROWS = {
    "v000": {"pose/rotation_deg": 0.1, "pose/translation": 2.0},
    "h000": {"nvs/aligned/psnr": 30.25},
    "v001": {"pose/rotation_deg": float("inf"), "pose/translation": 1e-12},
    "v002": {},
}


def test_views_columns_and_values_come_back_as_they_were_and_in_their_order():
    held = PerView(ROWS)
    assert list(held) == list(ROWS)
    assert dict(held) == ROWS
    assert [list(row) for row in held.values()] == [list(row) for row in ROWS.values()]
    assert held == ROWS


def test_a_view_that_is_not_there_is_not_there():
    held = PerView(ROWS)
    assert "v003" not in held
    assert held.get("v003", {}) == {}
    with pytest.raises(KeyError):
        held["v003"]


@pytest.mark.parametrize("held", [ROWS, PerView(ROWS)])
def test_columns_are_those_that_any_view_has(held):
    assert per_view.columns(held) == {"pose/rotation_deg", "pose/translation", "nvs/aligned/psnr"}
    assert per_view.column(held, "pose/translation") == {"v000": 2.0, "v001": 1e-12}
    assert per_view.column(held, "nvs/aligned/ssim") == {}


def test_no_view_at_all_is_none():
    assert dict(PerView({})) == {}
    assert per_view.columns(PerView({})) == set()
