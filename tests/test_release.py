"""What a release is made of agrees with itself."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_one_in_package_citation_and_changes():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert {PROJECT["version"], citation["version"], newest[1]} == {PROJECT["version"]}
    assert citation["license"] == PROJECT["license"]


def test_a_container_is_built_from_all_that_a_wheel_is_made_of():
    shown = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    rooms = {pattern.rstrip("*") for pattern in tools["packages"]["find"]["include"]}
    modules = {f"{name}.py" for name in tools["py-modules"]}
    assert shown == rooms | modules | {
        "pyproject.toml",
        "constraints.txt",
        PROJECT["readme"],
        *PROJECT["license-files"],
    }
