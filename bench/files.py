"""Files that are whole or not there: a reader, or a kill at any moment, never meets half of one. numpy alone."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A draft to be written, which takes the place of `path` at the end; after an error it is gone.

    Its name is such that `bench.runner.drafts` finds what a kill leaves. `durable` waits until the disk has it. The
    draft may be a folder, where there is none at `path`.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield draft
        if durable:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        remove(draft)
        raise


def remove(path: Path) -> None:
    """A file or a folder, gone, where there was one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an npz whole or not at all."""
    with replacing(path) as draft, draft.open("wb") as file:
        np.savez(file, **dict(arrays))  # pyright: ignore[reportArgumentType]  # stubs take the mapping for allow_pickle


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def one_line(text: str) -> str:
    """The same with line breaks and other control characters escaped as in Python: names have what they like."""
    return "".join(repr(each)[1:-1] if unicodedata.category(each) in ("Cc", "Zl", "Zp") else each for each in text)


def printable(value: Any) -> Any:
    """The same with every text such that it can be written and shown: methods raise and note what they like."""
    match value:
        case str():
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        case Mapping():
            return {printable(key): printable(item) for key, item in value.items()}
        case list() | tuple():
            return [printable(item) for item in value]
        case _:
            return value
