"""Results -> MLflow: one parent run a suite, one child a cell. A view of the files, and never in their way."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from bench.credentials import without_credentials
from bench.record import Result, read_json, read_suite, write_json
from bench.tracking import suite_run
from bench.tracking.cell_run import dataset_of, is_good, params_of, pictures_of, points_of, tags_of
from bench.tracking.store import default_uri, file_of, make_whole
from bench.view.contact_sheet import contact_sheet

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is down must not hold up a run
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


T = TypeVar("T")

LEDGER = ".tracked.json"
FINGERPRINT = "unposed.fingerprint"
"""Tag of the judgement's fingerprint, written last: without it, a kill cut the recording short."""

EXPERIMENT = "unposed"
ABOUT = """
Radiance fields without camera poses. A parent run is a suite; its children are cells: a scene, a degradation, a method
and a seed. Group by `unposed.suite_name`, `params.method` or `params.scene`; filter with
`tags."unposed.solved" = 'false'` or `tags."unposed.outcome" = 'collapsed'`.
"""

PARAMS_A_BATCH, METRICS_A_BATCH = 100, 1000
"""What one request to MLflow holds at most; the rest of a longer one is refused."""


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
        self.ledger: dict[str, str] = self._read_ledger()
        self.experiment = self._experiment()
        self.parent = self._parent()

    def send(self, folder: Path, result: Result) -> bool:
        """Record one cell unless it is there already. Returns whether anything was sent."""
        known = f"{result.status} {result.fingerprints['judgement']}"
        if self.ledger.get(result.cell.id) == known:
            return False
        self._forget(result.cell.id)
        self._write(folder, result)
        self.ledger[result.cell.id] = known
        write_json(self.suite / LEDGER, {"uri": self.shown_uri, "cells": self.ledger})
        return True

    def replay(self) -> int:
        """Bring the store up to date with the suite's files; sends nothing twice. Returns how many were sent."""
        self.ledger = self._stored()
        sent = sum(self.send(folder, result) for folder, result in read_suite(self.suite))
        write_json(self.suite / LEDGER, {"uri": self.shown_uri, "cells": self.ledger})
        return sent

    def close(self) -> None:
        """Tell of the suite as a whole what its files say by now."""
        from mlflow.entities import Metric, Param, RunTag

        results = [result for _, result in read_suite(self.suite)]
        params = suite_run.params_of(results)
        held = self.client.get_run(self.parent).data.params
        if any(held.get(name, text) != text for name, text in params.items()):
            self._move_parent()  # a parameter cannot be changed, and a suite grows
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0) for name, value in suite_run.metrics_of(results).items()]
        self.client.log_batch(
            self.parent, params=[Param(*item) for item in params.items()],
            tags=[RunTag("mlflow.note.content", suite_run.note_of(self.suite, results))],
        )  # fmt: skip
        for some in _batches(metrics, METRICS_A_BATCH):
            self.client.log_batch(self.parent, metrics=some)
        if (table := self.suite / "results.csv").exists():
            self.client.log_artifact(self.parent, str(table))
        self.client.set_terminated(self.parent)

    def _read_ledger(self) -> dict[str, str]:
        try:
            ledger = read_json(self.suite / LEDGER)
            return ledger["cells"] if without_credentials(ledger["uri"]) == self.shown_uri else {}
        except (OSError, ValueError, KeyError):
            return {}

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
        children, old, self.parent = self._children(), self.parent, self._new_parent()
        for run in children:
            self.client.set_tag(run.info.run_id, "mlflow.parentRunId", self.parent)
        self.client.delete_run(old)

    def _children(self, extra: str = "") -> list[Any]:
        query = f"tags.`mlflow.parentRunId` = '{self.parent}'{extra}"
        page, runs = None, []
        while True:
            found = self.client.search_runs([self.experiment], query, max_results=1000, page_token=page)
            runs += found
            page = found.token
            if not page:
                return runs

    def _stored(self) -> dict[str, str]:
        """What the store holds of this suite: cell id -> status and fingerprint, as in the ledger."""
        return {
            run.data.tags["unposed.cell"]: f"{run.data.tags['unposed.status']} {run.data.tags[FINGERPRINT]}"
            for run in self._children()
            if FINGERPRINT in run.data.tags
        }

    def _forget(self, cell: str) -> None:
        for run in self._children(f" and {_has_tag('unposed.cell', cell)}"):
            if run.data.tags["unposed.cell"] == cell:
                self.client.delete_run(run.info.run_id)

    def _write(self, folder: Path, result: Result) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
        from PIL import Image

        tags = tags_of(result) | {
            "mlflow.parentRunId": self.parent, "unposed.suite_name": self.suite.resolve().name,
        }  # fmt: skip
        run = self.client.create_run(self.experiment, tags=tags).info.run_id
        now = int(self.client.get_run(run).info.start_time)
        points = [
            Metric(point.name, float(point.value), now + int(1000 * point.seconds), point.step)
            for point in points_of(folder, result)
        ]
        for some in _batches([Param(*item) for item in params_of(result).items()], PARAMS_A_BATCH):
            self.client.log_batch(run, params=some)
        for some in _batches(points, METRICS_A_BATCH):
            self.client.log_batch(run, metrics=some)
        scene = DatasetInput(Dataset(**dataset_of(result)), [InputTag("mlflow.data.context", "evaluation")])
        self.client.log_inputs(run, datasets=[scene])
        self.client.log_artifact(run, str(folder / "result.json"))
        if (sheet := contact_sheet(folder)) is not None:
            self.client.log_image(run, sheet, artifact_file="contact_sheet.png")
        if (folder / "renders").is_dir():
            self.client.log_artifacts(run, str(folder / "renders"), artifact_path="renders")
        for picture in pictures_of(folder):
            with Image.open(picture.file) as opened:
                image = opened.convert("RGB")
            self.client.log_image(run, image, key=picture.series, step=picture.step, timestamp=now, synchronous=True)
        self.client.log_batch(run, tags=[RunTag(FINGERPRINT, result.fingerprints["judgement"])])
        self.client.set_terminated(run, status="FINISHED" if is_good(result) else "FAILED")


def _has_tag(tag: str, text: str) -> str:
    """A query for runs with this tag. MLflow has no way to write an apostrophe: it finds any other sign there, too."""
    return f"tags.`{tag}` LIKE '{text.replace(chr(39), '_')}'" if "'" in text else f"tags.`{tag}` = '{text}'"


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _message(error: Exception, uri: str | None) -> str:
    """What a store had to say, on one line, without what opens it: some quote the whole URI, some a part of it."""
    text = " ".join(str(error).split())
    if uri:
        text = text.replace(uri, without_credentials(uri))
    return without_credentials(text)


def replay(suite: Path, uri: str | None) -> tuple[int, str]:
    """Send whatever the store does not have yet: how many cells, and to which store. Raises ValueError."""
    try:
        tracker = Tracker(suite, uri)
        sent = tracker.replay()
        tracker.close()
    except Exception as error:
        at = without_credentials(uri or default_uri(suite))
        raise ValueError(f"MLflow at {at}: {_message(error, uri)[:200]}") from error
    return sent, tracker.shown_uri


class Tracking:
    """Tracking beside a run: opened at the first result, and dropped with one warning if its store fails."""

    def __init__(self, suite: Path, uri: str | None, warn: Callable[[str], None]) -> None:
        self.suite, self.uri, self.warn = suite, uri, warn
        self._tracker: Tracker | None = None
        self._down = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._tracker is not None:
            self._try(self._tracker.close)

    def send(self, folder: Path, result: Result) -> None:
        self._try(lambda: self._open().send(folder, result))

    def _open(self) -> Tracker:
        if self._tracker is None:
            self._tracker = Tracker(self.suite, self.uri)
        return self._tracker

    def _try(self, action: Callable[[], object]) -> None:
        if self._down:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever a tracking store does must not cost a result
            self._down = True
            text = _message(error, self.uri)[:160]
            self.warn(f"MLflow: {text}; results are safe in {self.suite}, `unposed track --replay` sends them later")
