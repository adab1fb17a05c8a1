"""The devices that cells run on: what `--device` asks for, made out once, and dealt to the cells as these begin.

    auto             the default: what the suite's results are of; of a new one, the first GPU where one computes what
                     the CPU does, else the CPU
    cpu
    cuda, cuda:1     one GPU, by torch's name
    all              every GPU that is visible
    cuda:0,cuda:1    these GPUs

What a fit depends on is the kind of its device, so that several are of one kind.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from bench.record import kinds_of_suite

CPU, CUDA, AUTO, ALL = "cpu", "cuda", "auto", "all"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Devices:
    """One or more devices of one kind by torch's names, and how a person asked for them."""

    names: tuple[str, ...] = (CPU,)
    asked: str = CPU
    remark: str = ""  # why these, or what they compute with
    is_suites: bool = False  # `auto`, and the results of the suite are of this kind

    @staticmethod
    def of(asked: str | None, suite: Path | None = None) -> Devices:
        """What these words mean; `auto`, for what there is in the suite already, which is what None is, too: then it is
        not worth a word that a machine without a GPU has none. `auto`, for a new suite, and `all` look at this machine;
        whether any other device is here is for `check` to say, for a plan may be made elsewhere. Raises ValueError."""
        if asked is None or asked == AUTO:
            chosen = _chosen(suite)
            is_news = asked == AUTO or may_have_gpu() or chosen.kind == CUDA
            return chosen if is_news else replace(chosen, remark="")
        if asked == ALL:
            if not (count := visible()):
                raise ValueError(f"--device {ALL}: {_seen(0)}; {_HELP}")
            return Devices(tuple(f"{CUDA}:{k}" for k in range(count)), asked)
        names = tuple(name.strip() for name in asked.split(","))
        if len(names) == 1:
            return Devices(names, asked)
        for name in names:
            if _kind(name) != CUDA:
                raise ValueError(f"--device {asked}: a list names GPUs alone, as cuda:0,cuda:1, and {name!r} is none")
        names = tuple(f"{CUDA}:0" if name == CUDA else name for name in names)
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(f"--device {asked}: {twice[0]} is named twice; --workers says how many cells each has")
        return Devices(names, asked)

    @property
    def first(self) -> str:
        return self.names[0]

    @property
    def kind(self) -> str:
        """`cpu`, `cuda`: all of a device that a fit depends on."""
        return _kind(self.first)

    @staticmethod
    def of_fits(asked: str | None, suite: Path) -> Devices:
        """For what shows fits that there are: unless somebody says, a GPU where most of them are of one and
        one is here, else the CPU. Raises ValueError as `of` does."""
        if asked is not None:
            return Devices.of(asked)
        kinds = kinds_of_suite(suite)
        return Devices((CUDA if kinds[CUDA] > kinds[CPU] and visible() else CPU,), AUTO)

    def check(self) -> None:
        """Raises ValueError where torch has not each of them here."""
        if self.is_suites and self.kind == CUDA and not visible():
            raise ValueError(f"--device {AUTO}: {_SUITES}, and {_seen(0)}; {_AGAIN}")
        for name in self.names:
            _check(name, self.asked)

    def opening(self, each: int = 1, *, cards: bool = True) -> str:
        """The first line of a run, with the GPUs' own names; empty where there is nothing to say of the CPU. `each` is
        how many cells a device has at once."""
        if self.asked == CPU or (self.names == (CPU,) and not self.remark):
            return ""
        if self.names == (CPU,):
            return f"--device {self.asked}: on the CPU{self.remark}"
        told = [f"{name} ({card})" if cards and (card := card_of(name)) else name for name in self.names]
        at_once = f", {each} cells at once on each" if each > 1 and len(told) > 1 else ""
        return f"--device {self.asked}: on {', '.join(told)}{at_once}{self.remark}"

    def tried(self, step_on: Callable[[str], Mapping[str, Any] | str]) -> Devices:
        """The same once each GPU has taken a step (see bench.runner.device_steps.step_on), before any cell is given to
        it: where one that nobody asked for by its name takes none, the CPU, unless the suite's results are of a GPU.
        Raises ValueError where another does."""
        if self.kind != CUDA:
            return self
        slow = []
        for name in self.names:
            said = step_on(name)
            if isinstance(said, str):
                if self.is_suites:
                    raise ValueError(f"--device {AUTO}: {_SUITES}, and {name} took no step: {said}; {_AGAIN}")
                if self.asked == AUTO:
                    return Devices((CPU,), AUTO, f", for {name} took no step: {said}; `unposed doctor` says more")
                raise ValueError(f"--device {self.asked}: {name} took no step: {said}; {_HELP}")
            if "instead" in said:
                slow.append(f"; {name} computes by plain torch, which is slow: {said['instead']}")
        return replace(self, remark=self.remark + "".join(slow))


CPU_ALONE = Devices()


class Slots:
    """Devices, dealt to whoever begins: each has the one with the fewest at work, of equals the first."""

    def __init__(self, names: Sequence[str]) -> None:
        self._at_work = dict.fromkeys(names, 0)
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def one(self) -> Iterator[str]:
        with self._lock:
            name = min(self._at_work, key=lambda each: self._at_work[each])
            self._at_work[name] += 1
        try:
            yield name
        finally:
            with self._lock:
                self._at_work[name] -= 1

    def deal(self, work: Callable[[T, str], R], what: T) -> R:
        """`work(what, device)`."""
        with self.one() as name:
            return work(what, name)


def one_device(asked: str | None, suite: Path) -> Devices:
    """For what works on the fits of a suite, on one device, which must be here: see Devices.of_fits. Raises
    ValueError."""
    if asked is not None and (asked == ALL or "," in asked):
        raise ValueError(f"--device {asked}: this works on one device: write auto, cpu, cuda or cuda:1")
    devices = Devices.of_fits(asked, suite)
    devices.check()
    return devices


def _chosen(suite: Path | None) -> Devices:
    """What `auto` is: a fit of another kind of device would be fitted again, so that a suite stays on its own."""
    kinds = Counter[str]() if suite is None else kinds_of_suite(suite)
    if kinds:
        kind, count = (CUDA, kinds[CUDA]) if kinds[CUDA] > kinds[CPU] else (CPU, kinds[CPU])
        those = "its results" if len(kinds) == 1 else f"{count} of its {kinds.total()} results"
        said = f", as {those} so far" if len(kinds) > 1 or kind == CPU else ""
        if kind == CPU and not may_have_gpu():
            said = f", for {_seen(0)}"
        return Devices((kind,), AUTO, said, is_suites=True)
    return Devices((CUDA,), AUTO) if visible() else Devices((CPU,), AUTO, f", for {_seen(0)}")


_SUITES = "the suite's results are of a GPU"
_AGAIN = "--device cpu fits every cell again, on the CPU"


def may_have_gpu() -> bool:
    """Whether there is a GPU's driver: whoever has none is spared the seconds that torch takes to say so."""
    if Path("/dev/kfd").exists():  # AMD's, which torch calls CUDA, too
        return True
    try:
        ctypes.CDLL({"linux": "libcuda.so.1", "win32": "nvcuda.dll"}[sys.platform])
    except (OSError, KeyError):
        return False
    return True


def visible() -> int:
    """How many GPUs torch sees here: CUDA_VISIBLE_DEVICES may hide some."""
    if not may_have_gpu():
        return 0
    import torch  # takes seconds

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def card_of(name: str) -> str:
    """A GPU's own name; empty for what is no GPU, or is not here."""
    if _kind(name) != CUDA:
        return ""
    import torch

    index = int(name.partition(":")[2] or 0)
    return torch.cuda.get_device_name(index) if index < visible() else ""


_HELP = "`unposed doctor` says more, --device cpu runs without"


def _kind(name: str) -> str:
    return name.partition(":")[0]


def _seen(count: int) -> str:
    """What torch sees here, and what hides the others."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    why = "" if hidden is None else f" (CUDA_VISIBLE_DEVICES is {hidden!r})"
    return f"torch sees {count or 'no'} CUDA device{'s' if count > 1 else ''} here{why}"


def _check(name: str, asked: str) -> None:
    if name == CPU:
        return
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ValueError(
            f"--device {asked}: torch knows no such device{_which(name, asked)}; write cpu, cuda, cuda:1, auto or all"
        ) from error
    if device.type == CUDA:
        if (device.index or 0) >= (found := visible()):
            raise ValueError(f"--device {asked}: {_seen(found)}{_which(name, asked) if found else ''}; {_HELP}")
    elif device.type != CPU:
        try:
            torch.zeros(1, device=device)
        except (RuntimeError, NotImplementedError, AssertionError) as error:
            raise ValueError(f"--device {asked}: torch cannot use it here; --device cpu runs without") from error


def _which(name: str, asked: str) -> str:
    return "" if name == asked else f", and no {name}"
