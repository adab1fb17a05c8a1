"""What a person waits for beside a tracking store, and how long at most: a run that sends to it, and a replay."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from bench.cell import Cell
from bench.credentials import without_credentials
from bench.record import Result, read_result
from bench.tracking.ledger import Ledger
from bench.tracking.patience import Lane
from bench.tracking.store import default_uri
from bench.tracking.tracker import Tracker

if TYPE_CHECKING:
    from bench.runner.run import Stage

PATIENCE = 120.0  # seconds that a store may take over one cell; it makes its first tables in less
AFTER = 300.0  # and over all that are left when the run has ended
AT_ONCE = 10.0  # and where it was interrupted
SLOW = f"it did not take one cell within {PATIENCE:.0f} s"
LATE = "it had not taken all cells {:.0f} s after the run had ended"

LOOK = 1.0  # seconds between looks at whether there is anything to send of the fits at work, and time for it
EVERY = 15.0  # seconds between what is sent of one fit
AGAIN = 60.0  # seconds until a store that failed is tried again


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
    """Tracking beside a run: opened at the first fit or result, by a thread of its own, so that a slow store holds up
    nobody.

    Results go first, in order. What fits say while they are at work is sent where nothing else waits, and not at all
    where a store is slow or fails: their results bring all of it. A store that fails over a result, or takes more than
    PATIENCE, is dropped with one warning; it is tried again every AGAIN seconds, and sent what it missed.
    """

    def __init__(self, suite: Path, uri: str | None, warn: Callable[[str], None]) -> None:
        self.suite, self.uri, self.warn = suite, uri, warn
        self._lock = threading.Lock()
        self._lane: Lane | None = None
        self._tracker: Tracker | None = None  # of the lane's thread
        self._fits: dict[Cell, tuple[Path, float]] = {}  # at work: folder, and when they are to be looked at
        self._owed: dict[Cell, Path] = {}  # settled, and not yet taken by the store
        self._down = False
        self._next_try = 0.0  # of a store that failed
        self._over = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._lane is not None:
            most = AT_ONCE if self._down else AFTER
            if kind is not None:  # an interrupt, or a fault: whoever waits wants the end of it
                self._lane.patience, most = min(self._lane.patience, AT_ONCE), AT_ONCE
            self._put(lambda: self._tracker and self._tracker.close())
            if not self._lane.join(most):
                self._drop(SLOW if self._lane.is_stuck else LATE.format(most))

    def heard(self, folder: Path, cell: Cell, stage: Stage, result: Result | None) -> None:
        """Of a cell's progress, in any thread: see `bench.runner.run.Listener`."""
        if stage == "fit":
            with self._lock:
                self._fits[cell] = folder, time.monotonic() + LOOK  # it has yet to begin
            self._opened_lane()
        elif result is not None and (stage == "ended" or cell.id in self._left_begun):
            self.send(folder, result)

    def send(self, folder: Path, result: Result) -> None:
        with self._lock:
            self._fits.pop(result.cell, None)
            self._owed[result.cell] = folder
        self._put(lambda: self._settle(folder, result))

    @cached_property
    def _left_begun(self) -> set[str]:
        """Cells of which a kill left a run that was begun: those that have a result by now are completed."""
        return Ledger.begun(self.suite)

    def _open(self) -> Tracker:
        if self._tracker is None:
            self._tracker = Tracker(self.suite, self.uri)
        return self._tracker

    def _opened_lane(self) -> Lane:
        with self._lock:
            if self._lane is None:
                self._lane = Lane(PATIENCE)
                threading.Thread(target=self._look, daemon=True, name="tracking fits").start()
            return self._lane

    def _put(self, action: Callable[[], object]) -> None:
        lane = self._opened_lane()
        if lane.is_stuck and not self._down:
            self._drop(SLOW)
        if not self._down:
            lane.put(lambda: self._try(action))

    def _try(self, action: Callable[[], object]) -> None:
        if self._down:
            return
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever a tracking store does must not cost a result
            self._drop(_message(error, self.uri)[:160])

    def _settle(self, folder: Path, result: Result) -> None:
        self._open().send(folder, result)
        with self._lock:
            self._owed.pop(result.cell, None)

    def _drop(self, why: str) -> None:
        with self._lock:
            was_down, self._down = self._down, True
            self._next_try = time.monotonic() + AGAIN
        if not was_down:
            self.warn(f"MLflow: {why}; results are safe in {self.suite}, `unposed track --replay` sends them later")

    def _look(self) -> None:
        """A thread's work: have fits followed, or a store that failed tried again, where its lane has nothing to do."""
        lane = self._opened_lane()
        while not self._over.wait(LOOK):
            now = time.monotonic()
            if lane.waiting or now < self._next_try:
                continue
            if self._down:
                lane.put(self._try_again)
            elif any(due <= now for _, due in self._at_work().values()):
                lane.put(self._follow)

    def _at_work(self) -> dict[Cell, tuple[Path, float]]:
        with self._lock:
            return dict(self._fits)

    def _goes_on(self) -> bool:
        """Whether nothing more important waits."""
        return not self._over.is_set() and not self._down and self._opened_lane().waiting <= 1

    def _follow(self) -> None:
        """Send what the fits at work say by now, as far as there is time."""
        for cell, (folder, due) in self._at_work().items():
            if not self._goes_on():
                return
            if due > time.monotonic():
                continue
            try:
                self._open().follow(folder, cell, self._goes_on)
            except Exception:  # noqa: BLE001 - its result is sent all the same, and says so where it cannot be
                self._next_try = time.monotonic() + AGAIN
                return
            finally:
                with self._lock:
                    if self._fits.pop(cell, None):  # others first, should it be this one that fails
                        self._fits[cell] = folder, time.monotonic() + EVERY
            self._opened_lane().beat()

    def _try_again(self) -> None:
        """Send a store that was dropped what it missed; it is taken up where it takes all of it."""
        sent = 0
        try:
            self._tracker = None  # it may be another store by now
            tracker = self._open()
            while not self._over.is_set():
                with self._lock:
                    if not self._owed:
                        self._down = False
                        break
                    cell = next(iter(self._owed))
                    folder = self._owed[cell] = self._owed.pop(cell)  # others first, should it be this one that fails
                tracker.send(folder, read_result(folder))
                sent += 1
                with self._lock:
                    self._owed.pop(cell, None)
                self._opened_lane().beat()
        except Exception:  # noqa: BLE001 - it has been said that it is down
            self._tracker = None
            self._next_try = time.monotonic() + AGAIN
            return
        if not self._down:
            self.warn(f"MLflow is back, and has been sent what it missed, {sent} cell{'s' * (sent != 1)}")


def _message(error: Exception, uri: str | None) -> str:
    """What a store had to say, on one line, without what opens it: some quote the whole URI, some a part of it."""
    text = " ".join(str(error).split())
    if uri:
        text = text.replace(uri, without_credentials(uri))
    return without_credentials(text)
