"""What each view of a cell is worth, held small: thousands of cells have a million views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Names = tuple[str, ...]


class PerView(Mapping[str, Mapping[str, float]]):
    """View id -> column -> value, as a `Result` holds it, at 8 bytes a value: views of the same columns are one array.

    Names are shared with other cells. A view's row is made anew for whoever asks.
    """

    __slots__ = ("_order", "_parts")

    def __init__(self, rows: Mapping[str, Mapping[str, float]]) -> None:
        alike: dict[Names, list[str]] = {}
        for view, row in rows.items():
            alike.setdefault(tuple(row), []).append(view)
        self._order = _shared(tuple(rows))
        self._parts: tuple[tuple[Names, Names, NDArray[np.float64]], ...] = tuple(
            (
                _shared(columns),
                _shared(tuple(views)),
                np.array([[rows[view][name] for name in columns] for view in views], dtype=np.float64),
            )
            for columns, views in alike.items()
        )

    def __getitem__(self, view: str) -> Mapping[str, float]:
        for columns, views, values in self._parts:
            place = _places(views).get(view)
            if place is not None:
                return dict(zip(columns, values[place].tolist(), strict=True))
        raise KeyError(view)

    def column(self, name: str) -> dict[str, float]:
        """View -> value of one column, of the views that have it, alike ones together."""
        found: dict[str, float] = {}
        for columns, views, values in self._parts:
            if name in columns:
                found |= zip(views, values[:, columns.index(name)].tolist(), strict=True)
        return found

    def columns(self) -> set[str]:
        """Names of all that any view has."""
        return {name for columns, _, _ in self._parts for name in columns}

    def __iter__(self) -> Iterator[str]:
        return iter(self._order)

    def __len__(self) -> int:
        return len(self._order)


def column(rows: Mapping[str, Mapping[str, float]], name: str) -> dict[str, float]:
    """View -> value of one column, of the views that have it."""
    return (
        PerView.column(rows, name)
        if isinstance(rows, PerView)
        else {v: row[name] for v, row in rows.items() if name in row}
    )


def columns(rows: Mapping[str, Mapping[str, float]]) -> set[str]:
    """Names of all that any view has."""
    return rows.columns() if isinstance(rows, PerView) else {name for row in rows.values() for name in row}


@lru_cache(maxsize=1024)
def _shared(names: Names) -> Names:
    """One tuple for all that are equal."""
    return names


@lru_cache(maxsize=1024)
def _places(views: Names) -> Mapping[str, int]:
    return {view: k for k, view in enumerate(views)}
