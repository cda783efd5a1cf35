"""One action of a plan, done: bytes go from the winning tree to the losing one, and are proved to be there."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from sync.moving import PART_CONNECTIONS, HashingSource, LongReads, Parts, Work, checksum_of
from sync.plan import Action, Verb
from transfers.engine.copying import Watch, copy
from transfers.engine.plan import Part, Plan
from transfers.engine.tree.base import (
    SMALL_BYTES,
    Checksum,
    Content,
    Description,
    Entry,
    Kind,
    Tree,
    TreeSink,
    checksum_of_parts,
    parse_checksum,
    part_plan,
)
from transfers.errors import (
    ChangedElsewhereError,
    ChecksumMismatchError,
    IncompleteFileError,
    SourceChangedError,
)

CHANGES = 3
"""How often a file that changes while it is read is read again within one sync."""


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
    with_all_below: bool = False
    """Of a folder: whether all that was in it is gone from there, too."""


Outcome = Alike | Gone


@dataclass(frozen=True, slots=True)
class Sides:
    """The two trees of a sync: what the winner has, the loser is to have."""

    winner: Tree
    loser: Tree

    def apply(self, action: Action, work: Work) -> Outcome | None:
        """Do what the action says; None where nothing is to be remembered of it. Any TransferError, or Interrupted."""
        work.check()
        if action.verb == Verb.DELETE:
            loser = _given(action.loser)
            self._check_absence(loser)
            self.loser.remove(loser)
            return Gone(action.path)
        if action.verb == Verb.SET_ASIDE:
            self._set_aside(_given(action.loser))
            return Gone(action.path, with_all_below=action.path.endswith("/"))
        if action.verb == Verb.FOLDER:
            made = self.loser.make_folder(action.path)
            return Alike(action.path, 0, _given(action.winner), made, "")
        if action.verb == Verb.REMEMBER:
            return Alike(action.path, 0, _given(action.winner), _given(action.loser), "")
        if action.verb in (Verb.COPY, Verb.CONFLICT, Verb.COMPARE):
            return self._again_while_it_changes(action, work)
        return None

    def _check_absence(self, loser: Entry) -> None:
        """Ask the winner for a file that it seems to lack: a store's listing may be behind what was written to it.

        An empty folder is not asked for: there is nothing in it to lose.
        """
        if loser.kind is Kind.FILE and self.winner.find(loser.path) is not None:
            raise SourceChangedError("it is not deleted: the winning side has it, which its listing did not tell")

    # Large files in runs of parts, by several workers

    def begin(self, action: Action) -> None:
        """Make ready for a large file's parts, so that any number of workers can bring them."""
        with self._sink(action) as (sink, _):
            sink.begin(part_plan(action.size))

    def bring_parts(self, action: Action, first: int, last: int, work: Work) -> list[str]:
        """Bring these parts of a large file that was begun; what is there already is not sent again.

        Gives their MD5s, as lowercase hex; "" of what was not read from its first byte to its last.
        """
        plan = part_plan(action.size)
        with self._sink(action) as (sink, _):
            if not sink.join(plan):
                raise IncompleteFileError("what was begun of the file is gone")
            return self._copy(action, sink, [plan.part(number) for number in range(first, last + 1)], work)

    def finish(self, action: Action, work: Work, md5s: Sequence[str] = (), *, all_went_well: bool) -> Outcome:
        """Make a large file of its parts; where not all went well with them, they are looked at anew.

        So they are where the losing side has something else by now, which is not to be replaced unseen. `md5s` are
        those of all parts, in order, as they were read, "" where that is not known; none at all is fine.
        """
        if all_went_well and not action.in_danger:
            with suppress(IncompleteFileError), self._sink(action) as (sink, description):
                if sink.join(part_plan(action.size)):
                    return self._publish(action, sink, description, md5s)
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
        of_winner = _known_of_winner(action)
        of_loser = parse_checksum(known.checksum) if known and known.loser == loser.version else None
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
        """Bring a file; what it is to replace goes aside only when all of it is here, or its name would be nobody's."""
        winner = _given(action.winner)
        if _large(action.size):
            return self._bring_large(action, work)
        with work.turn():
            content = self.winner.read(winner)
            replaced = self._out_of_danger(action)
            written = self.loser.write(action.path, content, replaced)
        checksum = str(Checksum(content.md5))
        return Alike(action.path, len(content.content), winner, written, checksum, _digests(content))

    def _out_of_danger(self, action: Action) -> Entry | None:
        """What is to be replaced, when what is in danger there has been set aside."""
        if not action.in_danger or action.loser is None:
            return action.loser
        return self._set_aside(action.loser)

    def _set_aside(self, loser: Entry) -> Entry | None:
        """Keep what the loser has under another name; what of it still has its own name."""
        try:
            self.loser.set_aside(loser)
        except ChangedElsewhereError:
            if self.loser.find(loser.path) is not None:
                raise
            return None  # an earlier attempt came this far
        found = self.loser.find(loser.path)
        # What anybody has put there just now was seen by nobody: it is not to be replaced.
        return found if found is not None and found.version == loser.version else None

    def _bring_large(self, action: Action, work: Work) -> Outcome:
        plan = part_plan(action.size)
        with self._sink(action) as (sink, description):
            sink.begin(plan)
            md5s = self._copy(action, sink, list(plan), work)
            return self._publish(action, sink, description, md5s)

    @contextmanager
    def _sink(self, action: Action) -> Iterator[tuple[TreeSink, Description]]:
        winner = _given(action.winner)
        description = self.winner.describe(winner)
        sink = self.loser.sink(action.path, winner.version, description, action.loser)
        try:
            yield sink, description
        finally:
            sink.close()

    def _copy(self, action: Action, sink: TreeSink, parts: list[Part], work: Work) -> list[str]:
        """Move these parts; their MD5s, "" where they are not known."""
        plan = part_plan(action.size)
        source = self.winner.source(_given(action.winner))
        long_reads = LongReads(source, plan, parts[0].number, parts[-1].number)
        if self.winner.checks_what_it_takes:  # a store, where each request costs
            source = long_reads
        hashing = None if self.loser.checks_what_it_takes else HashingSource(source, plan)
        watch = Watch(plan, {})
        work.began(watch)
        try:
            allotment = Parts(parts, source, sink, watch, work)
            copy(hashing or source, sink, allotment, watch, connections=min(PART_CONNECTIONS, len(parts)))
        finally:
            work.ended(watch)
            long_reads.close()
        if hashing is not None:
            return [hashing.md5s.get(part.number, "") for part in parts]
        stored = sink.stored_parts()  # each as it was read: the place has compared it
        return [stored[part.number].etag if part.number in stored else "" for part in parts]

    def _publish(self, action: Action, sink: TreeSink, description: Description, md5s: Sequence[str]) -> Outcome:
        """Prove what came, and only then set aside what is in danger, and give it its name.

        What was hashed as it came, and is what was promised, is not read back: 0.5 s of 256 MiB.
        """
        winner = _given(action.winner)
        promised = description.checksum or _known_of_winner(action)  # not every store's ETags tell
        seen = _checksum_of_all(md5s, part_plan(winner.size))
        is_proved = seen is not None and seen == promised and not self.loser.checks_what_it_takes
        # In the form that was promised: others have other parts, and a copy within a store may have none any more.
        form = promised.part_size if promised is not None else None
        checksum = seen if seen is not None and is_proved else sink.checksum(form)
        promised = promised or seen
        if promised is None and not self.loser.checks_what_it_takes:
            promised = checksum_of(self.winner.source(winner), winner.size, checksum.part_size, None)
        if promised is not None and promised.part_size == checksum.part_size and promised != checksum:
            sink.abort()  # or what is stored would be gone on with again
            raise ChecksumMismatchError(f"its bytes have the checksum {checksum}, not {promised}")
        self._out_of_danger(action)
        written = sink.publish(winner.size)
        self.loser.settle()
        sink.complete(winner.size)  # what went before may be forgotten: after a crash a comparison would tell
        return Alike(action.path, winner.size, winner, written, str(checksum))


def _checksum_of_all(md5s: Sequence[str], plan: Plan) -> Checksum | None:
    """The checksum of a file whose parts have these MD5s; None unless all are known."""
    return checksum_of_parts(md5s, plan.part_size) if all(md5s) and len(md5s) == len(plan) else None


def _told_checksum(tree: Tree, entry: Entry) -> Checksum | None:
    """What a place says of the bytes that it has; what was once written beside a file is not asked: it was changed."""
    return tree.describe(entry).checksum if tree.checks_what_it_takes else None


def _digests(content: Content) -> Mapping[str, str]:
    """Taken while the bytes are at hand: they would have to be read once more for them."""
    return {
        "md5": content.md5,
        "sha256": hashlib.sha256(content.content).hexdigest(),
        "crc32": f"{zlib.crc32(content.content):08x}",
    }


def _verb_for(action: Action, found: Entry) -> Verb:
    """Another size needs no comparison."""
    other = action.loser
    is_same_size = other is not None and other.size == found.size
    return action.verb if is_same_size or action.verb != Verb.COMPARE else Verb.COPY


def _known_of_winner(action: Action) -> Checksum | None:
    """What the winner's file had when both sides were alike, if it has not changed since."""
    winner, known = action.winner, action.known
    return parse_checksum(known.checksum) if known and winner and known.winner == winner.version else None


def _large(size: int) -> bool:
    return size > SMALL_BYTES


def _given(entry: Entry | None) -> Entry:
    if entry is None:
        raise ValueError("the plan gave no entry for this action")
    return entry
