"""Names of files: readable, safe in any file system and in a URL, and one for each thing."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

LONGEST = 120


def slug(name: str) -> str:
    """`blocks/clean/gnerf/seed0` -> `blocks--clean--gnerf--seed0`; what is lost by the way is kept as a hash."""
    kept = re.sub(r"[^A-Za-z0-9._=@+-]+", "-", name.replace("/", "--"))[:LONGEST].lstrip("-.") or "-"
    exact = kept == name.replace("/", "--") and "--" not in name
    return kept if exact else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def replace(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    draft.write_bytes(content.encode() if isinstance(content, str) else content)
    draft.replace(path)
