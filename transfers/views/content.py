"""`/files/{id}/content`: a stored file's bytes, as RFC 9110 has it, and never run in the browser's context."""

from __future__ import annotations

import re

from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from transfers import folders
from transfers.models import StoredFile
from transfers.views.conditions import Validators
from transfers.views.ranged import RANGE_PARAMETERS, RangedAPIView
from transfers.views.stored_file import PROBLEM, StoredFileAPIView

ANY_TYPE = "application/octet-stream"
FALLBACK_NAME = "file"
SHOWN_TYPES = frozenset(
    f"image/{kind}" for kind in ("apng", "avif", "bmp", "gif", "jpeg", "png", "vnd.microsoft.icon", "webp", "x-icon")
) | {"text/plain", "application/pdf"}
"""What a browser may show in place of saving it, besides sound and film: nothing that could hold a script of a page."""
_MEDIA_TYPE = re.compile(r"([\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127})(\s*;\s*charset=[\w.:+-]{1,40})?", re.ASCII)
_OF_MANY = ("multipart/", "message/")
"""Types that would make a client take the file apart."""


class ContentView(RangedAPIView, StoredFileAPIView):
    """The bytes of a stored file."""

    throttle_scope = "bytes"

    @extend_schema(
        operation_id="file_content",
        parameters=[
            OpenApiParameter(
                "disposition",
                str,
                enum=["attachment", "inline"],
                description="`inline` lets a browser show pictures, sound, film, plain text and PDF.",
            ),
            *RANGE_PARAMETERS,
        ],
        responses={
            (200, ANY_TYPE): OpenApiTypes.BINARY,
            (206, ANY_TYPE): OpenApiTypes.BINARY,
            302: OpenApiResponse(None, "The storage's own address, signed."),
            304: OpenApiResponse(None, "The client has it."),
            **dict.fromkeys((401, 404, 412, 416, 503), PROBLEM),
        },
    )
    def get(self, request: Request, pk: str) -> HttpResponseBase:
        """Send the file, or ranges of it."""
        stored = self.found(request, pk)
        headers = headers_of(stored, inline=request.query_params.get("disposition") == "inline")
        return self.sent(stored, validators_of(stored), headers)


def headers_of(stored: StoredFile, *, inline: bool) -> dict[str, str]:
    """What every answer says of the file; `inline` is heeded for what is safe to show."""
    content_type = sanitized(stored.content_type)
    shown = inline and may_be_shown(content_type)
    name = folders.shown_name(stored.name) or FALLBACK_NAME
    return {
        "Content-Type": content_type,
        "Content-Disposition": content_disposition_header(not shown, name) or "attachment",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
        "Cache-Control": "private, no-cache",  # another user of the browser must not be shown what it kept
        "Accept-Ranges": "bytes",
    }


def validators_of(stored: StoredFile) -> Validators:
    """What identifies the bytes; checksums do not, as they become known later."""
    seconds = stored.modified_ns // 10**9
    return Validators(f'"{stored.pk:x}-{stored.size:x}-{stored.modified_ns:x}"', seconds)


def sanitized(content_type: str) -> str:
    """The media type if it is a plain one, with its charset; else one that says nothing."""
    known = _MEDIA_TYPE.match(content_type.strip())
    if known is None or known[1].lower().startswith(_OF_MANY):
        return ANY_TYPE
    return known[0]


def may_be_shown(content_type: str) -> bool:
    """Whether a browser that shows it runs nothing of it."""
    essence = content_type.partition(";")[0].strip().lower()
    return essence in SHOWN_TYPES or essence.startswith(("audio/", "video/"))
