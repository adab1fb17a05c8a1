"""Which wall stands between a method and the truth, and what of this machine is on the method's side of it."""

from __future__ import annotations

import compileall
import json
import os
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from bench.matrix.code_digest import TREE
from bench.matrix.interpreter import Interpreter
from bench.runner.executors.environment import inherited, python_path

Wall = Literal["namespaces", "landlock", "none"]

MEANING: dict[Wall, str] = {
    "namespaces": "a method sees its own files, its own processes and the installed software, and nothing else",
    "landlock": "a method opens its own files and the installed software and nothing else, and traces no process",
    "none": "a method that goes looking can read whatever you can read, true poses included",
}
VARIABLE = "UNPOSED_ISOLATION"

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store", "/gnu", "/sys")
PUBLIC = ("bench", "methods", "unposed.py")
"""What a worker sees of this project: not `datasets`, whose scenes are made from code, true poses included."""

PRIVATE = ("datasets", ".git", "runs")
"""What no worker sees of this project: scenes, what they were, and what a judge keeps."""

HOMES = tuple(
    f"{stem}{library}/python*/{packages}"
    for stem in ("", "*/", "envs/*/", "*/envs/*/")
    for library in ("lib", "lib64", "local/lib")
    for packages in ("site-packages", "dist-packages")
)
"""Where packages are installed, below what is shown: an environment, or a folder of such."""

SUPERVISOR = "import sys; sys.path.append(sys.argv[1]); from bench.runner.executors.supervisor import main; main()"


@lru_cache(maxsize=1)
def wall() -> Wall:
    """The strongest that this machine allows, or the one that UNPOSED_ISOLATION names. Tried once a process.

    Raises ValueError where the one that is named cannot be had.
    """
    named = os.environ.get(VARIABLE)
    if named and named not in get_args(Wall):
        raise ValueError(f"{VARIABLE}={named}: it is one of {', '.join(get_args(Wall))}")
    for each in get_args(Wall):
        if named in (None, "", each):
            fault = None if each == "none" else fault_of(each)
            if fault is None:
                return each
            if named:
                raise ValueError(f"{VARIABLE}={named}: this machine does not allow it ({fault})")
    return "none"


def fault_of(kind: Wall) -> str | None:
    """Why a wall of this kind cannot stand here, found by a worker that does nothing; None where it can."""
    with tempfile.TemporaryDirectory(prefix="unposed-") as name:
        root = Path(name, "root")
        root.mkdir()
        order: dict[str, Any] = {
            "wall": kind, "log": f"{name}/log", "root": str(root), "cwd": "/", "env": {}, "hidden": [], "shm": None,
            "argv": [sys.executable, "-I", "-S", "-c", ""], "shown": shown_installed(),
        }  # fmt: skip
        with subprocess.Popen(
            supervisor(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}, cwd="/"
        ) as process:
            assert process.stdin and process.stdout and process.stderr
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()  # and left open: its end would end the worker
            answer, fault = process.stdout.read(), process.stderr.read().decode()
        said = Path(name, "log").read_text() if Path(name, "log").exists() else ""
    try:
        end = json.loads(answer)
    except ValueError:
        return (fault or said or "no answer").strip().splitlines()[-1]
    return None if end == {"code": 0} else str(end.get("error") or said.strip() or end)


def supervisor() -> list[str]:
    """The command of bench.runner.executors.supervisor."""
    return [sys.executable, "-I", "-S", "-c", SUPERVISOR, str(TREE)]


def shown_installed(extra: Iterable[Path] = (), other: Interpreter | None = None) -> list[tuple[str, str, bool]]:
    """What every worker sees, read only, each where it lies: folders before what lies in them. Under another
    interpreter it sees that one's packages, and neither this project nor what it rests on."""
    kept: list[Path] = []
    own = installed() if other is None else (*machine(), *other.places)
    wanted = {place for path in (*own, *extra) for place in (path.absolute(), path.resolve())}
    for path in sorted(wanted, key=lambda path: len(path.parts)):
        if path.exists() and path != Path("/") and not any(path.is_relative_to(each) for each in kept):
            kept.append(path)
    return [(str(path), str(path), False) for path in kept]


@lru_cache(maxsize=1)
def installed() -> tuple[Path, ...]:
    """The machine, this Python with its packages, and this project but its scenes."""
    places = list(machine())
    places += [Path(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)]
    places += [TREE / name for name in PUBLIC]
    places += [Path(folder) for folder in sysconfig.get_paths().values()]
    places += list(_packages())
    places += [path for path in python_path() if path != TREE]
    return tuple(path for path in places if path.is_absolute() and path != Path.home())


@lru_cache(maxsize=1)
def machine() -> tuple[Path, ...]:
    """The system, the programs and libraries on its paths, weights, and what UNPOSED_EXPOSE names."""
    passed = inherited(os.environ)
    places = [Path(name) for name in SYSTEM]
    for name in ("PATH", "LD_LIBRARY_PATH"):
        places += [Path(part) for part in passed.get(name, "").split(os.pathsep) if part]
    places += [Path(passed[name]) for name in ("TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "CUDA_HOME") if name in passed]
    places += [Path(part) for part in os.environ.get("UNPOSED_EXPOSE", "").split(os.pathsep) if part]
    return tuple(path for path in places if path.is_absolute() and path != Path.home())


@lru_cache(maxsize=1)
def compile_tree() -> None:
    """Leave this project's modules compiled: workers see them read only, and would each do it again."""
    for name in ("bench", "methods"):
        compileall.compile_dir(str(TREE / name), quiet=2)


def _packages() -> Iterator[Path]:
    """Folders of installed packages, those that were installed where they are edited included; this project's own
    folder is not shown for its being one of them."""
    homes = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    for home in map(Path, homes):
        yield home
        for path in sorted(home.glob("*.pth")):
            lines = path.read_text(errors="replace").splitlines()
            yield from (home / line for line in lines if line and not line.startswith(("#", "import ", "import\t")))
    for name, module in sys.modules.items():
        if name.startswith("__editable__"):
            places = [Path(place) for place in getattr(module, "MAPPING", {}).values()]
            yield from (place for place in places if not place.is_relative_to(TREE))


def hidden(secrets: Sequence[Path]) -> list[str]:
    """What no worker sees, even where it lies within something that is shown: `secrets`, this project's scenes, the
    caches of scenes, what the judge keeps, tokens beside weights."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    caches = [cache / "unposed", *(Path(os.environ[name]) for name in ("UNPOSED_CACHE",) if os.environ.get(name))]
    roots = [Path(part) for part in os.environ.get("UNPOSED_DATA", "").split(os.pathsep) if part]
    own = [TREE / name for name in PRIVATE]
    weights = [Path(os.environ[name]) for name in ("HF_HOME", "HF_HUB_CACHE", "TORCH_HOME") if os.environ.get(name)]
    tokens = [folder / name for folder in weights for name in ("token", "stored_tokens")]
    places = [path.expanduser().resolve() for path in (*secrets, *caches, *roots, *own, *tokens)]
    return [str(path) for path in dict.fromkeys(places) if path.exists()]


def hidden_in(shown: Iterable[tuple[str, str, bool]], hidden: Sequence[str]) -> list[str]:
    """All that is to be covered in what one worker is shown: `hidden`, this project wherever else it is installed
    there, and both under every name under which they are shown."""
    sources = [(Path(source), Path(source).resolve()) for source, _, _ in shown]
    found = list(map(Path, hidden))
    for copy in dict.fromkeys(copy for pair in sources for place in {*pair} for copy in _copies(place)):
        found += [copy / name for name in (*PRIVATE, *PUBLIC) if (copy / name).is_dir()]
    found += [path.resolve() for path in found]
    for named, real in sources:
        if named != real:
            found += [named / path.relative_to(real) for path in found if path.is_relative_to(real)]
    return list(dict.fromkeys(map(str, found)))


@lru_cache(maxsize=256)
def _copies(place: Path) -> tuple[Path, ...]:
    """Folders in or round a place, this project's own apart, in which it is installed: the judge beside the scenes.
    Looked for once a process."""
    homes = {place, place.parent, *(home for pattern in HOMES for home in place.glob(pattern))}
    found = [home for home in homes if (home / "bench" / "judge").is_dir() and (home / "datasets").is_dir()]
    return tuple(home.resolve() for home in found if home.resolve() != TREE)
