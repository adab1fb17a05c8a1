"""Names of files: readable, safe in any file system and in a URL, and one for each thing."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Set
from pathlib import Path

from bench.files import replacing

LONGEST = 120


def slug(name: str) -> str:
    """`blocks/clean/gnerf/seed0` -> `blocks--clean--gnerf--seed0`; what is lost by the way is kept as a hash."""
    kept = re.sub(r"[^A-Za-z0-9._=@+-]+", "-", name.replace("/", "--"))[:LONGEST].lstrip("-.") or "-"
    exact = kept == name.replace("/", "--") and "--" not in name
    return kept if exact else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def replace(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def sweep(root: Path, folders: Iterable[str], written: Set[str]) -> None:
    """Remove what these folders below `root` hold that was not written this time; `written` are paths from `root`."""
    for folder in folders:
        for place, _, names in os.walk(root / folder, topdown=False):
            here = Path(place)
            within = here.relative_to(root).as_posix()
            for name in names:
                if f"{within}/{name}" not in written:
                    (here / name).unlink()
            if within != folder and not any(here.iterdir()):
                here.rmdir()
