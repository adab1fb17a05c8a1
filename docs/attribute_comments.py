"""For the API pages: the comment beside an attribute, which has its shape and unit, is its docstring there."""

from __future__ import annotations

import io
import tokenize
from functools import lru_cache
from pathlib import Path
from typing import Any

from griffe import Attribute, Docstring, Extension


@lru_cache
def _comments(path: Path) -> dict[int, str]:
    """The comment at the end of each line, by its number."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


class AttributeComments(Extension):
    """Loaded by mkdocstrings (mkdocs.yml)."""

    def on_attribute_instance(self, *, attr: Attribute, **kwargs: Any) -> None:
        path, line = attr.filepath, attr.endlineno
        if attr.docstring is None and isinstance(path, Path) and line and (comment := _comments(path).get(line)):
            attr.docstring = Docstring(comment, lineno=line, parent=attr)
