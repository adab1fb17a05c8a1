"""A method that is given images only and goes looking for the truth by every way that was ever found.

`python burglar.py ROUTE FOLDER` tries one from a plain process, where nothing stands in the way.
"""

import contextlib
import ctypes
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

import bench
from bench.task import Camera, Capture, Collapsed, Fit, Job, Pose, Rendering, Traits

TREE = Path(bench.__file__).parents[1]
LOOK = "from bench.matrix.registry import find_scene; print(len(find_scene('blocks', ()).load(64).truth.poses))"


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    route: Literal[
        "neighbour", "import", "alias", "location", "child", "cache", "memory", "images", "link", "survive",
        "patricide", "lock",
    ] = "neighbour"  # fmt: skip
    target: str = ""  # "link": what to have the judge read; "survive": a word on the survivor's command line


def neighbour(folder: Path) -> str:
    """The cameras and pictures that a judge left beside the cell."""
    for place in list(folder.parents)[:8]:
        if len(place.parts) < 3:
            break
        for around, _, names in os.walk(place):  # which steps over what goes away meanwhile, other tests' folders
            for name in names:
                if name == "cameras.json" or (name.endswith(".png") and Path(around).name == "truth"):
                    return str(Path(around, name))
    return ""


def imported(folder: Path) -> str:
    sys.meta_path[:] = [finder for finder in sys.meta_path if "NoTruth" not in type(finder).__name__]
    sys.path.append(str(TREE))
    from datasets import procedural

    return str(procedural)


def alias(folder: Path) -> str:
    """The package under another name, its modules with it."""
    spec = importlib.util.spec_from_file_location(
        "innocent", TREE / "datasets" / "__init__.py", submodule_search_locations=[str(TREE / "datasets")]
    )
    module = sys.modules["innocent"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(importlib.import_module("innocent.procedural"))


def location(folder: Path) -> str:
    return next((TREE / "datasets").rglob("procedural*")).name


def child(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", LOOK], cwd="/", capture_output=True, text=True, check=False)
    return done.stdout


def cache(folder: Path) -> str:
    """The cache of scenes, by what an ancestor's environment says of it."""
    for place in ancestors():
        text = (place / "environ").read_bytes().decode(errors="replace")
        for found in re.findall("UNPOSED_CACHE=([^\0]*)", text):
            for path in Path(found).rglob("*.npz"):
                return str(path)
    return ""


def memory(folder: Path) -> str:
    """True poses in a row in an ancestor's memory: (4, 4) float64, each ending in 0 0 0 1."""
    last = np.array([0, 0, 0, 1.0]).tobytes()
    for place in ancestors():
        maps = (place / "maps").read_text()
        with (place / "mem").open("rb", buffering=0) as file:
            for low, high in re.findall(r"^(\w+)-(\w+) rw", maps, re.MULTILINE):
                if _has_poses(file, int(low, 16), int(high, 16), last):
                    return place.name
    return ""


def ancestors() -> Iterator[Path]:
    """What /proc has of the parent, and of the judge above it; not of whoever started that."""
    pid = os.getppid()
    for _ in range(3):
        place = Path("/proc", str(pid))
        if pid <= 1 or b"pytest" in (place / "cmdline").read_bytes().split(b"\0"):
            return
        yield place
        pid = int((place / "stat").read_text().rpartition(")")[2].split()[1])


def _has_poses(file, low: int, high: int, last: bytes) -> bool:
    try:
        file.seek(low)
        data = file.read(min(high - low, 1 << 27))
    except (OSError, ValueError, OverflowError):
        return False
    at = data.find(last)
    while at >= 0:
        if all(data[at + 128 * k : at + 128 * k + 32] == last for k in range(25)):
            poses = np.frombuffer(data[max(at - 96, 0) :][: 128 * 25]).reshape(25, 4, 4)
            turns = poses[:, :3, :3]
            if np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-6) and np.ptp(poses[:, 0, 3]) > 0:
                return True
        at = data.find(last, at + 8)
    return False


ROUTES = {
    "neighbour": neighbour, "import": imported, "alias": alias, "location": location, "child": child, "cache": cache,
    "memory": memory,
}  # fmt: skip


class Stolen:
    """A field that shows the held-out images themselves, where it finds them."""

    def __init__(self, images: np.ndarray | None) -> None:
        self.images = images

    def render(self, poses: Pose, camera: Camera) -> Rendering:
        size = (len(poses), camera.height, camera.width)
        found = _in_memory(size) if self.images is None else self.images
        rgb = np.zeros((*size, 3), np.float32) if found is None else (found / 255).astype(np.float32)
        return Rendering(rgb=rgb, depth=np.ones(size, np.float32), opacity=np.ones(size, np.float32))

    def render_rays(self, origins, directions):
        return 0.5 + 0 * (origins + directions)

    def register(self, images, camera: Camera, seed: int) -> Pose:
        """Whatever poses lie about in this process."""
        frame = sys._getframe()
        while frame := frame.f_back:
            for value in list(frame.f_locals.values()):
                for held in value.values() if isinstance(value, dict) else [value]:
                    if isinstance(held, np.ndarray) and held.shape == (len(images), 4, 4):
                        return held
        return np.tile(np.eye(4), (len(images), 1, 1))


def _in_memory(size: tuple[int, ...]) -> np.ndarray | None:
    import gc

    for held in gc.get_objects():
        for value in held.values() if isinstance(held, dict) else [held]:
            if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.shape == (*size, 3):
                return value
    return None


class Burglar:
    name = "burglar"
    version = "1"
    summary = "Goes looking for the truth."
    Config = Config

    def __init__(self, config: Config) -> None:
        self.config = config
        own = config.route in ("images", "link", "survive", "lock")  # these need poses to come as far as the judge
        self.traits = Traits(needs=frozenset({"start", "camera"} if own else set()))

    def fit(self, capture: Capture, job: Job) -> Fit:
        match self.config.route:
            case "images":
                return Fit(poses=dict(capture.start), field=Stolen(None))
            case "link":
                return self._link(capture, job)
            case "survive":
                sleeper = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
                command = [sys.executable, "-S", "-c", sleeper, self.config.target]
                subprocess.run(command, start_new_session=True, check=True)
                return Fit(poses=dict(capture.start))
            case "patricide":
                sleeper = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
                command = [sys.executable, "-S", "-c", sleeper, self.config.target]
                subprocess.run(command, start_new_session=True, check=True)
                with contextlib.suppress(PermissionError):  # Landlock may refuse it
                    os.kill(os.getppid(), signal.SIGKILL)
                return Fit(poses=dict(capture.start))
            case "lock":
                (job.workdir / "held").touch()
                ctypes.PyDLL(None).sleep(600)  # with the interpreter's lock
        try:
            found = ROUTES[self.config.route](job.workdir)
        except Exception as error:
            raise Collapsed(f"nothing: {type(error).__name__}") from error
        if not found:
            raise Collapsed("nothing")
        raise RuntimeError(f"found {found}")

    def _link(self, capture: Capture, job: Job) -> Fit:
        """Have the judge follow a link to another's answer."""
        from bench.runner import worker_io

        def linked(folder: Path, fit: Fit) -> None:
            (folder / "poses.json").symlink_to(self.config.target)

        worker_io.write_fit = linked
        return Fit(poses=dict(capture.start))

    def save(self, fit: Fit, folder: Path) -> None:
        (folder / "nothing.json").write_text(json.dumps({}))

    def load(self, folder: Path, device: str) -> Stolen:
        for place in (folder, *list(folder.parents)[:4]):
            for path in place.glob("**/*.npz") if len(place.parts) > 2 else place.glob("*/*/*.npz"):
                with np.load(path) as arrays:
                    if "images" in arrays.files and "aligned" in arrays.files and not (place / "in").exists():
                        return Stolen(arrays["images"])
        return Stolen(None)


if __name__ == "__main__":
    sys.stdout.write(ROUTES[sys.argv[1]](Path(sys.argv[2])))
