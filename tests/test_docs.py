"""What the pages say is so: code that runs, commands that parse, names that exist, links that lead somewhere."""

import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import asdict
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image

from bench.cli import main
from bench.judge import protocol
from datasets.card import Card
from datasets.loaders.layouts import LAYOUTS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("methods/*/README.md"))]


def blocks(page, language):
    """The fenced code blocks of a page."""
    return re.findall(rf"^```{language}\b.*?\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_method_in_thirty_lines_is_one_and_passes_the_contract(tmp_path):
    code = blocks(DOCS / "method.md", "python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    (tmp_path / "unrefined.py").write_text(code)
    ended = CliRunner().invoke(main, ["check", str(tmp_path / "unrefined.py")])
    assert ended.exit_code == 0, ended.output
    assert "its colours carry gradients to the rays" in ended.output


def test_the_card_of_ones_own_photographs_is_a_card():
    card = Card.model_validate(tomllib.loads(blocks(DOCS / "photographs.md", "toml")[0]))
    assert card.prior is not None


def test_every_layout_is_named_where_ones_own_photographs_are():
    page = (DOCS / "photographs.md").read_text()
    assert [layout.name for layout in LAYOUTS if f"`{layout.name}`" not in page] == []


def commands():
    for page in TEXTS:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip().startswith("unposed "):
                    yield pytest.param(line, id=f"{page.relative_to(ROOT)}:{line.strip()[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_every_command_of_the_pages_is_one(line, monkeypatch, tmp_path):
    """Its verb and its options are known, and its values are of the right kind; nothing is run."""
    monkeypatch.setenv("UNPOSED_DATA", "")
    monkeypatch.chdir(tmp_path)
    Path("paper.toml").write_text('scenes = ["blocks"]\n')
    words = shlex.split(line, comments=True)[1:]
    command, context = main, click.Context(main)
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"unposed has no {words[0]}"
        command, words = found, words[1:]
    command.make_context("unposed", words)


def names_in(file):
    """Functions, classes and methods (`Class.method`) that a file defines."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef))


def answers():
    table = (DOCS / "map.md").read_text().partition("## Rooms")[0]
    return re.findall(r"^\| ([^|`]+) \| `([^`]+)`[^|]* \| `([^`]+)` \|$", table, flags=re.MULTILINE)


def test_the_map_has_ten_answers_or_more():
    assert len(answers()) >= 10


@pytest.mark.parametrize(("where", "file", "name"), answers())
def test_what_the_map_names_is_there(where, file, name):
    assert name in names_in(ROOT / file), f"{where}: {file} defines no {name}"


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_and_links_lead_somewhere(page):
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []
    rooms = re.findall(r"`((?:bench|methods|datasets|reports|tests)/[\w./]*)`", text)
    places = (ROOT, ROOT / "tests")  # a page of tests names them from there
    assert [path for path in rooms if not any((place / path).exists() for place in places)] == []


def test_the_pages_build_without_a_warning(tmp_path):
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None:
        pytest.skip("needs mkdocs: pip install -c constraints.txt -e '.[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "api" / "task.html").read_text()
    assert "OpenCV axes" in page
    fetched = [
        tag for tag in re.findall(r"<(?:script|link|img)\b[^>]*>", page) if re.search(r'(?:src|href)="http', tag)
    ]
    assert not [tag for tag in fetched if 'rel="canonical"' not in tag]


def test_the_notebook_runs(tmp_path):
    if importlib.util.find_spec("nbclient") is None or importlib.util.find_spec("ipykernel") is None:
        pytest.skip("needs nbclient and ipykernel: pip install -c constraints.txt -e '.[dev]'")
    program = (
        "import sys, nbformat; from nbclient import NotebookClient\n"
        "book = nbformat.read(sys.argv[1], as_version=4)\n"
        "NotebookClient(book, timeout=None, kernel_name='python3', resources={'metadata': {'path': '.'}}).execute()\n"
        "print(*(bool(cell.outputs) for cell in book.cells if cell.cell_type == 'code'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(DOCS / "notebook.ipynb")], capture_output=True, text=True, check=False,
        cwd=tmp_path, env=os.environ | {"UNPOSED_DATA": "", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == {"True"}  # every cell shows something


def test_the_specification_has_the_protocols_id_and_constants():
    page = (DOCS / "protocol.md").read_text()
    assert page.startswith(f"# The protocol: {protocol.ID}\n")
    said = dict(re.findall(r"^\| `([\w.]+)` \| ([\d.e-]+) \|", page.partition("## Constants")[2], flags=re.MULTILINE))
    fixed = asdict(protocol.CONSTANTS)
    fixed |= {f"alignment.{name}": value for name, value in fixed.pop("alignment").items() if name != "seed"}
    numbers = {name: value for name, value in fixed.items() if isinstance(value, int | float)}
    assert {name: float(value) for name, value in said.items()} == pytest.approx(numbers, rel=1e-3)


def test_the_readme_is_short_and_shows_a_report():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 120
    (picture,) = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    with Image.open(ROOT / picture) as image:
        assert image.width >= 1000
    assert (ROOT / picture).stat().st_size < 150_000
