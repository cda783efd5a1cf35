"""How a finished file gets its name in a tree, and how one leaves it, so that nothing that anybody put there is lost.

Between a look at a name and a change of it anybody may put another file there. So nothing is removed, and nothing's
place taken, under its own name: the names are swapped, at once, and what came out is looked at where nobody else is at
it. It is removed if it is what was to be replaced, and otherwise it stays where it is, beside the file, under a name
that says what it is. After a crash at any point the old file or the new one has the name, whole, and at worst there is
one of the two beside it without need.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress

from transfers.engine.tree.base import Entry, Kind
from transfers.engine.tree.local.reading import has_same_bytes
from transfers.engine.tree.local.renaming import Spot, exchange, give, look, move, unlink
from transfers.engine.tree.local.versions import is_listed, is_only_renamed, is_unchanged
from transfers.errors import ChangedElsewhereError

Beside = Callable[[], Iterator[bytes]]
"""The names that something can be kept under beside its own, in the order of choice."""


def place(staged: Spot, fileno: int, target: Spot, replaced: Entry | None, beside: Beside) -> None:
    """Give a finished file, which is open, its name, in place of `replaced`; another file is kept beside it.

    Nothing is kept that has the very same bytes, as after a crash just behind the placing of them.
    ChangedElsewhereError when what is there is no file. Whatever fails, what was there is there again.
    """
    placing = _Placing(staged, os.fstat(fileno).st_ino, target, beside)
    try:
        placing.run()
    except (OSError, ChangedElsewhereError):
        placing.take_back()
        raise
    for spot, there in placing.came_out:
        is_replaced = replaced is not None and is_unchanged(there, replaced) and _is_only_renamed(spot, replaced)
        if is_replaced or has_same_bytes(spot, fileno):
            unlink(spot)


def set_aside(target: Spot, entry: Entry, beside: Beside) -> Spot:
    """Rename what was listed to the first name beside it that is free; ChangedElsewhereError when it is not there."""
    there = look(target)
    is_it = there is not None and (stat.S_ISDIR(there.st_mode) if entry.kind is Kind.FOLDER else _is_file(there, entry))
    if not is_it:
        raise ChangedElsewhereError("it is not what was listed any more")
    return _first_free(target.folder, beside, lambda spot: move(target, spot))


def remove_file(target: Spot, entry: Entry, beside: Beside) -> None:
    """Remove what was listed; ChangedElsewhereError, and it stays, when it was changed since. Nothing there is fine."""
    there = look(target)
    if there is None:
        return
    if not (_is_file(there, entry) and is_unchanged(there, entry)):
        raise ChangedElsewhereError("it is not what was listed any more")
    aside = _first_free(target.folder, beside, lambda spot: move(target, spot))
    if not _is_only_renamed(aside, entry):
        _move_back(aside, target)
        raise ChangedElsewhereError("it was changed just now")
    try:
        unlink(aside)
    except OSError:
        _move_back(aside, target)
        raise


class _Placing:
    """A file on its way to its name."""

    def __init__(self, staged: Spot, inode: int, target: Spot, beside: Beside) -> None:
        self._staged, self._ours, self._target = staged, staged, target
        self._inode = inode
        self._beside = beside
        self.came_out: list[tuple[Spot, os.stat_result]] = []
        """Where that is now which had the name, and how it looked before."""

    def run(self) -> None:
        """Try until nobody else was quicker."""
        while True:
            there = look(self._target)
            if there is None:
                with suppress(FileExistsError):
                    give(self._ours, self._target)
                    return
            elif not stat.S_ISREG(there.st_mode):
                raise ChangedElsewhereError("what is in its place is no file")
            elif self._swap(there):
                return

    def take_back(self) -> None:
        """Have nothing of it in the tree."""
        if self._ours != self._staged:
            with suppress(OSError):
                give(self._ours, self._staged)
        for spot, _ in self.came_out:
            _move_back(spot, self._target)

    def _swap(self, there: os.stat_result) -> bool:
        """Take the name from the file that has it; False when that is not the end of it."""
        if self._ours == self._staged:
            self._ours = _first_free(self._target.folder, self._beside, lambda spot: give(self._staged, spot))
        self._check_ours()
        with suppress(FileNotFoundError):  # what had the name is gone: it is free
            if exchange(self._ours, self._target):
                self.came_out.append((self._ours, there))
                return True
            aside = _first_free(self._target.folder, self._beside, lambda spot: move(self._target, spot))
            self.came_out.append((aside, there))
        return False

    def _check_ours(self) -> None:
        """FileNotFoundError when somebody else has placed our file."""
        ours = look(self._ours)
        if ours is None or ours.st_ino != self._inode:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _move_back(aside: Spot, target: Spot) -> None:
    """Have it under its own name again; where somebody has put another file there by now, it stays beside that."""
    with suppress(OSError):
        move(aside, target)


def _is_file(status: os.stat_result, entry: Entry) -> bool:
    return entry.kind is Kind.FILE and stat.S_ISREG(status.st_mode) and is_listed(status, entry)


def _is_only_renamed(spot: Spot, entry: Entry) -> bool:
    status = look(spot)
    return status is not None and is_only_renamed(status, entry)


def _first_free(folder: int, names: Beside, rename: Callable[[Spot], None]) -> Spot:
    """Rename to the first of these names that is free."""
    for name in names():
        spot = Spot(folder, name)
        try:
            rename(spot)
        except FileExistsError:
            continue
        return spot
    raise FileExistsError("no name is left")  # there is no end to them
