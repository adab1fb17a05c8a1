"""Folders of a known layout below a data root."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from datasets.card import OWN_CARD
from datasets.loaders.layouts import BARE, LAYOUTS

_log = logging.getLogger(__name__)


def _looks_like_a_scene(folder: Path) -> bool:
    """One that cannot even be looked at counts: it is listed, with the reason."""
    try:
        asked = (*LAYOUTS, BARE) if (folder / OWN_CARD).is_file() else LAYOUTS
        return any(layout.objection(folder) is None for layout in asked)
    except Exception:  # noqa: BLE001 - see _reading
        return True


def scene_folders(root: Path, depth: int) -> Iterator[Path]:
    """Folders of a known layout, in a fixed order; what is inside of one is its own."""
    if _looks_like_a_scene(root):
        yield root
        return
    try:
        with os.scandir(root) as entries:
            below = sorted(Path(entry) for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        _log.warning("data root: %s cannot be read (%s)", root, error.strerror)
        return
    for folder in below if depth else ():
        yield from scene_folders(folder, depth - 1)
