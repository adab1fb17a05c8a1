"""Results -> MLflow: one parent run a suite, one child a cell. A view of the files, and never in their way."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from bench.credentials import without_credentials
from bench.record import Result, read_json, read_log, read_suite, write_json
from bench.tracking.store import default_uri, file_of, make_whole
from bench.view.contact_sheet import contact_sheet

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # a server that is down must not hold up a run
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")


T = TypeVar("T")

LEDGER = ".tracked.json"
CURVE_POINTS = 200
"""Longest curve sent to the store: longer ones are thinned; the files keep every step."""

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
        print_ = result.fingerprints["judgement"] + result.status
        if self.ledger.get(result.cell.id) == print_:
            return False
        self._forget(result.cell.id)
        self._write(folder, result, print_)
        self.ledger[result.cell.id] = print_
        write_json(self.suite / LEDGER, {"uri": self.shown_uri, "cells": self.ledger})
        return True

    def replay(self) -> int:
        """Bring the store up to date with the suite's files; sends nothing twice. Returns how many were sent."""
        self.ledger = self._stored()
        sent = sum(self.send(folder, result) for folder, result in read_suite(self.suite))
        write_json(self.suite / LEDGER, {"uri": self.shown_uri, "cells": self.ledger})
        return sent

    def close(self) -> None:
        self.client.log_artifact(self.parent, str(self.suite / "results.csv"))
        self.client.set_terminated(self.parent)

    def _read_ledger(self) -> dict[str, str]:
        try:
            ledger = read_json(self.suite / LEDGER)
            return ledger["cells"] if without_credentials(ledger["uri"]) == self.shown_uri else {}
        except (OSError, ValueError, KeyError):
            return {}

    def _experiment(self) -> str:
        name = "unposed"
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        place = file_of(self.uri)
        artifacts = (place.parent / "mlartifacts").as_uri() if place else None
        return self.client.create_experiment(name, artifact_location=artifacts)

    def _parent(self) -> str:
        suite = str(self.suite.resolve())
        for run in self.client.search_runs([self.experiment], _has_tag("unposed.suite", suite)):
            if run.data.tags["unposed.suite"] == suite:
                return run.info.run_id
        tags = {"unposed.suite": suite, "mlflow.runName": self.suite.name}
        return self.client.create_run(self.experiment, tags=tags).info.run_id

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
        """What the store holds of this suite: cell id -> fingerprint."""
        return {
            run.data.tags["unposed.cell"]: run.data.tags["unposed.fingerprint"]
            for run in self._children()
            if "unposed.fingerprint" in run.data.tags  # written last: without it, a kill cut the recording short
        }

    def _forget(self, cell: str) -> None:
        for run in self._children(f" and {_has_tag('unposed.cell', cell)}"):
            if run.data.tags["unposed.cell"] == cell:
                self.client.delete_run(run.info.run_id)

    def _write(self, folder: Path, result: Result, print_: str) -> None:
        from mlflow.entities import Metric, Param, RunTag

        cell = result.cell
        tags = {
            "mlflow.parentRunId": self.parent,
            "mlflow.runName": cell.id,
            "unposed.cell": cell.id,
            "unposed.status": result.status,
            "unposed.outcome": result.outcome,
            "unposed.reason": (result.reason or "")[:5000],
            "unposed.protocol": result.protocol,
            "unposed.given": "+".join(result.given) or "images only",
            "unposed.flags": "; ".join(result.flags)[:5000],
            "unposed.git": str(result.provenance.get("git")),
        }
        params = {
            "scene": cell.scene, "degradation": cell.degradation, "method": cell.method,
            "seed": cell.seed, "effort": cell.effort, "protocol": result.protocol,
            **{f"config/{key}": value for key, value in _flat(result.config)},
        }  # fmt: skip
        run = self.client.create_run(self.experiment, tags=tags).info.run_id
        now = int(self.client.get_run(run).info.start_time)
        metrics = {**result.metrics, **{f"cost/{key}": value for key, value in result.cost.items()}}
        points = [Metric(_name(key), float(value), now, 0) for key, value in metrics.items() if _finite(value)]
        for row in _thinned(read_log(folder)):
            stamp = now + int(1000 * row["seconds"])
            points += [
                Metric(_name(f"fit/{key}"), float(value), stamp, int(row["step"]))
                for key, value in row.items()
                if key != "step" and value is not None and _finite(value)
            ]
        for some in _batches([Param(_name(key), str(value)[:5000]) for key, value in params.items()], PARAMS_A_BATCH):
            self.client.log_batch(run, params=some)
        for some in _batches(points, METRICS_A_BATCH):
            self.client.log_batch(run, metrics=some)
        self.client.log_artifact(run, str(folder / "result.json"))
        if (sheet := contact_sheet(folder)) is not None:
            self.client.log_image(run, sheet, artifact_file="contact_sheet.png")
        for name in ("renders", "previews"):
            if (folder / name).is_dir():
                self.client.log_artifacts(run, str(folder / name), artifact_path=name)
        status = "FINISHED" if result.status in ("done", "skipped", "collapsed") else "FAILED"
        self.client.log_batch(run, tags=[RunTag("unposed.fingerprint", print_)])
        self.client.set_terminated(run, status=status)


def _name(name: str) -> str:
    """MLflow's names allow letters, digits, and `_-./ :`."""
    return re.sub(r"[^\w\-./ :]", "_", name)


def _has_tag(tag: str, text: str) -> str:
    """A query for runs with this tag. MLflow has no way to write an apostrophe: it finds any other sign there, too."""
    return f"tags.`{tag}` LIKE '{text.replace(chr(39), '_')}'" if "'" in text else f"tags.`{tag}` = '{text}'"


def _finite(value: float) -> bool:
    return abs(float(value)) < float("inf")  # NaN compares false; both stay in the files, with their flag


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _batches(items: list[T], size: int) -> Iterator[list[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step = max(1, -(-len(rows) // CURVE_POINTS))
    return rows[::-step][::-1]  # counted from the end, so that the last point is always there


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


def ui_command(suite: Path, port: int) -> list[str]:
    """The command that shows a suite's store in a browser, on this machine only."""
    import sys

    return [
        sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", default_uri(suite),
        "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
