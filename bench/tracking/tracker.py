"""Results -> MLflow: one parent run a suite, one child a cell. A view of the files, and never in their way."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.credentials import without_credentials
from bench.record import Result, read_suite
from bench.tracking import suite_run
from bench.tracking.cell_writer import DIGEST, digest_of, write
from bench.tracking.ledger import Ledger
from bench.tracking.patience import Lane
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

PATIENCE = 120.0  # seconds that a store may take over one cell; it makes its first tables in less
AFTER = 300.0  # and over all that are left when the run has ended
AT_ONCE = 10.0  # and where it was interrupted
SLOW = f"it did not take one cell within {PATIENCE:.0f} s"
LATE = "it had not taken all cells {:.0f} s after the run had ended"


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

    def send(self, folder: Path, result: Result) -> bool:
        """Record one cell unless it is there already. Returns whether anything was sent."""
        cell, known = result.cell.id, digest_of(result)
        if self.ledger.cells.get(cell) == known:
            return False
        runs = self._held(f" and {_has_tag('unposed.cell', cell)}").get(cell, {})
        if known in runs.values():  # of which the ledger did not know
            self.ledger.add(cell, known)
            return False
        self._forget(runs)
        self._write(folder, result)
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
            self._forget(run for run in runs if run not in right)
            if not right:
                self._write(folder, result)
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

    def _held(self, extra: str = "") -> dict[str, dict[str, str]]:
        """What the store holds of this suite: cell id -> run id -> digest of what was sent, none where it was cut short
        or is of an earlier version."""
        held: dict[str, dict[str, str]] = {}
        for run in self._children(extra):
            tags = run.data.tags
            held.setdefault(tags["unposed.cell"], {})[run.info.run_id] = tags.get(DIGEST, "")
        return held

    def _forget(self, runs: Iterable[str]) -> None:
        for run in runs:
            self.client.delete_run(run)

    def _write(self, folder: Path, result: Result) -> None:
        tags = {"mlflow.parentRunId": self.parent, "unposed.suite_name": self.suite.resolve().name}
        write(self.client, self.experiment, tags, folder, result)
        self.ledger.add(result.cell.id, digest_of(result))


def _has_tag(tag: str, text: str) -> str:
    """A query for runs with this tag. MLflow has no way to write an apostrophe: it finds any other sign there, too."""
    return f"tags.`{tag}` LIKE '{text.replace(chr(39), '_')}'" if "'" in text else f"tags.`{tag}` = '{text}'"


def _message(error: Exception, uri: str | None) -> str:
    """What a store had to say, on one line, without what opens it: some quote the whole URI, some a part of it."""
    text = " ".join(str(error).split())
    if uri:
        text = text.replace(uri, without_credentials(uri))
    return without_credentials(text)


def replay(suite: Path, uri: str | None) -> tuple[int, str]:
    """Send whatever the store does not have yet: how many cells, and to which store. Raises ValueError, also where the
    store takes longer than PATIENCE over one of them."""
    lane, ended, sent = Lane(PATIENCE), [], []

    def work() -> None:
        try:
            tracker = Tracker(suite, uri)
            sent.append(tracker.replay(lane.beat))
            tracker.close()
        except Exception as error:  # noqa: BLE001 - told by the caller, in a sentence
            ended.append(_message(error, uri)[:200])

    lane.put(work)
    if not lane.join():
        ended.append(SLOW)
    if ended:
        raise ValueError(f"MLflow at {without_credentials(uri or default_uri(suite))}: {ended[0]}")
    return sent[0], without_credentials(uri or default_uri(suite))


class Tracking:
    """Tracking beside a run: opened at the first result, by a thread of its own, so that a slow store holds up nobody,
    and dropped with one warning where it fails or takes longer than PATIENCE over one cell."""

    def __init__(self, suite: Path, uri: str | None, warn: Callable[[str], None]) -> None:
        self.suite, self.uri, self.warn = suite, uri, warn
        self._lane: Lane | None = None
        self._tracker: Tracker | None = None
        self._down = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lane is not None:
            most = AFTER
            if kind is not None:  # an interrupt, or a fault: whoever waits wants the end of it
                self._lane.patience, most = min(self._lane.patience, AT_ONCE), AT_ONCE
            self._put(lambda: self._tracker and self._tracker.close())
            if not self._lane.join(most):
                self._drop(SLOW if self._lane.is_stuck else LATE.format(most))

    def send(self, folder: Path, result: Result) -> None:
        self._put(lambda: self._open().send(folder, result))

    def _open(self) -> Tracker:
        if self._tracker is None:
            self._tracker = Tracker(self.suite, self.uri)
        return self._tracker

    def _put(self, action: Callable[[], object]) -> None:
        self._lane = self._lane or Lane(PATIENCE)
        if self._lane.is_stuck:
            self._drop(SLOW)
        if not self._down:
            self._lane.put(lambda: self._try(action))

    def _try(self, action: Callable[[], object]) -> None:
        if self._down:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever a tracking store does must not cost a result
            self._drop(_message(error, self.uri)[:160])

    def _drop(self, why: str) -> None:
        if not self._down:
            self._down = True
            self.warn(f"MLflow: {why}; results are safe in {self.suite}, `unposed track --replay` sends them later")
