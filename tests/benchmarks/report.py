"""What the report of a large suite costs: `python tests/benchmarks/report.py [CELLS]`, on a machine that is idle.

A synthetic suite is made in a temporary folder (tests/reports/large_suite.py says of what), and `unposed report` run on
it: seconds, the peak of memory of all its processes together, each counted for its share of what they have in common,
looked at twice a second, and disk.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from overhead import line, used

from bench.runner.executors.memory import tree_memory_mb, written_mb

LOOK_S = 0.5
MAKER = Path(__file__).parents[1] / "reports" / "large_suite.py"


def peak_mb(process: subprocess.Popen) -> float:
    """Waits for its end. Raises CalledProcessError where it fails."""
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, tree_memory_mb(os.getpid(), apart=1))
        try:
            process.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            continue
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return peak


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite"
        subprocess.run([sys.executable, str(MAKER), str(suite), str(count)], check=True)
        began = used()
        verb = [sys.executable, "-m", "bench.cli", "report", "-o", str(suite)]
        with subprocess.Popen(verb, stdout=subprocess.DEVNULL) as process:
            memory = peak_mb(process)
        spent = [after - before for after, before in zip(used(), began, strict=True)]
        sys.stdout.write(line(f"unposed report, {count:,} cells", [(spent[0], spent[1])]))
        disk = written_mb([suite / "report"])
        sys.stdout.write(f"{memory:.0f} MB of memory at its peak, {disk:.0f} MB of disk\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
