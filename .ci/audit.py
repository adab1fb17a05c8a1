"""`make audit`: known vulnerabilities of the versions that constraints.txt pins, asked of OSV's API by pip-audit.

The exit code is 1 where a pinned version has an advisory. Where advisories
cannot be had, as behind a firewall, it says so and is 0: what is checked
elsewhere must not stop the work here. With AUDIT=required it is 1 then, too.
`OSV_URL` names another server of the API, a mirror say.
"""

import json
import os
import subprocess
import sys
import urllib.request
from http.client import HTTPException
from pathlib import Path

OSV_URL = os.environ.get("OSV_URL") or "https://api.osv.dev/v1/query"
PINS = Path(__file__).parents[1] / "constraints.txt"
ANSWER_WITHIN = 10  # seconds
KNOWN_BAD = {"package": {"name": "jinja2", "ecosystem": "PyPI"}, "version": "2.4.1"}
"""A server that has no advisory on this has none on anything."""


class Unasked(Exception):  # noqa: N818 - reads as what it says
    """Why nothing is known."""


def main() -> int:
    try:
        probe()
        bad = list(advisories())
    except Unasked as reason:
        sys.stdout.write(f"audit: {OSV_URL} cannot be asked ({reason}): NOTHING WAS AUDITED\n")
        return int(os.environ.get("AUDIT") == "required")
    sys.stdout.writelines(f"audit: {line}\n" for line in bad or ["no known vulnerability in what constraints.txt pins"])
    return int(bool(bad))


def probe() -> None:
    """Raises Unasked where the server does not answer as OSV does."""
    try:
        request = urllib.request.Request(OSV_URL, json.dumps(KNOWN_BAD).encode())
        with urllib.request.urlopen(request, timeout=ANSWER_WITHIN) as answer:
            found = json.load(answer)
    except (OSError, HTTPException, ValueError) as problem:
        raise Unasked(problem) from problem
    if not (isinstance(found, dict) and found.get("vulns")):
        raise Unasked("it knows of no advisory on jinja2 2.4.1, which has several")


def advisories() -> list[str]:
    """A line for each pinned version that has one. Raises Unasked where pip-audit did not come to its end."""
    words = f"-s osv --osv-url {OSV_URL} --progress-spinner off --format json --no-deps --disable-pip -r".split()
    command = [sys.executable, "-m", "pip_audit", *words, str(PINS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        said = done.stderr.strip().splitlines() or [f"pip-audit ended with code {done.returncode}"]
        raise Unasked(said[-1]) from None
    lines = []
    for each in audited:
        for found in each.get("vulns", ()):
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            lines.append(f"{each['name']} {each['version']}: {found['id']}, mended in {mended}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
