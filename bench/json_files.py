"""JSON with every float, written whole; and reading a file that anybody may have put there: a regular one of a bounded
size, or a sentence on what it is."""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.files import replacing

MOST = 64 * 2**20
"""Bytes of the largest JSON that is read; a result of a thousand held-out views has half a megabyte."""

WHAT = {
    stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}  # fmt: skip


def read_regular(path: Path, most: int | None = MOST) -> bytes:
    """The bytes of a regular file. Raises OSError, and ValueError where it is none, or has more than `most` bytes.

    It is opened first and looked at then, so that it cannot become another meanwhile; no pipe is waited for.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        kind = stat.S_IFMT(os.fstat(handle).st_mode)
        if kind != stat.S_IFREG:
            raise ValueError(f"{path} is {WHAT.get(kind, 'something else')}, not a file")
        parts, left = [], most
        while part := os.read(handle, 2**20 if left is None else min(2**20, left + 1)):
            parts.append(part)
            if left is not None and (left := left - len(part)) < 0:
                raise ValueError(f"{path} has more than {(most or 0) / 2**20:.0f} MB, the most that is read of one")
        return b"".join(parts)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(encoded(value), indent=1, allow_nan=False)
    with replacing(path, durable=True) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Raises OSError, and ValueError where it is no JSON or no regular file."""
    return DECODER.decode(read_regular(path).decode())


def encoded(value: Any) -> Any:
    """JSON has no infinity: it is written as {"float": "inf"}, and read back as what it was."""
    match value:
        case float() if not math.isfinite(value):
            return {"float": str(value)}
        case Mapping():
            return {str(key): encoded(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [encoded(item) for item in value]
        case _ if hasattr(value, "tolist"):  # numpy arrays and scalars
            return encoded(value.tolist())
        case _:
            return value


def _decode(found: dict[str, Any]) -> Any:
    """What `encoded` made of a number that JSON does not know; every other object as it is."""
    if len(found) == 1 and isinstance(found.get("float"), str):
        return float(found["float"])
    return found


DECODER = json.JSONDecoder(object_hook=_decode)
