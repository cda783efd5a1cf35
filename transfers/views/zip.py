"""`/download/order/{orderId}/zip`: an order's zip, made or not; the bytes are the same."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack

from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from transfers.models import ListJob, Order
from transfers.services import stored_file as files
from transfers.services import zip_stream
from transfers.services.zip_stream import ZipStream
from transfers.views import lists_described as described
from transfers.views.conditions import Validators
from transfers.views.orders import OrdersAPIView
from transfers.views.ranged import RangedAPIView
from transfers.views.slices import FileSlices, MadeSlices, Run, SlicedResponse


@described.zipped
class ZipView(RangedAPIView, OrdersAPIView):
    """The zip of an order."""

    def get(self, request: Request, order_id: str) -> HttpResponseBase:
        """Send the zip, or ranges of it."""
        order = self.order(request, order_id)
        job = zip_stream.made(order=order)
        return self._made(order, job) if job is not None else self._streamed(order)

    def _made(self, order: Order, job: ListJob) -> HttpResponseBase:
        """The file that a worker has made."""
        stored = job.stored_file
        if stored is None or (file := files.opened(stored=stored)) is None:
            raise NotFound("The zip is not at its place any more: start the order again.", "file_missing")
        with ExitStack() as opened:
            opened.enter_context(file)
            answer = self.answer(_validators(order, job.layout_validator), stored.size, _headers(order))
            opened.pop_all()
        return SlicedResponse(FileSlices(file, answer.pieces), status=answer.status, headers=answer.headers)

    def _streamed(self, order: Order) -> HttpResponseBase:
        found = zip_stream.stream(order=order)
        answer = self.answer(_validators(order, found.layout.validator), found.layout.size, _headers(order))
        pieces = () if self.request.method == "HEAD" else answer.pieces
        return SlicedResponse(MadeSlices(_runs(found, pieces)), status=answer.status, headers=answer.headers)


def _headers(order: Order) -> dict[str, str]:
    return {
        "Content-Type": "application/zip",
        "Content-Disposition": content_disposition_header(True, order.zip_file_name) or "attachment",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
    }


def _validators(order: Order, validator: str) -> Validators:
    return Validators(f'"{validator}"', int(order.created_at.timestamp()))


def _runs(found: ZipStream, pieces: Sequence[bytes | range]) -> Generator[Run]:
    """What is sent, small pieces gathered into larger ones."""
    gathered = bytearray()
    for piece in pieces:
        for run in (piece,) if isinstance(piece, bytes) else found.runs(piece):
            if isinstance(run, bytes) and len(gathered) + len(run) <= files.SENT_BYTES:
                gathered += run
                continue
            if gathered:
                yield bytes(gathered)
                gathered.clear()
            yield run
    if gathered:
        yield bytes(gathered)
