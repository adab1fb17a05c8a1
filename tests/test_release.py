"""What a release is made of agrees with itself."""

import json
import os
import re
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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


def pins(lines: list[str]) -> dict[str, str]:
    """Versions by canonical name, of lines like `name==version`; a local part such as `+cpu` is left out."""
    found = [re.match(r"([A-Za-z0-9._-]+)==([^+\s;]+)", line) for line in lines]
    return {canonicalize_name(pin[1]): pin[2] for pin in found if pin}


PINNED = pins((ROOT / "constraints.txt").read_text().splitlines())


def test_ci_installs_what_is_pinned_each_file_by_its_hash():
    entries = re.split(r"\n(?=\S)", (ROOT / ".ci" / "requirements.txt").read_text().strip())
    locked = pins(entries)
    assert len(locked) == len(entries)
    assert [entry.split()[0] for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}", entry)] == []
    assert {name: version for name, version in locked.items() if PINNED.get(name) != version} == {}
    extras = PROJECT["optional-dependencies"]
    asked = [*PROJECT["dependencies"], *extras["dev"], *extras["docs"], *extras["features"]]
    assert {canonicalize_name(Requirement(text).name) for text in asked} - locked.keys() == set()


@pytest.fixture
def advisories():
    """A server of OSV's API that knows one bad version, that of `click` here; its address."""

    class Advisories(BaseHTTPRequestHandler):
        def do_POST(self):
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bad = query["package"]["name"] == "click" and query["version"] == PINNED["click"]
            body = json.dumps({"vulns": [ADVISORY]} if bad else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()


ADVISORY = {
    "id": "PYSEC-0000-1",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "summary": "made up",
    "affected": [{"package": {"name": "click", "ecosystem": "PyPI"}, "ranges": []}],
}


def audit(url: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / ".ci" / "audit.py"]
    environment = {**os.environ, "OSV_URL": url, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_an_advisory_on_a_pinned_version_fails_the_audit_by_name(advisories):
    told = audit(advisories)
    assert told.returncode == 1, told.stdout + told.stderr
    assert re.search(r"^click +\S+ +PYSEC-0000-1", told.stdout, re.MULTILINE)
    assert "Found 1 known vulnerability in 1 package" in told.stderr


def test_an_audit_that_cannot_ask_says_that_nothing_was_audited_and_stops_nobody():
    told = audit("http://127.0.0.1:9/v1/query")
    assert told.returncode == 0 and told.stderr == ""
    assert "127.0.0.1:9/v1/query cannot be asked" in told.stdout and told.stdout.endswith("NOTHING WAS AUDITED\n")
