"""Whether a run reproduces the reference: within its ranges, in a sentence for each column, and by the exit code."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

import bench.reference as reference
import bench.reference.__main__ as command
from bench.cell import Cell
from bench.cli.app import main
from bench.record import ROTATION, Result, write_result
from bench.reference.merge import merged, written

PSNR = "nvs/aligned/psnr"


def cell(seed=0, rotation=0.10, psnr=30.0, method="m", status="done", protocol="posefree/2"):
    asked = Cell(scene="blocks", degradation="clean", method=method, seed=seed, effort="quick")
    return Result(
        cell=asked, config={}, status=status, protocol=protocol, metrics={ROTATION: rotation, PSNR: psnr},
        fingerprints={"fit": "0" * 64, "judgement": "1" * 64},
        provenance={"git": "0123abcd", "device": "cpu", "threads": 2, "processor": "x 2"},
    )  # fmt: skip


def as_rows(results):
    return [{key: str(value) for key, value in row.items()} for row in reference.rows_of(results)]


BEFORE = as_rows([cell(0, 0.10, 30.0), cell(1, 0.16, 31.0), cell(2, 0.12, 30.5)])


@pytest.mark.parametrize(
    ("rotation", "psnr", "reproduced"),
    [
        (0.10, 30.0, {ROTATION: True, PSNR: True}),
        (0.22, 29.0, {ROTATION: True, PSNR: True}),  # within the range and its width once more: 0.04 to 0.22, 29 to 32
        (0.23, 28.9, {ROTATION: False, PSNR: False}),
        (0.03, 32.1, {ROTATION: False, PSNR: False}),
    ],
)
def test_the_median_of_a_run_lies_within_the_range_widened_by_itself(rotation, psnr, reproduced):
    held, said = reference.reproduce([cell(5, rotation, psnr)], BEFORE)
    assert {each.column: each.reproduced for each in held} == reproduced | {reference.SOLVED: True}
    assert [(each.n, each.reference_n) for each in held] == [(1, 3), (1, 3), (1, 3)]
    assert said == []


def test_one_seed_of_a_reference_has_the_floor_for_a_range():
    (rotation, *_), _ = reference.reproduce([cell(rotation=0.119)], BEFORE[:1])
    assert rotation.reproduced
    (rotation, *_), _ = reference.reproduce([cell(rotation=0.121)], BEFORE[:1])
    assert not rotation.reproduced
    assert "WORSE" in str(rotation)
    (rotation, *_), _ = reference.reproduce([cell(rotation=0.01)], BEFORE[:1])
    assert ": better" in str(rotation)


def test_what_cannot_be_compared_is_said_and_a_seed_that_fails_is_a_move():
    other = replace(cell(method="new"))
    timeout = replace(cell(1, status="timeout"), metrics={})
    held, said = reference.reproduce([other, cell(0), timeout], BEFORE)
    assert {each.asked.method for each in held} == {"m"}
    assert said == ["blocks/clean/new at quick: not in the reference"]
    assert [(each.column, each.found) for each in held if not each.reproduced] == [(reference.SOLVED, 0.5)]
    assert "solved 0.500 (n = 2): WORSE, [1.000, 1.000], n = 3" in str(held[-1])


def test_a_collapse_reproduces_nothing_of_what_the_reference_has_numbers_of():
    fallen = replace(cell(0, status="collapsed"), metrics={})
    held, _ = reference.reproduce([fallen], BEFORE)
    assert [(each.column, each.found, each.reproduced) for each in held] == [
        (ROTATION, None, False), (PSNR, None, False), (reference.SOLVED, 0.0, False),
    ]  # fmt: skip
    assert "no number, where the reference has [0.100, 0.160], n = 3" in str(held[0])


def test_what_the_reference_solves_in_part_is_reproduced_by_as_much_and_by_more():
    partly = as_rows([cell(0), replace(cell(1, status="collapsed"), metrics={})])
    for results, reproduced in (([cell(0)], True), ([replace(cell(0, status="failed"), metrics={})], False)):
        held, _ = reference.reproduce(results, partly)
        assert held[-1].column == reference.SOLVED and held[-1].reproduced == reproduced


def test_a_column_that_the_run_lacks_has_moved():
    unrefined = as_rows([replace(cell(), metrics={**cell().metrics, "nvs/refined/psnr": 30.0})])
    held, _ = reference.reproduce([cell()], unrefined)
    assert [each.column for each in held if not each.reproduced] == ["nvs/refined/psnr"]


def test_the_exit_code_says_whether_all_was_reproduced(tmp_path, monkeypatch):
    file = tmp_path / "cells.csv"
    with file.open("w", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(BEFORE[0]))
        writer.writeheader()
        writer.writerows(BEFORE)
    monkeypatch.setattr(reference.read, "__defaults__", (file,))
    fallen = replace(cell(status="collapsed"), metrics={})
    for name, result in (("same", cell(rotation=0.11)), ("moved", cell(rotation=0.9)), ("fallen", fallen)):
        (tmp_path / name / result.cell.folder).mkdir(parents=True)
        write_result(tmp_path / name / result.cell.folder, result)
    same = CliRunner().invoke(main, ["compare", str(tmp_path / "same"), "reference"])
    assert (same.exit_code, same.output.splitlines()[-1]) == (0, "3 of 3 columns as the reference")
    moved = CliRunner().invoke(main, ["compare", str(tmp_path / "moved"), "reference"])
    assert (moved.exit_code, moved.output.splitlines()[-1]) == (1, "2 of 3 columns as the reference, 1 moved")
    fallen = CliRunner().invoke(main, ["compare", str(tmp_path / "fallen"), "reference"])
    assert (fallen.exit_code, fallen.output.splitlines()[-1]) == (1, "0 of 3 columns as the reference, 3 moved")
    as_json = CliRunner().invoke(main, ["compare", str(tmp_path / "fallen"), "reference", "--json"])
    assert [row["found"] for row in json.loads(as_json.output)["columns"]] == [None, None, 0.0]


def test_a_suite_is_written_as_a_reference_that_it_reproduces(tmp_path):
    result = cell()
    (tmp_path / result.cell.folder).mkdir(parents=True)
    write_result(tmp_path / result.cell.folder, result)
    done = subprocess.run(
        [sys.executable, "-m", "bench.reference", str(tmp_path)], capture_output=True, text=True, check=True
    )  # fmt: skip
    held, said = reference.reproduce([result], list(csv.DictReader(io.StringIO(done.stdout))))
    assert [each.reproduced for each in held] == [True, True, True]
    assert said == []


def test_a_run_is_merged_cell_by_cell_and_what_was_skipped_is_left_out():
    again, more = as_rows([cell(1, 0.5, 20.0), cell(7, 0.1, 30.0)])
    rows, replaced = merged(BEFORE, [*as_rows([cell(8, status="skipped")]), again, more])
    assert (replaced, [row["seed"] for row in rows]) == (1, ["0", "1", "2", "7"])
    assert rows[0] == BEFORE[0] and rows[1] == again
    assert list(csv.DictReader(io.StringIO(written(rows)))) == rows


def test_rows_of_another_protocol_leave_the_reference_with_the_first_merge():
    older = as_rows([cell(0, protocol="posefree/1"), cell(9, protocol="posefree/1")])
    rows, replaced = merged(older, as_rows([cell(0, 0.2)]))
    assert replaced == 0 and [(row["seed"], row["protocol"]) for row in rows] == [("0", "posefree/2")]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda lines: [*lines[:2], lines[2][:20], *lines[3:]], r"cells.csv, line 3: not \d+ values, as its head"),
        (lambda lines: [*lines[:3], lines[3] + ",more"], r"cells.csv, line 4: not \d+ values"),
        (lambda lines: [lines[0].replace("seed", "sead"), *lines[1:]], "cells.csv has no column seed;"),
        (lambda lines: [lines[0], lines[1].replace(",solved,", ",fine,")], "line 2: no cell ends 'fine'"),
        (lambda lines: [], "cells.csv has no column scene, "),
        (lambda lines: [*lines, "\0\udcff"], "cells.csv: .*; it must be a table"),
    ],
)
def test_a_table_that_was_broken_by_hand_is_refused_in_a_sentence(edit, said, tmp_path):
    text = "\n".join(edit(written(BEFORE).splitlines()))
    (tmp_path / "cells.csv").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=said):
        reference.read(tmp_path / "cells.csv")


def test_a_column_that_older_rows_lack_is_empty_in_them():
    older = [{name: text for name, text in row.items() if name != "truth"} for row in BEFORE]
    found = list(csv.DictReader(io.StringIO(written([*older, *as_rows([cell(7)])]))))
    assert [row["truth"] for row in found] == ["", "", "", "exact"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([cell(protocol="posefree/1")], "blocks/clean/m/quick/0 was judged by posefree/1, and the reference is of"),
        ([replace(cell(), provenance={"device": "cpu"})], "does not say its git, threads, processor"),
        ([cell(3), cell(3)], "is in two of the suites"),
    ],
)
def test_what_may_not_stand_in_a_reference_is_refused_whole(rows, said):
    with pytest.raises(ValueError, match=said):
        merged(BEFORE, as_rows(rows))


def test_the_command_that_merges_writes_the_file_or_says_in_one_line_why_not(tmp_path, monkeypatch, capsys):
    file = tmp_path / "cells.csv"
    file.write_text(written(BEFORE))
    monkeypatch.setattr(command, "FILE", file)
    monkeypatch.setattr(reference.read, "__defaults__", (file,))
    for name, result in (("good", cell(4)), ("old", cell(5, protocol="posefree/1"))):
        (tmp_path / name / result.cell.folder).mkdir(parents=True)
        write_result(tmp_path / name / result.cell.folder, result)
    monkeypatch.setattr(sys, "argv", ["reference", "--merge", str(tmp_path / "good")])
    command.main()
    assert [row["seed"] for row in reference.read()] == ["0", "1", "2", "4"]
    monkeypatch.setattr(sys, "argv", ["reference", "--merge", str(tmp_path / "old")])
    with pytest.raises(SystemExit) as ended:
        command.main()
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1) and "posefree/1" in error
    assert [row["seed"] for row in reference.read()] == ["0", "1", "2", "4"]


def test_the_reference_holds_every_question_with_its_seeds_and_what_made_it():
    rows = reference.read()
    assert rows
    assert {row["protocol"] for row in rows} == {"posefree/2"}
    assert all(row["git"] and row["device"] and row["threads"] for row in rows)
    assert len({(row["scene"], row["degradation"], row["method"], row["effort"], row["seed"]) for row in rows}) == len(
        rows
    )
