"""Digest of a method's own code, so that an edited helper refits and an edited comment does not; and the libraries
that it imports, so that an upgraded one refits those that use it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import sys
from collections.abc import Iterable, Set
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

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
    return {name: source.digest for name, source in sorted(_sources(module, root, apart).items())}


def code_files(module: Path) -> tuple[Path, ...]:
    """The files whose digests `code_digests` gives."""
    return tuple(source.path for source in _sources(module).values())


def libraries(module: Path, root: Path | None = None) -> frozenset[str]:
    """Top-level names of the third-party packages that `module` and the modules of `code_digests` import.

    What is imported for its types alone does not count.
    """
    named = {
        name.partition(".")[0] for source in _sources(module, root).values() for name, level in source.runs if not level
    }
    own = {Path(name).parts[0].removesuffix(".py") for name in _sources(module, root)}
    return frozenset(named - own - {PUBLIC, *PACKAGES} - sys.stdlib_module_names)


@lru_cache(maxsize=1)
def project_digest() -> str:
    """sha256 of this project's modules, byte for byte: whether two machines have the same ones."""
    digest = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (TREE / package).rglob("*.py")):
        digest.update(path.relative_to(TREE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of one file's syntax tree, comments and docstrings stripped."""
    return _parse(path, path.stat().st_mtime_ns).digest


class _Source(NamedTuple):
    """One file: where it is, its digest, and the dotted names that it imports with their relative level."""

    path: Path
    digest: str
    imports: tuple[tuple[str, int], ...]
    runs: tuple[tuple[str, int], ...]  # of these, those that are imported when it runs: not for types alone


_Asked = tuple[Path, Path | None, frozenset[Path]]
_KNOWN: dict[_Asked, tuple[dict[str, _Source], dict[Path, int]]] = {}
"""What was found for a module, and the state of the files and folders that it was found in: following the imports of
a method takes a tenth of a second, looking whether any has changed a hundredth of that."""


def _sources(module: Path, root: Path | None = None, apart: Iterable[Path] = ()) -> dict[str, _Source]:
    asked = module.resolve(), root and root.resolve(), frozenset(path.resolve() for path in apart)
    known = _KNOWN.get(asked)
    if known is None or _state(known[1]) != known[1]:
        known = _KNOWN[asked] = _follow(*asked)
    return known[0]


def _state(places: Iterable[Path]) -> dict[Path, int]:
    """When each was changed, -1 for one that is gone."""
    found = {}
    for place in places:
        try:
            found[place] = os.stat(place).st_mtime_ns  # noqa: PTH116 - a third of the time of Path.stat
        except OSError:
            found[place] = -1
    return found


def _follow(module: Path, root: Path | None, passed: Set[Path]) -> tuple[dict[str, _Source], dict[Path, int]]:
    """The sources by name, and the state of every file that was read and every folder that was looked into: it is
    noted before the look, so that what changes in between is found to have changed."""
    roots = [root or _home(module)]
    if TREE not in roots:
        roots.append(TREE)
    found: dict[str, _Source] = {}
    seen: dict[Path, int] = {}
    pending = [module]
    while pending:
        path = pending.pop()
        base = next((base for base in roots if path.is_relative_to(base)), path.parent)
        name = path.relative_to(base).as_posix()
        if name in found:
            continue
        seen |= _state([path])
        found[name] = source = _parse(path, path.stat().st_mtime_ns)
        places = [file for names in source.imports for file in _resolve(names, path, roots, seen)]
        pending += [file for file in places if file not in passed]
    return found, seen


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
def _parse(path: Path, _mtime: int) -> _Source:
    tree = ast.parse(path.read_text(), filename=str(path))
    imports: list[tuple[str, int]] = []
    runs: list[tuple[str, int]] = []
    for_types: set[ast.AST] = set()
    for node in ast.walk(tree):  # a block comes before what is in it
        found: list[tuple[str, int]] = []
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body):
                for_types |= {inner for statement in body for inner in ast.walk(statement)}
            case ast.Import(names=names):
                found = [(alias.name, 0) for alias in names]
            case ast.ImportFrom(module=origin, names=names, level=level):
                found = [(origin or "", level)]
                found += [(f"{origin or ''}.{alias.name}".lstrip("."), level) for alias in names]
            case ast.Module() | ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                node.body = [child for child in node.body if not _is_text(child)]
        imports += found
        runs += [] if node in for_types else found
    return _Source(path, hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(imports), tuple(runs))


def _is_text(node: ast.stmt) -> bool:
    """A docstring, or a string standing alone as a comment does."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _resolve(name: tuple[str, int], importer: Path, roots: list[Path], seen: dict[Path, int]) -> list[Path]:
    """The file that an import means, and those of the packages that it lies in; the folders that were looked into,
    where another file would change its meaning, are added to `seen`."""
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
        for folder in (stem, *stem.parents):
            if folder not in seen:
                seen |= _state([folder])
            if folder == base:
                break
        for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
            if candidate.is_file() and (level or base != TREE or dotted.split(".")[0] in PACKAGES):
                packages = [parent / "__init__.py" for parent in candidate.parents if parent.is_relative_to(base)]
                return [candidate.resolve(), *(file.resolve() for file in packages if file.is_file())]
    return []
