"""Digest of a method's own code, so that an edited helper refits and an edited comment does not."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
PACKAGES = ("bench", "methods", "datasets", "reports")
PUBLIC = "unposed"
"""The public module: all that it has for a method is `bench.task`, and that is what counts of it."""


def code_digests(module: Path, root: Path | None = None, apart: Iterable[Path] = ()) -> dict[str, str]:
    """sha256 of the syntax tree of `module` and of every module below `root` that it imports, however indirectly.

    Comments and docstrings are stripped; names are paths relative to `root`. Imports are followed statically,
    inside functions too. Without a `root`, this project's own tree is meant for a file inside it, and the
    module's folder for a file of a stranger (whose imports of this project are followed as well). Modules in
    `apart` count for nothing, nor does what they alone import.
    """
    passed = {path.resolve() for path in apart}
    roots = [root.resolve() if root else _home(module.resolve())]
    if TREE not in roots:
        roots.append(TREE)
    found: dict[str, str] = {}
    pending = [module.resolve()]
    while pending:
        path = pending.pop()
        base = next((base for base in roots if path.is_relative_to(base)), path.parent)
        name = path.relative_to(base).as_posix()
        if name in found:
            continue
        digest, imports = _parse(path, path.stat().st_mtime_ns)
        found[name] = digest
        pending += [file for names in imports for file in _resolve(names, path, roots) if file not in passed]
    return dict(sorted(found.items()))


def module_path(name: str) -> Path:
    """File of an importable module, without importing it (its parent packages are imported)."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"no module named {name!r}")
    return Path(spec.origin)


def _home(path: Path) -> Path:
    if any(path.is_relative_to(TREE / package) for package in PACKAGES):
        return TREE
    folder = path.parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


@lru_cache(maxsize=512)
def _parse(path: Path, _mtime: int) -> tuple[str, tuple[tuple[str, int], ...]]:
    """Digest of one file, and the dotted names it imports with their relative level."""
    tree = ast.parse(path.read_text(), filename=str(path))
    imports: list[tuple[str, int]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                imports += [(alias.name, 0) for alias in names]
            case ast.ImportFrom(module=origin, names=names, level=level):
                imports.append((origin or "", level))
                imports += [(f"{origin or ''}.{alias.name}".lstrip("."), level) for alias in names]
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                node.body = [child for child in node.body if not _is_text(child)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(imports)


def _is_text(node: ast.stmt) -> bool:
    """A docstring, or a string standing alone as a comment does."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _resolve(name: tuple[str, int], importer: Path, roots: list[Path]) -> list[Path]:
    dotted, level = name
    if not level and dotted.partition(".")[0] == PUBLIC:
        dotted = "bench.task"
    if level:
        base = importer.parent
        for _ in range(level - 1):
            base = base.parent
        bases = [base]
    else:
        bases = roots
    for base in bases:
        stem = base.joinpath(*dotted.split(".")) if dotted else base
        for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
            if candidate.is_file() and (level or base != TREE or dotted.split(".")[0] in PACKAGES):
                packages = [parent / "__init__.py" for parent in candidate.parents if parent.is_relative_to(base)]
                return [candidate.resolve(), *(file.resolve() for file in packages if file.is_file())]
    return []
