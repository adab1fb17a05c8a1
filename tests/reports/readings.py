"""How the tests read a suite: its cells, and what a verdict says of them."""

from synthetic_suite import write_cell

from reports.analysis import entries as cells
from reports.analysis import robustness
from reports.analysis.entries import read
from reports.analysis.findings import finding
from reports.analysis.scorebook import Scorebook
from reports.analysis.verdict import verdict


def entries_of(tmp_path, results):
    for result in results:
        write_cell(tmp_path, result, files=False)
    return read(tmp_path)


def told(entries):
    book = Scorebook(entries)
    return verdict(entries, book, robustness.curves(entries, book))


def sentences(entries):
    return ["".join(part.text for part in sentence) for sentence in told(entries).findings]


def said_of(entries, scene):
    question, held = next((q, e) for q, e in cells.by_question(entries).items() if q.scene == scene)
    return "".join(part.text for part in finding(question.title, held, Scorebook(entries)))
