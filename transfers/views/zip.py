"""`/download/order/{orderId}/zip`: an order's zip, made or not; the bytes are the same."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from transfers.models import Order
from transfers.services import stored_file as files
from transfers.services import zip_stream
from transfers.services.zip_stream import ZipStream
from transfers.views import lists_described as described
from transfers.views.conditions import Validators
from transfers.views.orders import OrdersAPIView
from transfers.views.ranged import RangedAPIView
from transfers.views.slices import MadeSlices, Run, SlicedResponse


@described.zipped
class ZipView(RangedAPIView, OrdersAPIView):
    """The zip of an order."""

    throttle_scope = "bytes"

    def get(self, request: Request, order_id: str) -> HttpResponseBase:
        """Send the zip, or ranges of it."""
        order = self.order(request, order_id)
        stored = zip_stream.made(order=order)
        if stored is not None:
            return self.sent(stored.file, _validators(stored.validator), _headers(order))
        return self._streamed(order)

    def _streamed(self, order: Order) -> HttpResponseBase:
        found = zip_stream.kept(order=order) or self._laid_out(order)
        if not found.layout.count:
            raise NotFound("None of the files of this order is to be had.", "no_files")
        answer = self.answer(_validators(found.layout.validator), found.layout.size, _headers(order))
        pieces = () if self.request.method == "HEAD" else answer.pieces
        return SlicedResponse(MadeSlices(_runs(found, pieces)), status=answer.status, headers=answer.headers)

    def _laid_out(self, order: Order) -> ZipStream:
        """The zip once all files were looked at: that is work, whatever few bytes of it are wanted, and counts."""
        self.throttle_scope = "requests"
        self.check_throttles(self.request)
        return zip_stream.stream(order=order)


def _headers(order: Order) -> dict[str, str]:
    return {
        "Content-Type": "application/zip",
        "Content-Disposition": content_disposition_header(True, order.zip_file_name) or "attachment",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
    }


def _validators(validator: str) -> Validators:
    """What names the zip's bytes; its time does not, for a file of the order that is gone makes other bytes."""
    return Validators(f'"{validator}"')


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
