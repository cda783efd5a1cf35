"""One action of a plan, done: bytes go from the winning tree to the losing one, and are proved to be there."""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from sync.plan import Action, Verb
from transfers.engine.base import CHUNK_BYTES, Source
from transfers.engine.copying import Watch, copy
from transfers.engine.plan import Part, Plan
from transfers.engine.tree.base import (
    SMALL_BYTES,
    Checksum,
    Content,
    Description,
    Entry,
    Tree,
    TreeSink,
    checksum_of_parts,
    md5_of,
    parse_checksum,
    part_plan,
)
from transfers.errors import (
    ChecksumMismatchError,
    IncompleteFileError,
    Interrupted,
    Interruption,
    SourceChangedError,
)

CHANGES = 3
"""How often a file that changes while it is read is read again within one sync."""
PART_CONNECTIONS = 4
"""Parts of one large file, or of one run of its parts, that are moved at once."""
CHECK_SECONDS = 0.5
"""How often whoever waits for a turn looks whether it is to end."""


@dataclass(frozen=True, slots=True)
class Alike:
    """A path that is the same on both sides now."""

    path: str
    size: int
    winner: Entry
    loser: Entry
    checksum: str
    digests: Mapping[str, str] = field(default_factory=dict)
    """All of the file's checksums by their names, where its bytes were at hand."""


@dataclass(frozen=True, slots=True)
class Gone:
    """A path that is on neither side now, or that is to be looked at anew."""

    path: str


Outcome = Alike | Gone


class Work:
    """What is known of actions at work from outside, and the way to end them; any thread may call.

    `turns` are shared by all that one process is at: so many files, or parts of files, are moved at once, whoever's
    they are, so that the end of one run of parts and the beginning of the next share them. With `alone` nobody else
    has ever been at these actions: what their parts are found to be at the beginning need not be asked again.
    """

    def __init__(self, turns: threading.Semaphore | None = None, *, alone: bool = False) -> None:
        self._turns = turns
        self.alone = alone
        self._lock = threading.Lock()
        self._watches: set[Watch] = set()
        self._moved = 0
        self.reason: Interruption | None = None

    @property
    def bytes_moving(self) -> int:
        """Bytes of large files that are where they belong, though their files are not whole."""
        with self._lock:
            return sum(watch.moved for watch in self._watches)

    @property
    def bytes_moved(self) -> int:
        """Bytes of large files that are where they belong, whether or not these are whole by now."""
        with self._lock:
            return self._moved + sum(watch.moved for watch in self._watches)

    def interrupt(self, reason: Interruption) -> None:
        """End soon; the first reason counts."""
        with self._lock:
            self.reason = self.reason or reason
            watches = list(self._watches)
        for watch in watches:
            watch.interrupt(reason)

    def check(self) -> None:
        """Interrupted when it was told to end."""
        if self.reason is not None:
            raise Interrupted(self.reason)

    def wait_for_turn(self) -> None:
        """Wait until something may be moved; whoever has moved it ends its turn. Interrupted when it is to end."""
        while self._turns is not None and not self._turns.acquire(timeout=CHECK_SECONDS):
            self.check()

    def end_turn(self) -> None:
        """Let somebody else move something."""
        if self._turns is not None:
            self._turns.release()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Move something, when its turn comes."""
        self.wait_for_turn()
        try:
            yield
        finally:
            self.end_turn()

    def began(self, watch: Watch) -> None:
        """A large file, or a run of its parts, is being moved under this watch."""
        with self._lock:
            self._watches.add(watch)
            reason = self.reason
        if reason is not None:
            watch.interrupt(reason)

    def ended(self, watch: Watch) -> None:
        """It is moved no longer."""
        with self._lock:
            self._watches.discard(watch)
            self._moved += watch.moved


@dataclass(frozen=True, slots=True)
class Sides:
    """The two trees of a sync: what the winner has, the loser is to have."""

    winner: Tree
    loser: Tree

    def apply(self, action: Action, work: Work) -> Outcome | None:
        """Do what the action says; None where nothing is to be remembered of it. Any TransferError, or Interrupted."""
        work.check()
        if action.verb == Verb.DELETE:
            self.loser.remove(_given(action.loser))
            return Gone(action.path)
        if action.verb == Verb.SET_ASIDE:
            self.loser.set_aside(_given(action.loser))
            return Gone(action.path)
        if action.verb == Verb.FOLDER:
            made = self.loser.make_folder(action.path)
            return Alike(action.path, 0, _given(action.winner), made, "")
        if action.verb in (Verb.COPY, Verb.CONFLICT, Verb.COMPARE):
            return self._again_while_it_changes(action, work)
        return None

    # Large files in runs of parts, by several workers

    def begin(self, action: Action) -> None:
        """Make ready for a large file's parts, so that any number of workers can bring them."""
        with self._sink(action) as (sink, _):
            sink.begin(part_plan(action.size))

    def bring_parts(self, action: Action, first: int, last: int, work: Work) -> None:
        """Bring these parts of a large file that was begun; what is there already is not sent again."""
        plan = part_plan(action.size)
        with self._sink(action) as (sink, _):
            if not sink.join(plan):
                raise IncompleteFileError("what was begun of the file is gone")
            source = self.winner.source(_given(action.winner))
            self._copy(source, sink, plan, [plan.part(number) for number in range(first, last + 1)], work)

    def finish(self, action: Action, work: Work, *, all_went_well: bool) -> Outcome:
        """Make a large file of its parts; where not all went well with them, they are looked at anew."""
        if all_went_well:
            with suppress(IncompleteFileError), self._sink(action) as (sink, description):
                if sink.join(part_plan(action.size)):
                    return self._publish(action, sink, description)
        return self._again_while_it_changes(action, work)

    # Whole files

    def _again_while_it_changes(self, action: Action, work: Work) -> Outcome:
        for _ in range(CHANGES):
            try:
                return self._compare(action, work) if action.verb == Verb.COMPARE else self._bring(action, work)
            except SourceChangedError:
                work.check()
                found = self.winner.find(action.path)
                if found is None:
                    raise SourceChangedError("it vanished while it was to be read") from None
                action = replace(action, winner=found, size=found.size, verb=_verb_for(action, found))
        raise SourceChangedError("it keeps changing while it is read")

    def _compare(self, action: Action, work: Work) -> Outcome:
        """Two files of one size: the same bytes need only be remembered."""
        winner, loser, known = _given(action.winner), _given(action.loser), action.known
        of_winner = _known(known.checksum) if known and known.winner == winner.version else None
        of_loser = _known(known.checksum) if known and known.loser == loser.version else None
        of_winner = of_winner or _told_checksum(self.winner, winner)
        of_loser = of_loser or _told_checksum(self.loser, loser)
        form = of_loser or of_winner or Checksum("", part_plan(winner.size).part_size if _large(winner.size) else 0)
        if of_winner is None or of_winner.part_size != form.part_size:
            of_winner = checksum_of(self.winner.source(winner), winner.size, form.part_size, work)
        if of_loser is None or of_loser.part_size != form.part_size:
            of_loser = checksum_of(self.loser.source(loser), loser.size, form.part_size, work)
        if of_winner == of_loser:
            return Alike(action.path, winner.size, winner, loser, str(of_winner))
        return self._bring(action, work)

    def _bring(self, action: Action, work: Work) -> Outcome:
        if action.in_danger and action.loser is not None:
            self.loser.set_aside(action.loser)
            action = replace(action, loser=self.loser.find(action.path), in_danger=False)
        if _large(action.size):
            return self._bring_large(action, work)
        winner = _given(action.winner)
        with work.turn():
            content = self.winner.read(winner)
            written = self.loser.write(action.path, content, action.loser)
        checksum = str(Checksum(content.md5))
        return Alike(action.path, len(content.content), winner, written, checksum, _digests(content))

    def _bring_large(self, action: Action, work: Work) -> Outcome:
        plan = part_plan(action.size)
        with self._sink(action) as (sink, description):
            sink.begin(plan)
            self._copy(self.winner.source(_given(action.winner)), sink, plan, list(plan), work)
            return self._publish(action, sink, description)

    @contextmanager
    def _sink(self, action: Action) -> Iterator[tuple[TreeSink, Description]]:
        winner = _given(action.winner)
        description = self.winner.describe(winner)
        sink = self.loser.sink(action.path, winner.version, description, action.loser)
        try:
            yield sink, description
        finally:
            sink.close()

    @staticmethod
    def _copy(source: Source, sink: TreeSink, plan: Plan, parts: list[Part], work: Work) -> None:
        watch = Watch(plan, {})
        work.began(watch)
        try:
            allotment = _Parts(parts, source, sink, watch, work)
            copy(source, sink, allotment, watch, connections=min(PART_CONNECTIONS, len(parts)))
        finally:
            work.ended(watch)

    def _publish(self, action: Action, sink: TreeSink, description: Description) -> Outcome:
        """Prove what came, and only then give it its name."""
        winner = _given(action.winner)
        checksum = sink.checksum()
        promised = description.checksum
        if promised is None and not self.loser.checks_what_it_takes:
            promised = checksum_of(self.winner.source(winner), winner.size, checksum.part_size, None)
        if promised is not None and promised.part_size == checksum.part_size and promised != checksum:
            sink.abort()  # or what is stored would be gone on with again
            raise ChecksumMismatchError(f"its bytes have the checksum {checksum}, not {promised}")
        written = sink.publish(winner.size)
        self.loser.settle()
        sink.complete(winner.size)  # what went before may be forgotten: after a crash a comparison would tell
        return Alike(action.path, winner.size, winner, written, str(checksum))


class _Parts:
    """The allotment of a file's parts: those that the sink has already, with the right bytes, are not moved again.

    Whoever takes a part has its turn until it is finished or released.
    """

    def __init__(self, parts: list[Part], source: Source, sink: TreeSink, watch: Watch, work: Work) -> None:
        self._parts = iter(parts)
        self._lock = threading.Lock()
        self._source, self._sink, self._watch, self._work = source, sink, watch, work
        self._stored = frozenset(sink.stored_parts()) if work.alone else None

    def take(self) -> Part | None:
        """The next part that is not there."""
        self._work.wait_for_turn()
        part = None
        try:
            part = self._next_missing()
        finally:
            if part is None:
                self._work.end_turn()
        return part

    def finish(self, part: Part) -> None:  # noqa: ARG002 - the sink knows
        """End the turn."""
        self._work.end_turn()

    def release(self, part: Part) -> None:  # noqa: ARG002 - the next run asks the sink
        """End the turn."""
        self._work.end_turn()

    def _next_missing(self) -> Part | None:
        while True:
            with self._lock:
                part = next(self._parts, None)
            if part is None:
                return None
            self._watch.check()
            if not self._is_there(part):
                return part
            self._watch.noted(part.number, part.size or 0)

    def _is_there(self, part: Part) -> bool:
        if self._stored is not None and part.number not in self._stored:
            return False
        return self._sink.trust(part, self._reading(part))

    def _reading(self, part: Part) -> Callable[[], str]:
        return lambda: part_md5(self._source, part, self._watch.check)


def _told_checksum(tree: Tree, entry: Entry) -> Checksum | None:
    """What a place says of the bytes that it has; what was once written beside a file is not asked: it was changed."""
    return tree.describe(entry).checksum if tree.checks_what_it_takes else None


def checksum_of(source: Source, size: int, part_size: int, work: Work | None) -> Checksum:
    """The checksum of a file in this form, by reading all of it; `part_size` 0 for the whole file's MD5."""
    plan = Plan(size, part_size or max(size, 1))
    check = work.check if work is not None else _go_on
    with ThreadPoolExecutor(PART_CONNECTIONS, thread_name_prefix="checksum") as pool:
        md5s = list(pool.map(lambda part: part_md5(source, part, check), plan))
    return checksum_of_parts(md5s, part_size) if part_size else Checksum(md5s[0])


def part_md5(source: Source, part: Part, check: Callable[[], None]) -> str:
    """The MD5 of a part of the source, as lowercase hex."""
    return md5_of(_read(source, part, check))


def _read(source: Source, part: Part, check: Callable[[], None]) -> Iterator[memoryview]:
    buffer = memoryview(bytearray(CHUNK_BYTES))
    with source.open(part.offset, part.end) as reader:
        while count := reader.readinto(buffer):
            check()
            yield buffer[:count]


def _digests(content: Content) -> Mapping[str, str]:
    """Taken while the bytes are at hand: they would have to be read once more for them."""
    return {
        "md5": content.md5,
        "sha256": hashlib.sha256(content.content).hexdigest(),
        "crc32": f"{zlib.crc32(content.content):08x}",
    }


def _go_on() -> None:
    """Nobody ends this one."""


def _verb_for(action: Action, found: Entry) -> Verb:
    """Another size needs no comparison."""
    other = action.loser
    is_same_size = other is not None and other.size == found.size
    return action.verb if is_same_size or action.verb != Verb.COMPARE else Verb.COPY


def _known(checksum: str) -> Checksum | None:
    return parse_checksum(checksum)


def _large(size: int) -> bool:
    return size > SMALL_BYTES


def _given(entry: Entry | None) -> Entry:
    if entry is None:
        raise ValueError("the plan gave no entry for this action")
    return entry
