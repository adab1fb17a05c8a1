"""A method that behaves as it is told: the real worker meets every way in which a method can end."""

import ctypes
import mmap
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from bench.task import Camera, Capture, Collapsed, Fit, Job, Pose, Rendering, Traits


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    behaviour: Literal[
        "answer", "partial", "nan", "poses_only", "collapse", "coincide", "raise", "strangers", "memory", "hang", "die",
        "die_once", "killed", "swell", "fork", "fill", "shm", "memfd", "deleted", "mapped",
        "stuck", "litter", "litter_log", "litter_field", "own_result", "own_facts", "steps_die_once", "unspeakable",
        "steps_hang_once", "die_after_outcome",
        "exit", "die_with_field", "steps", "slow_steps", "load_raises", "load_hangs", "wrong_size", "no_depth",
        "badly_registered", "full_gpu", "load_full_gpu",
        "sure", "sure_nan", "sure_true", "sure_vast", "sure_strangers", "sure_list",
    ] = "answer"  # fmt: skip
    seconds: float = 0.0


def _full_gpu() -> None:
    """What torch says of an H100 that has no more to give."""
    import torch

    raise torch.cuda.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which 1.06 GiB is "
        "free. Including non-PyTorch memory, this process has 78.04 GiB memory in use. Of the allocated memory 77.00 "
        "GiB is allocated by PyTorch, and 500.00 MiB is reserved by PyTorch but unallocated. If reserved but "
        "unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid "
        "fragmentation.  See documentation for Memory Management"
    )


def _die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _write(handle: int, megabytes: int) -> None:
    """At the pace of a disk, whatever the file is."""
    for _ in range(megabytes // 10):
        os.write(handle, bytes(10 * 2**20))
        time.sleep(0.01)
    os.close(handle)


def _map(megabytes: int) -> None:
    """A segment of shared memory that its process has mapped, every page of it."""
    with Path("/dev/shm/unposed-mapped").open("w+b") as file:
        file.truncate(megabytes * 2**20)
        held = mmap.mmap(file.fileno(), 0)
        Path(file.name).unlink()
        for at in range(0, len(held), 4096):
            held[at] = 1
        time.sleep(1.0)


class ConstantField:
    """The colour c, everywhere."""

    wrong = 0  # rows too many

    def __init__(self, colour: np.ndarray) -> None:
        self.colour = colour

    def render(self, poses: Pose, camera: Camera) -> Rendering:
        size = (len(poses), camera.height + self.wrong, camera.width)
        rgb = np.broadcast_to(self.colour.astype(np.float32), (*size, len(self.colour)))
        return Rendering(rgb=rgb, depth=np.ones(size, np.float32), opacity=np.ones(size, np.float32))


class Shallow(ConstantField):
    def render(self, poses: Pose, camera: Camera) -> Rendering:
        return replace(super().render(poses, camera), depth=None)


class BadlyRegistering(ConstantField):
    def register(self, images: np.ndarray, camera: Camera, seed: int) -> Pose:
        return np.zeros((len(images), 3, 4))


class Scripted:
    name = "scripted"
    version = "1"
    summary = "Does as it is told."
    Config = Config

    def __init__(self, config: Config) -> None:
        self.config = config
        self.traits = Traits(needs=frozenset({"start", "camera"}), silhouettes=True, seconds={"smoke": 1.0})

    def fit(self, capture: Capture, job: Job) -> Fit:
        poses = dict(capture.start)
        margins = {}
        mean = np.mean([image.mean(axis=(0, 1)) for image in capture.images.values()], axis=0) / 255
        match self.config.behaviour:
            case "partial":
                poses = dict(list(poses.items())[: len(poses) // 2])
            case "nan":
                mean = mean * np.nan
            case "poses_only":
                return Fit(poses=poses)
            case "collapse":
                raise Collapsed("told to")
            case "coincide":
                poses = dict.fromkeys(poses, np.eye(4))
            case "unspeakable":
                raise RuntimeError("told to, in letters that are none: \udcff")
            case "exit":
                raise SystemExit(0)
            case "raise":
                raise RuntimeError("told\nto")
            case "strangers":
                poses["v999"] = np.eye(4)
            case "memory":
                raise MemoryError
            case "full_gpu":
                _full_gpu()
            case "hang":
                time.sleep(3600)
            case "stuck":
                ctypes.PyDLL(None).sleep(3600)  # which keeps the interpreter's lock: no thread of Python's runs
            case "litter" | "litter_log":
                self._litter(Path.cwd().parent)
            case "die":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "die_once":
                if not (job.checkpoints / "died").exists():
                    (job.checkpoints / "died").touch()
                    os.kill(os.getpid(), signal.SIGSEGV)
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "swell":
                held = [bytearray(b"x" * 2**26) for _ in range(64)]  # 4 GB, all of it touched
                assert held
            case "fork":
                self._fork()
            case "fill":
                for k in range(600):  # 6 GB
                    Path(f"{k}").write_bytes(bytes(10 * 2**20))
                    time.sleep(0.05)
            case "shm":
                _write(os.open("/dev/shm/unposed-test", os.O_WRONLY | os.O_CREAT, 0o600), 1500)
            case "memfd":
                _write(os.memfd_create("unposed-test"), 1500)
            case "deleted":
                _write(os.open(".", os.O_RDWR | os.O_TMPFILE), 1500)
            case "mapped":
                _map(400)
            case "own_facts":  # and says of itself what only a runner can know
                self._steps(job, 0.01)
                notes = {"attempts": 99, "machine": "a better one", "phases": "none", "remark": "mine"}
                return Fit(poses=poses, notes=notes)
            case "steps":
                self._steps(job, 0.05)
            case "steps_die_once":
                self._steps(job, 0.05, dies_at=6)
            case "steps_hang_once":
                self._steps(job, 0.05, hangs_at=6)
            case "slow_steps":
                self._steps(job, 0.5)
            case "sure":  # of all views but the first, which it leaves out, and the second
                margins = {view: 4.0 + k for k, view in enumerate(poses)}
                margins |= {list(poses)[1]: -0.5}
                del margins[next(iter(poses))]
            case "sure_nan":
                margins = {next(iter(poses)): float("nan")}
            case "sure_true":
                margins = {next(iter(poses)): True}
            case "sure_vast":
                margins = {next(iter(poses)): 10**400}
            case "sure_strangers":
                margins = {"v999": 1.0}
            case "sure_list":
                margins = [1.0]
        time.sleep(self.config.seconds)
        job.log(1, {"loss": 0.5, "psnr": float("nan")}, {"mean": np.full((4, 4, 3), 99, np.uint8)})
        if self.config.behaviour == "badly_registered":
            return Fit(poses=poses, field=BadlyRegistering(mean))
        return Fit(poses=poses, field=ConstantField(mean), notes={"behaviour": self.config.behaviour}, margins=margins)

    def _fork(self) -> None:
        """Three children that have 400 MB in common with their parent, and nothing else."""
        held = b"x" * (400 * 2**20)
        children = []
        for _ in range(3):
            if child := os.fork():
                children.append(child)
            else:
                time.sleep(3)
                os._exit(len(held) % 2)
        for child in children:
            os.waitpid(child, 0)

    def _litter(self, out: Path) -> None:
        """Files that a judge would like to find, and what makes him wait, or leads him elsewhere."""
        claimed = '{"status": "done", "reason": null, "metrics": {"pose/rotation_deg_median": 0.0}}'
        for name in ("result.json", "outcome.json", "request.json", "seed0/result.json", "fit/outcome.json"):
            (out / name).parent.mkdir(exist_ok=True)
            (out / name).write_text(claimed)
        (out / "cameras.json").symlink_to("/etc/hostname")
        (out / "renders").symlink_to("/etc")
        (out / "running.json").symlink_to("running.json")
        os.mkfifo(out / "stderr.txt")
        (out / "progress.json").unlink(missing_ok=True)
        os.mkfifo(out / "progress.json")
        if self.config.behaviour == "litter_log":
            (out / "log.jsonl").unlink()
            os.mkfifo(out / "log.jsonl")

    def _steps(self, job: Job, seconds: float, *, dies_at: int | None = None, hangs_at: int | None = None) -> None:
        """Ten steps, each kept: a fit that was killed goes on where it was."""
        path = job.checkpoints / "step"
        done = int(path.read_text()) if path.exists() else 0
        for step in range(done, 10):
            if step == dies_at and not done:
                os.kill(os.getpid(), signal.SIGKILL)
            if step == hangs_at and not done:
                time.sleep(3600)
            job.progress("stepping", step, 10)
            time.sleep(seconds)
            job.log(step, {"loss": 1.0 / (1 + step)})
            draft = path.with_suffix(".tmp")
            draft.write_text(str(step + 1))
            draft.replace(path)

    def save(self, fit: Fit, folder: Path) -> None:
        died = folder.parent / "work" / "died"
        if self.config.behaviour == "die_with_field" and not died.exists():
            from bench.runner.worker import memory

            died.touch()
            memory.used = _die  # the field is saved by then, and nothing is said yet
        if self.config.behaviour == "die_after_outcome":
            os._exit = _die
        np.save(folder / "colour.npy", fit.field.colour)
        if self.config.behaviour == "own_result":  # as a program does that keeps its own figures
            for place in (folder, folder / "seed0"):
                place.mkdir(exist_ok=True)
                (place / "result.json").write_text('{"psnr": 99.0}')
        if self.config.behaviour == "litter_field":
            (folder / "poses.json").symlink_to("/etc/hostname")
            os.mkfifo(folder / "pipe")

    def load(self, folder: Path, device: str) -> ConstantField | None:
        path = folder / "colour.npy"
        match self.config.behaviour:
            case "load_raises":
                raise RuntimeError("told\nto")
            case "load_full_gpu":
                _full_gpu()
            case "load_hangs":
                time.sleep(3600)
            case "wrong_size":
                ConstantField.wrong = 1
            case "no_depth":
                return Shallow(np.load(path))
            case "badly_registered":
                return BadlyRegistering(np.load(path))
        return ConstantField(np.load(path)) if path.exists() else None
