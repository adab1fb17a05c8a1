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


def completed(fit: Mapping[str, Any], provenance: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Ingredients of a fit that were recorded before its device and libraries were among them, with these as its
    provenance has them. What the provenance does not know is taken to be as it is `now`."""
    filled = dict(fit)
    if "device" not in fit and "device" in provenance:
        filled["device"] = str(provenance["device"]).partition(":")[0]
    if "libraries" not in fit and "versions" in provenance:
        known = provenance["versions"]
        filled["libraries"] = {name: known.get(name, version) for name, version in now.get("libraries", {}).items()}
    return filled


def _plain(value: Any) -> Any:
    """As JSON gives it back: a tuple that was written is read as a list."""
    return list(value) if isinstance(value, tuple) else value
