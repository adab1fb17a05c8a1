"""The main job. For each cell: skip, resume, fit, judge, record; a failure is a row, and never the end of the run."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from bench.cell import Cell
from bench.files import printable
from bench.matrix.again import places
from bench.matrix.plan import Plan, Planned, skip_reason
from bench.matrix.suite_file import keep_suite_file
from bench.poses_io.saved_fit import touched
from bench.poses_io.submission import UNKNOWN_COST, keep, kept, same
from bench.record import PRETRAINED, RERUNNABLE, Result, read_result, write_result
from bench.runner.devices import Slots
from bench.runner.evaluate import Judge
from bench.runner.executors.base import Executor, Share, Stopped
from bench.runner.executors.gpu import OnDevice, as_seen
from bench.runner.fingerprints import Fingerprints
from bench.runner.fit_client import finished_fit, go_on, keep_aside, rename, request_fit, shown_to
from bench.runner.fit_progress import phases
from bench.runner.given import assumed, given_in_full
from bench.runner.loaded_scenes import LoadedScenes
from bench.runner.machine_times import remember
from bench.runner.out_of_reach import out_of_reach
from bench.runner.provenance import provenance
from bench.runner.refusals import check_place, check_scenes, make_suite
from bench.runner.seal import is_broken, sealed
from bench.runner.settings import Settings
from bench.runner.shards import claimed
from bench.runner.suite_lock import hold
from bench.runner.tables import Tables, rewrite
from bench.runner.time_left import Durations, longest_first

REWRITTEN, UNREADABLE = "rewritten.json", "unreadable.json"
WAS_REWRITTEN = f"an earlier result was changed after it was judged; it is kept as previous/{REWRITTEN}"

Stage = Literal["cached", "load", "fit", "judge", "ended"]
Listener = Callable[[Planned, Stage, Result | None], None]
"""Told of each cell's progress, from several threads; `ended` and `cached` come with the result."""


def run(plan: Plan, settings: Settings, listen: Listener) -> list[Result]:
    """Settle every cell of the plan, in its order, several side by side the longest first, and rewrite the suite's
    tables, now and then and at the end. Of several runs at once each settles what the others have not begun, and
    `collect` writes the tables.

    A scene that cannot be read is bad input: SceneError, before anything is written or run; so is a device that is not
    here, a name that two scenes have, and a folder that cannot be written to (ValueError). On KeyboardInterrupt the
    workers are killed, what is settled stays, and the interrupt goes on to the caller.
    """
    settings.check_devices()
    runner = Runner(settings, listen, plan.cells)
    check_scenes(settings.suite, plan.cells)
    cells = [runner.resolved(planned) for planned in plan.cells]
    runner.read_scenes([planned for planned in cells if runner.standing(planned) is None])
    make_suite(settings.suite)
    with hold(settings.suite, shared=settings.shard is not None):
        if settings.asked:
            keep_suite_file(settings.suite, settings.asked)
        results: dict[Cell, Result] = {}
        try:
            for planned in cells:
                runner.keep_submission(planned)
                if (result := runner.standing(planned)) is not None:
                    results[planned.cell] = result
                    listen(planned, "cached", result)
            work = [planned for planned in cells if planned.cell not in results]
            if settings.slots > 1:
                work = longest_first(work, Durations(settings))
            runner.run_cells(settings.shard.order(work) if settings.shard else work, results)
        finally:
            if settings.shard is None:
                rewrite(settings.suite)
    return [results[planned.cell] for planned in cells if planned.cell in results]


class Runner:
    """What the cells of one run share."""

    def __init__(self, settings: Settings, listen: Listener, cells: Sequence[Planned] = ()) -> None:
        check_place(settings.suite)
        self.settings, self.listen = settings, listen
        shares = {settings.share(each.cell) for each in map(self.resolved, cells) if not each.skip}
        self.executor: Executor = settings.make_executor(out_of_reach(settings, cells), shares)
        self._judges: dict[tuple[str, Share | None], Judge] = {}
        self.judge = self._judge(settings.devices.first, None)
        self.scenes = LoadedScenes()
        self.fingerprints = Fingerprints(self.judge, settings.devices.kind)

    def _judge(self, device: str, share: Share | None) -> Judge:
        """With workers that all have this device, and this share; there is one of each."""
        executor, settings = OnDevice(self.executor, device, share), self.settings
        judge = Judge(executor=executor, lpips=settings.lpips, device=as_seen(device), refine=settings.refine)
        return self._judges.setdefault((device, share), judge)

    def run_cells(self, cells: list[Planned], results: dict[Cell, Result]) -> None:
        deal = Slots(self.settings.devices.names).deal
        tables = None if self.settings.shard else Tables(self.settings.suite, len(results))
        with ThreadPoolExecutor(max_workers=self.settings.slots) as pool:
            waiting: dict[Future[Result | None], Planned] = {
                pool.submit(deal, self.settle, each): each for each in cells
            }
            try:
                while waiting:
                    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                        planned = waiting.pop(future)
                        if (result := future.result()) is not None:
                            results[planned.cell] = result
                            self.listen(planned, "ended", result)
                            if tables:
                                tables.settled(len(results))
            except BaseException:
                for future in waiting:
                    future.cancel()
                self.executor.stop()
                raise

    def read_scenes(self, cells: list[Planned]) -> None:
        """Read every scene of these cells once. Raises SceneError."""
        for planned in cells:
            if not planned.skip:
                self.scenes.check(planned.source, planned.cell.effort)

    def folder(self, planned: Planned) -> Path:
        return self.settings.suite.resolve() / planned.cell.folder  # workers have a folder of their own to stand in

    def resolved(self, planned: Planned) -> Planned:
        """With what was submitted for this cell before, where its method lives on an estimate made elsewhere; skipped
        where its method cannot run on this device."""
        needed = planned.method.method.traits.accelerator
        if needed and (lacking := needed.lack(self.settings.devices.kind)):
            return replace(planned, skip=lacking)
        if planned.submission or "estimate" not in planned.method.method.traits.needs:
            return planned
        submission = kept(self.folder(planned))
        skip = skip_reason(planned.source, planned.degradation, planned.method, submitted=submission is not None)
        return replace(planned, submission=submission, skip=skip)

    def keep_submission(self, planned: Planned) -> None:
        """Beside the cell's result, for every later judgement."""
        folder = self.folder(planned)
        if planned.submission and not same(planned.submission, kept(folder)):
            keep(folder, planned.submission)

    def standing(self, planned: Planned) -> Result | None:
        """The earlier result of this cell, where nothing has changed that it depends on."""
        try:
            earlier = read_result(self.folder(planned))
        except (FileNotFoundError, ValueError):  # ValueError: no result of ours, which `make_way` keeps aside
            return None
        if is_broken(earlier) or touched(self.folder(planned) / "fit"):
            return None
        if planned.skip and earlier.status != "skipped":
            return earlier  # what was measured stays where it cannot be measured again
        if self.settings.reruns(earlier) or not self.fingerprints.is_same_fit(planned, earlier):
            return None
        met_on_loading = earlier.stage == "load" and not planned.skip  # by the scene and the traits, both in the fit
        if earlier.status == "skipped" and earlier.reason != planned.skip and not met_on_loading:
            return None
        judgement = self.fingerprints.of(planned)["judgement"]  # that of a failure is its level, and its protocol
        return earlier if earlier.fingerprints["judgement"] == judgement else None

    def settle(self, planned: Planned, device: str) -> Result | None:
        """The result of a cell, be it that of another of several runs; None while another one is at it."""
        if self.settings.shard is None:
            return self.run_cell(planned, device)
        self.folder(planned).mkdir(parents=True, exist_ok=True)
        with claimed(self.folder(planned)) as ours:
            return (self.standing(planned) or self.run_cell(planned, device)) if ours else None

    def run_cell(self, planned: Planned, device: str) -> Result:
        """Bring one cell to a result on this device, whatever happens, and write it."""
        folder, record = self.folder(planned), partial(self.record, planned, device)
        judge = self._judge(device, self.settings.share(planned.cell))
        folder.mkdir(parents=True, exist_ok=True)
        stage: Stage = "load"
        facts: dict[str, Any] = {}
        try:
            if planned.skip:
                return record(status="skipped", reason=planned.skip)
            self.listen(planned, stage, None)
            scene = self.scenes.get(planned.source, planned.cell.effort)
            capture = shown_to(planned, scene)
            if unmet := planned.method.method.traits.unmet_by(capture):
                return record(status="skipped", stage=stage, reason=unmet)
            traits = planned.method.method.traits
            facts = {
                "given": (*capture.given, *((PRETRAINED,) if planned.method.method.pretrained_poses else ())),
                "given_in_full": given_in_full(capture, scene),
                "tuned_on": traits.tuned_on, "pretrained_on": traits.pretrained_on, "notes": assumed(scene),
            }  # fmt: skip
            facts["metrics"] = judge.level(planned, scene)
            stage = "fit"
            fit = self.fingerprints.of(planned)["fit"]
            self.make_way(planned, fit)
            outcome = finished_fit(folder, fit)
            is_fresh = outcome is None
            if outcome is None:
                self.listen(planned, stage, None)
                outcome = request_fit(
                    planned, capture, folder, judge.executor, fit=fit, device=judge.device,
                    limit=self.settings.fit_limit(planned.cell), retries=self.settings.retries,
                )  # fmt: skip
            facts = _merge(facts, _facts(planned, outcome))
            if outcome["status"] != "done":
                return record(status=outcome["status"], stage=stage, reason=outcome["reason"], **facts)
            stage = "judge"
            self.listen(planned, stage, None)
            limit = self.settings.judge_limit(planned.cell)
            verdict = judge(planned, scene, capture, folder, outcome, limit=limit)
            result = record(**_merge(facts, verdict))
            if is_fresh and self.settings.executor == "local" and not planned.submission:
                remember(result)
            return result
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - the one place that catches everything, and records it
            if self.settings.suite.is_dir():
                folder.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
            with (folder / "stderr.txt").open("a", errors="backslashreplace") as log:
                traceback.print_exc(file=log)
            reason = printable(f"{type(error).__name__}: {' '.join(str(error).split())}"[:500])
            return record(status="failed", stage=stage, reason=reason, **facts)

    def make_way(self, planned: Planned, fit: str) -> None:
        """Before a refit: an older answer to another question is kept aside, a failed one is forgotten."""
        folder = self.folder(planned)
        try:
            earlier = read_result(folder)
        except FileNotFoundError:
            return
        except ValueError:
            keep_aside(folder, UNREADABLE)
            return
        aside = f"{earlier.fingerprints.get('judgement', 'unknown')[:12]}.json"
        if is_broken(earlier):
            keep_aside(folder, REWRITTEN)
        elif not self.fingerprints.is_same_fit(planned, earlier):
            keep_aside(folder, aside)
        elif self.settings.retry_failed and earlier.status in RERUNNABLE and earlier.stage != "judge":
            go_on(folder, self.settings.fit_limit(planned.cell))
            (folder / "result.json").unlink()
        else:
            if earlier.protocol != self.judge.protocol:  # what another protocol said of the same fit is kept
                keep_aside(folder, aside)
            rename(folder, earlier.fingerprints["fit"], fit)

    def record(self, planned: Planned, device: str, **facts: Any) -> Result:
        result = Result(
            cell=planned.cell,
            config=planned.method.config,
            protocol=self.judge.protocol,
            reference=planned.source.reference,
            fingerprints=self.fingerprints.of(planned),
            ingredients=self.fingerprints.ingredients(planned),
            provenance=provenance(
                threads=self.settings.share(planned.cell).threads,
                device=device,
                card=self.settings.card(device),
                isolation=self.executor.isolation,
            )
            | places(planned.source, planned.method),
            **facts,
        )
        if (self.folder(planned) / "previous" / REWRITTEN).exists():
            result = replace(result, notes={**result.notes, "rewritten": WAS_REWRITTEN})
        result = sealed(result)
        if (self.folder(planned) / "result.json").is_dir():  # of a cell that came to its end before `make_way`
            keep_aside(self.folder(planned), UNREADABLE)
        write_result(self.folder(planned), result)
        return result


def _facts(planned: Planned, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """Of a fit however it ended. What it took to find poses that were submitted is nowhere known: absent, not 0."""
    notes = {name: outcome[name] for name in ("attempts", "machine", "fitted_again") if name in outcome}
    notes |= {"phases": took} if (took := phases(outcome.get("phases"))) else {}
    submission = planned.submission
    if submission is None:
        cost = {"fit_seconds": outcome["seconds"], "threads": outcome["threads"], **outcome["memory"]}
        cost |= outcome.get("preparation", {})
        return {"cost": cost, "notes": notes}
    renders = {"renders": "submitted"} if submission.renders is not None else {}
    return {
        "cost": {"field_seconds": outcome["seconds"], "threads": outcome["threads"]} if outcome.get("field") else {},
        "absent": dict.fromkeys(("cost/fit_seconds", "cost/peak_rss_mb"), UNKNOWN_COST),
        "notes": {**notes, "submitted": submission.source, **renders, **submission.notes},
    }


def _merge(facts: Mapping[str, Any], verdict: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of the fit and of the judgement, dictionaries joined."""
    joined = dict(facts)
    for key, value in verdict.items():
        joined[key] = {**joined[key], **value} if isinstance(joined.get(key), dict) else value
    return joined
