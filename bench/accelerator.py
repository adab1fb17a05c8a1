"""A device that a method cannot run without, known before anything runs. Nothing but the standard library."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """The kind of device that a method cannot run without, and what must be installed to use it."""

    why: str  # what it is needed for, and what can be asked for instead: the reason of a skipped cell
    kind: str = "cuda"  # as in `--device cuda:1`
    packages: tuple[str, ...] = ()  # importable names, of the environment of the suite ...
    extra: str = ""  # ... and the extra of Unposed that brings them, if one does

    def lack(self, device: str) -> str | None:
        """What is missing to run on `device`, or None."""
        if device.partition(":")[0] != self.kind:
            return f"needs --device {self.kind}: {self.why}"
        return lack_of(self.packages, self.extra)


def lack_of(packages: tuple[str, ...], extra: str) -> str | None:
    """Which of these importable names are not installed, and the command that brings them; None where all are."""
    if not (absent := [name for name in packages if importlib.util.find_spec(name) is None]):
        return None
    how = f"pip install 'unposed[{extra}]'" if extra else f"pip install {' '.join(absent)}"
    return f"needs {' and '.join(absent)}, which {'is' if len(absent) == 1 else 'are'} not installed: {how}"
