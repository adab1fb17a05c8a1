"""What a worker inherits: where it looks for programs."""

import os
import sys
from pathlib import Path

import pytest

from bench.runner.executors.environment import environment

BESIDE = str(Path(sys.executable).parent)


def test_programs_beside_the_interpreter_come_before_all_others(monkeypatch):
    """torch calls `ninja` by name, and `.venv/bin/unposed` is run without its environment being activated."""
    monkeypatch.setenv("PATH", os.pathsep.join(["/usr/local/bin", "/usr/bin"]))
    assert environment(1)["PATH"].split(os.pathsep) == [BESIDE, "/usr/local/bin", "/usr/bin"]
    other = environment(1, python="/elsewhere/bin/python")
    assert other["PATH"].split(os.pathsep) == ["/elsewhere/bin", "/usr/local/bin", "/usr/bin"]


@pytest.mark.parametrize("python", [None, "/elsewhere/bin/python"])
def test_without_a_path_there_is_no_empty_folder_in_it(python, monkeypatch):
    monkeypatch.delenv("PATH")
    assert environment(1, python=python)["PATH"] == str(Path(python or sys.executable).parent)
