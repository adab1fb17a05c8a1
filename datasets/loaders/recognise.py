"""Which layout a folder is of, and any failure to read it as one sentence."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bench.scene import SceneError
from datasets.loaders.hints import hint
from datasets.loaders.layouts import BARE, LAYOUTS
from datasets.loaders.recording import Layout


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Files from anywhere may be hostile, as JSON nested without end or an array that claims terabytes: whatever they
    raise is a SceneError."""
    try:
        yield
    except SceneError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise SceneError(f"{folder}: cannot be read ({type(error).__name__}: {said})") from error


def layout_of(folder: Path, loader: str | None) -> Layout:
    """The layout that a card names, or the first that has no objection. Raises SceneError."""
    with reading(folder):
        if not any(folder.iterdir()):
            raise SceneError(f"{folder}: the folder is empty")
    known = {layout.name: layout for layout in (*LAYOUTS, BARE)}
    if loader is not None and loader not in known:
        raise SceneError(f"{folder}: its card asks for loader {loader!r}; known are {', '.join(known)}")
    asked = [known[loader]] if loader else list(known.values())
    with reading(folder):
        objections = {layout.name: layout.objection(folder) for layout in asked}
    for layout in asked:
        if objections[layout.name] is None:
            return layout
    said = {name: str(reason) for name, reason in objections.items()}
    near = {name: reason for name, reason in said.items() if loader or not reason.startswith("no ")}
    reasons = "; ".join(f"{name}: {reason}" for name, reason in near.items()) or "it has " + ", ".join(said.values())
    raise SceneError(f"{folder}: {hint(folder) or 'no loader knows this layout'} ({reasons})")
