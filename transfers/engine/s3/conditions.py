"""Writing over nothing but what was seen there: by the store's own conditions, or else after a look.

Amazon's S3 keeps every condition. Others know some and refuse the rest (swift: `If-None-Match: *` yes, `If-Match` no),
or do as if they knew them (rclone). What a store does is found out by the first requests themselves, in a way that
would harm nothing if it were wrong, and remembered for as long as the process lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from botocore.exceptions import ClientError

from transfers.engine.s3.client import S3Place
from transfers.engine.s3.etags import quoted
from transfers.engine.s3.exchange import Answer
from transfers.engine.s3.failures import is_gone, knows_no_condition, sink_failures, status_of
from transfers.engine.s3.objects import find_object
from transfers.errors import ChangedElsewhereError

Send = Callable[[Mapping[str, str]], Answer]
"""Sends a request with these headers besides its own; raises what `FOREIGN` has."""

_NOBODYS = quoted("0" * 32)
"""An ETag that no object has."""


class _UnknownConditionError(Exception):
    """The store does not know the condition, and did nothing."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is remembered of a store: whether it keeps this condition of such requests."""

    endpoint_url: str
    bucket: str
    method: str
    header: str


_kept: dict[_Kind, bool] = {}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a request writes over or removes, and what was seen there."""

    place: S3Place
    key: str
    version: str
    """Its ETag without quotes; "" for nothing."""

    @property
    def condition(self) -> dict[str, str]:
        """That this is what lies there, as a header."""
        return {"If-Match": quoted(self.version)} if self.version else {"If-None-Match": "*"}

    @property
    def boto3_condition(self) -> dict[str, str]:
        """The same as boto3 names it."""
        return {name.replace("-", ""): value for name, value in self.condition.items()}

    def changed(self) -> ChangedElsewhereError:
        """That it is not."""
        return ChangedElsewhereError(f"what lies in {self.place} is not what it was")

    def check(self) -> None:
        """Look; ChangedElsewhereError when something else lies there."""
        found = find_object(self.place, self.key)
        if (found.version if found else "") != self.version:
            raise self.changed()


def forget_stores() -> None:
    """Find out anew what stores do."""
    _kept.clear()


def send_guarded(seen: Seen, method: str, send: Send) -> Answer:
    """Send a request of this method if it finds what was seen; ChangedElsewhereError, and nothing is done, if not.

    Any SinkError. With a store that keeps no such condition, what is written in the moment between the look and the
    request is lost.
    """
    kind = _Kind(seen.place.endpoint_url, seen.place.bucket, method, next(iter(seen.condition)))
    keeps = _kept.get(kind, None if seen.place.endpoint_url else True)
    with sink_failures(seen.place):
        try:
            if keeps:
                return _send(seen, send, seen.condition)
            seen.check()
            if keeps is None:
                return _try_out(seen, send, kind)
        except _UnknownConditionError:
            _kept[kind] = False
            seen.check()
        except ChangedElsewhereError:
            seen.check()  # swift compares an ETag of its own when it is to delete what was made of parts
            if not seen.version:  # it was right, and what was there is gone by now
                return send(seen.condition)
        return send({})


def _try_out(seen: Seen, send: Send, kind: _Kind) -> Answer:
    """Send what may be sent, after a look, in a way that shows whether the store keeps the condition."""
    return _try_match(seen, send, kind) if seen.version else _try_none_match(seen, send, kind)


def _try_match(seen: Seen, send: Send, kind: _Kind) -> Answer:
    """First with a condition that never holds: who keeps it refuses, who does not has done what was to be done."""
    try:
        answer = _send(seen, send, {"If-Match": _NOBODYS})
    except ChangedElsewhereError:
        _kept[kind] = True
        return _send(seen, send, seen.condition)
    _kept[kind] = False
    return answer


def _try_none_match(seen: Seen, send: Send, kind: _Kind) -> Answer:
    """Twice: who keeps the condition refuses the second one, who does not writes the same bytes again."""
    answer = _send(seen, send, seen.condition)
    try:
        _send(seen, send, seen.condition)
    except ChangedElsewhereError:
        _kept[kind] = True
    else:
        _kept[kind] = False
    return answer


def _send(seen: Seen, send: Send, condition: Mapping[str, str]) -> Answer:
    try:
        return send(condition)
    except ClientError as error:
        if status_of(error) == HTTPStatus.PRECONDITION_FAILED or is_gone(error):  # what is gone matches no ETag
            raise seen.changed() from None
        if knows_no_condition(error):
            raise _UnknownConditionError from None
        raise
