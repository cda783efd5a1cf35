"""What an OSError means when a tree on disk is read, and when it is written to."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from transfers.engine.local.disk import sink_errors
from transfers.engine.tree.local.folders import Names
from transfers.engine.tree.names import problem_of_path
from transfers.errors import (
    ChangedElsewhereError,
    FolderUnusableError,
    SourceChangedError,
    SourceError,
    SourceInterruptedError,
    SourceRefusedError,
)

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""It is gone, or something on the way to it is no folder by now; a link is none."""
_IN_THE_WAY = (*_NOT_THERE, errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR)
_REFUSED = (errno.EACCES, errno.EPERM)


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Tell an OSError as what it means for whoever reads what has this path."""
    try:
        yield
    except OSError as error:
        raise reading_failure(path, error) from error


def reading_failure(path: str, error: OSError) -> SourceError:
    """What it means for whoever reads what has this path."""
    if error.errno in _NOT_THERE:
        return SourceChangedError(f"{path or 'the folder'} is no longer what was listed")
    told = f"{path or 'the folder'}: {error.strerror or error}"
    return SourceRefusedError(told) if error.errno in _REFUSED else SourceInterruptedError(told)


@contextmanager
def writing(path: str) -> Iterator[None]:
    """Tell an OSError as what it means for whoever writes, sets aside or removes what has this path."""
    with sink_errors(f"the place of {path}"):
        try:
            yield
        except OSError as error:
            if error.errno in _IN_THE_WAY:
                raise ChangedElsewhereError(f"what is at {path}, or above it, is not what was listed") from error
            raise


def names_to_read(path: str) -> Names:
    """The names on the way to what is to be read; SourceRefusedError for what cannot be a path."""
    if problem := problem_of_path(path):
        raise SourceRefusedError(problem)
    return _names(path)


def names_to_write(path: str) -> Names:
    """The names on the way to what is to be written; FolderUnusableError for what cannot be a path."""
    if problem := problem_of_path(path):
        raise FolderUnusableError(problem)
    return _names(path)


def _names(path: str) -> Names:
    return tuple(path.removesuffix("/").encode().split(b"/"))
