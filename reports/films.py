"""Films that were rendered of cells, kept beside their pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reports.analysis.entries import Entry
from reports.naming import replace

ENDINGS = (".gif", ".mp4")


def kept(entries: Sequence[Entry], out: Path) -> Mapping[str, tuple[str, ...]]:
    """Copy what `unposed render` left in each cell's folder; paths from the site's root, by the page of the cell."""
    found = {}
    for entry in entries:
        films = sorted(path for path in entry.folder.glob("[a-z]*") if path.suffix in ENDINGS and path.is_file())
        places = tuple(f"films/{entry.slug}.{path.name}" for path in films)
        for path, place in zip(films, places, strict=True):
            replace(out / place, path.read_bytes())
        found[entry.page] = places
    return found
