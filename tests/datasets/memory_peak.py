"""What a test takes of memory at its peak, whatever the tests before it in the same process have taken."""

from pathlib import Path

SELF = Path("/proc/self")


def begin() -> int:
    """Forget the peak so far (proc(5), clear_refs); returns what is held now, bytes."""
    (SELF / "clear_refs").write_text("5")
    return _field("VmRSS")


def peak() -> int:
    """The most that was held since `begin`, bytes."""
    return _field("VmHWM")


def _field(name: str) -> int:
    line = next(line for line in (SELF / "status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
