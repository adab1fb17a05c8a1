"""Results -> MLflow: one parent run a suite, one child a cell. A view of the files, and never in their way."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.cell import Cell
from bench.credentials import without_credentials
from bench.record import Result, read_suite
from bench.tracking import suite_run
from bench.tracking.cell_writer import DIGEST, CellRun, begin, digest_of, follow, taken_up, write
from bench.tracking.fit_now import fit_now
from bench.tracking.ledger import BEGUN, Ledger
from bench.tracking.store import default_uri, file_of, make_whole

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is down must not hold up a run
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


EXPERIMENT = "unposed"
ABOUT = """
Radiance fields without camera poses. A parent run is a suite; its children are cells: a scene, a degradation, a method
and a seed. Group by `unposed.suite_name`, `params.method` or `params.scene`; filter with
`tags."unposed.solved" = 'false'` or `tags."unposed.outcome" = 'collapsed'`.
"""


class Tracker:
    """Sends results of one suite to an MLflow store. Every method raises MlflowException when the store is down."""

    def __init__(self, suite: Path, uri: str | None = None) -> None:
        from mlflow.tracking import MlflowClient  # takes seconds: only a run that has something to send pays

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self.suite, self.uri = suite, uri or default_uri(suite)
        self.shown_uri = without_credentials(self.uri)
        if file := file_of(self.uri):
            make_whole(file, lambda uri: MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments())
        self.client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        self.experiment = self._experiment()
        self.parent = self._parent()
        self.ledger = Ledger(suite, self.uri, self.parent)
        self._begun: dict[str, CellRun] = {}  # of cells that have no result yet, by their ids

    def follow(self, folder: Path, cell: Cell, goes_on: Callable[[], bool]) -> None:
        """Record what the fit that is at work for a cell says by now: its run is begun, goes on, or is begun anew where
        the fit was. `goes_on` is asked whether there is time for another picture."""
        if (now := fit_now(folder)) is None:
            return
        run = self._begun.pop(cell.id, None) or self._taken_up(self._runs_of(cell))
        if run and now.points is not None and not run.is_part_of(now.points, now.pictures):
            self._forget([run.id])
            run = None
        if run is None:
            self.ledger.add(cell.id, BEGUN)
            run = begin(self.client, self.experiment, self._tags, cell)
        follow(self.client, run, now, goes_on)
        self._begun[cell.id] = run  # where this failed, nobody knows what the store holds of it

    def send(self, folder: Path, result: Result) -> bool:
        """Record one cell unless it is there already. Returns whether anything was sent."""
        cell, known = result.cell.id, digest_of(result)
        if self.ledger.cells.get(cell) == known:
            return False
        runs = self._runs_of(result.cell)
        if known in runs.values():  # of which the ledger did not know
            self.ledger.add(cell, known)
            return False
        self._write(folder, result, runs)
        return True

    def replay(self, beat: Callable[[], object] = lambda: None) -> int:
        """Bring the store up to date with the suite's files; sends nothing twice. Returns how many were sent.

        `beat` is called after every cell: the store still answers.
        """
        held, sent = self._held(), 0
        known: dict[str, str] = {}
        for folder, result in read_suite(self.suite, views=False):
            cell = result.cell.id
            known[cell] = digest_of(result)
            runs = held.get(cell, {})
            right = [run for run, said in runs.items() if said == known[cell]][:1]
            if right:
                self._forget(run for run in runs if run not in right)
            else:
                self._write(folder, result, runs)
                sent += 1
            beat()
        self.ledger.replace(known)
        return sent

    def close(self) -> None:
        """Tell of the suite as a whole what its files say by now."""
        from mlflow.entities import Metric, Param, RunTag

        results = [result for _, result in read_suite(self.suite, views=False)]
        params = suite_run.params_of(results)
        held = self.client.get_run(self.parent).data.params
        if any(held.get(name, text) != text for name, text in params.items()):
            self._move_parent()  # a parameter cannot be changed, and a suite grows
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in suite_run.metrics_of(results).items()]
        self.client.log_batch(
            self.parent, metrics=metrics, params=[Param(*item) for item in params.items()],
            tags=[RunTag("mlflow.note.content", suite_run.note_of(self.suite, results))],
        )  # fmt: skip
        if (table := self.suite / "results.csv").exists():
            self.client.log_artifact(self.parent, str(table))
        self.client.set_terminated(self.parent)

    def _experiment(self) -> str:
        found = self.client.get_experiment_by_name(EXPERIMENT)
        if found is None:
            place = file_of(self.uri)
            artifacts = (place.parent / "mlartifacts").as_uri() if place else None
            made = self.client.create_experiment(EXPERIMENT, artifact_location=artifacts)
        else:
            made = found.experiment_id
        tags = {} if found is None else found.tags
        for name, text in (("mlflow.experimentKind", "custom_model_development"), ("mlflow.note.content", ABOUT)):
            if tags.get(name) != text:
                self.client.set_experiment_tag(made, name, text)
        return made

    def _parent(self) -> str:
        suite = str(self.suite.resolve())
        for run in self.client.search_runs([self.experiment], _has_tag("unposed.suite", suite)):
            if run.data.tags["unposed.suite"] == suite:
                return run.info.run_id
        return self._new_parent()

    def _new_parent(self) -> str:
        suite = self.suite.resolve()
        tags = {"unposed.suite": str(suite), "unposed.suite_name": suite.name, "mlflow.runName": suite.name}
        return self.client.create_run(self.experiment, tags=tags).info.run_id

    def _move_parent(self) -> None:
        """Give the cells a new parent run instead of the present one."""
        children, old, self.parent = [run.info.run_id for run in self._children()], self.parent, self._new_parent()
        for run in children:
            self.client.set_tag(run, "mlflow.parentRunId", self.parent)
        self.client.delete_run(old)
        self.ledger.parent = self.parent
        self.ledger.replace(self.ledger.cells)

    def _children(self, extra: str = "") -> Iterator[Any]:
        query = f"tags.`mlflow.parentRunId` = '{self.parent}'{extra}"
        page = None
        while True:
            found = self.client.search_runs([self.experiment], query, max_results=1000, page_token=page)
            yield from found
            page = found.token
            if not page:
                return

    def _runs_of(self, cell: Cell) -> dict[str, str]:
        """Run id -> digest: see `_held`."""
        return self._held(f" and {_has_tag('unposed.cell', cell.id)}").get(cell.id, {})

    def _held(self, extra: str = "") -> dict[str, dict[str, str]]:
        """What the store holds of this suite: cell id -> run id -> digest of what was sent, BEGUN where the cell has no
        result yet, none where the sending was cut short or is of an earlier version."""
        held: dict[str, dict[str, str]] = {}
        for run in self._children(extra):
            tags = run.data.tags
            held.setdefault(tags["unposed.cell"], {})[run.info.run_id] = tags.get(DIGEST, "")
        return held

    def _forget(self, runs: Iterable[str]) -> None:
        for run in runs:
            self.client.delete_run(run)

    def _taken_up(self, runs: Mapping[str, str]) -> CellRun | None:
        """Of these runs the first that was begun and not completed."""
        found = [run for run, said in runs.items() if said == BEGUN][:1]
        return taken_up(self.client, found[0]) if found else None

    @property
    def _tags(self) -> dict[str, str]:
        return {"mlflow.parentRunId": self.parent, "unposed.suite_name": self.suite.resolve().name}

    def _write(self, folder: Path, result: Result, runs: Mapping[str, str]) -> None:
        """Record a cell, in the one of its `runs` that was begun and not completed where there is one; others go."""
        begun = self._begun.pop(result.cell.id, None)
        if begun is None or begun.id not in runs:
            begun = self._taken_up(runs)
        self._forget(run for run in runs if begun is None or run != begun.id)
        if self.ledger.cells.get(result.cell.id) != BEGUN:  # for who comes after a kill: from here on there is a run
            self.ledger.add(result.cell.id, BEGUN)
        write(self.client, self.experiment, self._tags, folder, result, begun)
        self.ledger.add(result.cell.id, digest_of(result))


def _has_tag(tag: str, text: str) -> str:
    """A query for runs with this tag. MLflow has no way to write an apostrophe: it finds any other sign there, too."""
    return f"tags.`{tag}` LIKE '{text.replace(chr(39), '_')}'" if "'" in text else f"tags.`{tag}` = '{text}'"
