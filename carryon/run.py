"""Several uploads at once, and an end that loses nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from contextlib import contextmanager
from pathlib import Path

from carryon.display import Display
from carryon.errors import ClientError, Stopped
from carryon.local_file import LocalFile
from carryon.outcome import Outcome, Status
from carryon.sending import Senders
from carryon.server import Server
from carryon.state import Store
from carryon.stop import Stop
from carryon.upload import Job, Means, Upload

LEAVE_SECONDS = 2.0
"""How long an interrupted run waits for its threads to note what they have."""


class Run:
    """The uploads of one command."""

    def __init__(
        self,
        server: Server,
        store: Store,
        display: Display,
        *,
        parallel: int,
        retry_seconds: float,
        part_size: int | None = None,
        as_json: bool = False,
    ) -> None:
        """`parallel` is how many parts, of all files together, are on their way at once, and how many files."""
        self._server, self._store, self._display = server, store, display
        self._parallel, self._retry_seconds, self._part_size = parallel, retry_seconds, part_size
        self._as_json = as_json
        self._stop = Stop()
        self._hopeless: ClientError | None = None
        self._untried = 0

    def upload(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Upload all the files, telling of each as it ends; those that an interrupt leaves behind are STOPPED."""
        outcomes = [Outcome(job.file) for job in jobs]
        with self._threads("file") as files, self._threads("part") as senders:
            means = Means(
                self._server,
                self._store,
                Senders(senders, self._parallel),
                self._stop,
                self._retry_seconds,
                self._part_size,
            )
            futures = {
                files.submit(self._one, job, means, outcome): outcome
                for job, outcome in zip(jobs, outcomes, strict=True)
            }
            self._follow(futures)
        self._sum_up(outcomes)
        return outcomes

    @contextmanager
    def _threads(self, name: str) -> Iterator[ThreadPoolExecutor]:
        """As many threads as may be; when the block ends, they are told to leave and not waited for."""
        executor = ThreadPoolExecutor(self._parallel, name)
        try:
            yield executor
        finally:
            self._stop.say()
            executor.shutdown(wait=False, cancel_futures=True)

    def _follow(self, futures: dict[Future[None], Outcome]) -> None:
        untold = dict(futures)
        try:
            for future in as_completed(futures):
                future.result()
                self._tell(untold.pop(future))
        except KeyboardInterrupt:
            self._stop.say()
            wait([future for future in untold if not future.cancel()], LEAVE_SECONDS)
            for outcome in untold.values():
                self._tell(outcome)

    def _one(self, job: Job, means: Means, outcome: Outcome) -> None:
        if self._hopeless:
            self._untried += 1
            outcome.fail(self._hopeless)
            return
        try:
            with LocalFile(Path(job.file), self._stop) as file:
                track = self._display.track(file.name, file.size)
                try:
                    Upload(job, file, means, track, outcome).run()
                finally:
                    track.end()
        except Stopped:
            pass
        except ClientError as error:
            outcome.fail(error)
            self._hopeless = error if error.for_all else self._hopeless

    def _tell(self, outcome: Outcome) -> None:
        if self._as_json:
            self._display.result(outcome.json)
        elif outcome.status is Status.DONE:
            self._display.result(outcome.line)
        if outcome.status is not Status.DONE and not (self._hopeless and outcome.size is None):
            self._display.complain(outcome.complaint)

    def _sum_up(self, outcomes: Sequence[Outcome]) -> None:
        if self._untried:
            self._display.complain(f"{self._untried} more not tried, for the same reason")
        if any(outcome.status is Status.STOPPED for outcome in outcomes):
            self._display.complain("Interrupted; the same command goes on from here.")
