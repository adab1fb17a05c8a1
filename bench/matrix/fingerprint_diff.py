"""Which part of a fingerprint changed: the answer to "why is this cell run again?"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Leaves that differ between two nested mappings: (path, before, now); None where one side has none."""
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        path = f"{prefix}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from changes(old, new, f"{path} > ")
        elif _plain(old) != _plain(new):
            yield path, old, new


def _plain(value: Any) -> Any:
    """As JSON gives it back: a tuple that was written is read as a list."""
    return list(value) if isinstance(value, tuple) else value
