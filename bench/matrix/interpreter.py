"""Another environment in which a method runs, or calls what runs: an interpreter, and what it says of itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

LIMIT = 60.0  # seconds, a first import of numpy from a cold disk included
OLDEST = (3, 10)

PROBE = """
import json, sys, sysconfig
from importlib import metadata
said = {"version": list(sys.version_info[:3]), "fault": None, "packages": {}}
if sys.version_info[:2] >= (3, 10):
    places = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, *sysconfig.get_paths().values()}
    places.update(path for path in sys.path if path)
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            places.update(getattr(module, "MAPPING", {}).values())
    said["places"] = sorted(places)
    installed = {}
    for each in metadata.distributions():
        installed.setdefault(each.metadata["Name"], each.version)
    for name, homes in metadata.packages_distributions().items():
        found = [installed[home] for home in homes if installed.get(home)]
        if found:
            said["packages"][name] = found[0]
    try:
        import numpy
        said["packages"]["numpy"] = numpy.__version__
    except Exception as error:
        said["fault"] = f"{type(error).__name__}: {error}"
print("\\n" + json.dumps(said))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python that is not the suite's own, as it was when this process first asked it."""

    path: str  # absolute; a link is not followed, for it is what makes an environment
    version: str  # "3.12.3"
    places: tuple[Path, ...]  # the files and folders that it is made of, packages included
    packages: Mapping[str, str] = field(default_factory=dict)  # importable name -> version

    def versions(self, names: Iterable[str]) -> dict[str, str]:
        """Its own version, and those of such of these packages as it has, by importable names."""
        wanted = {name: self.packages[name] for name in sorted(names) if name in self.packages}
        return {"python": self.version, **wanted}

    def absent(self, names: Iterable[str]) -> list[str]:
        """Those of these importable names that mean nothing there."""
        unknown = tuple(name for name in names if name not in self.packages)
        return [name for name in unknown if not _imports(self.path, name)]


@lru_cache(maxsize=64)
def _imports(path: str, name: str) -> bool:
    """Whether there is such a module: what is installed where it is edited is no distribution that names it."""
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    try:
        done = subprocess.run(
            [path, "-s", "-c", look, name], env=clean_environment(), cwd="/", capture_output=True, timeout=LIMIT,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ValueError(f"python {path}: it did not say within {LIMIT:.0f} s whether it has {name}") from error
    return done.returncode == 0


def clean_environment() -> dict[str, str]:
    """In which an interpreter is asked of itself."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}


@lru_cache(maxsize=16)
def interpreter(python: str) -> Interpreter:
    """What stands behind `python`, a path or a name on PATH. It is run once: it is trusted as what is installed is.

    Raises ValueError where there is none, where it is too old, or where it cannot import numpy.
    """
    path = _found(python)
    try:
        done = subprocess.run(
            [path, "-s", "-c", PROBE], capture_output=True, text=True, timeout=LIMIT, env=clean_environment(),
            cwd="/", check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        said = json.loads(done.stdout.strip().rpartition("\n")[2])
        version = tuple(int(part) for part in said["version"])
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"python {python}: it did not answer within {LIMIT:.0f} s") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"python {python}: it cannot be run as a Python; name the python of an environment") from error
    if version[:2] < OLDEST:
        raise ValueError(f"python {python}: it is Python {'.'.join(map(str, version))}, and methods need 3.10 or later")
    if said["fault"]:
        raise ValueError(
            f"python {python}: it cannot import numpy ({said['fault']}); install it there: {path} -m pip install numpy"
        )
    return Interpreter(
        path=path, version=".".join(map(str, version)), packages=said["packages"],
        places=tuple(_proper((path, *said["places"]))),
    )  # fmt: skip


def _proper(places: Iterable[str]) -> Iterator[Path]:
    """Whole paths without `..`; neither a person's home nor what holds it is what an interpreter is made of."""
    for place in map(Path, places):
        if place.is_absolute() and not holds_home(place):
            yield without_ways_up(place)


def holds_home(place: Path) -> bool:
    """Whether a folder is a person's home, or one above it, as `/` is."""
    return Path.home().resolve().is_relative_to(place.resolve())


def without_ways_up(path: Path) -> Path:
    """The same file or folder by a whole path without `..`; a link at its end is not followed."""
    path = path.expanduser().absolute()
    if ".." not in path.parts:
        return path
    return path.resolve() if path.name == ".." else path.parent.resolve() / path.name


def absolute(python: str) -> str:
    """The path of an interpreter, whether or not there is one."""
    return str(without_ways_up(Path(shutil.which(python) or python)))


def nameable(path: str) -> str:
    """The path, where it can stand in a method's options. Raises ValueError."""
    if set(path) & set(",[]"):
        raise ValueError(f"{path}: a path with a comma or a bracket cannot be named here; link to it by another name")
    return path


def _found(python: str) -> str:
    path = nameable(absolute(python))
    if Path(path).is_dir():
        raise ValueError(
            f"python {python}: it is a folder; name the interpreter in it, as {python.rstrip('/')}/bin/python"
        )
    if not Path(path).is_file():
        raise ValueError(f"python {python}: there is no such interpreter; name one, as /path/to/venv/bin/python")
    if not os.access(path, os.X_OK):
        raise ValueError(f"python {python}: it is no program that can be run; name one, as /path/to/venv/bin/python")
    return path
