"""What all views of tasks share: the envelope, the language, bodies of bounded size, and conditional answers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import RequestDataTooBig
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import translation
from django.utils.cache import get_conditional_response, patch_vary_headers
from rest_framework import status
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tasks_api import envelope, polls, wording
from tasks_api.models.source import MAX_ID
from tasks_api.polls import Poll
from tasks_api.serializers.fields import FormSerializer
from tasks_api.serializers.task import PageSerializer
from transfers.errors import NoSuchTaskError

ModelT = TypeVar("ModelT", bound=Model)
InstanceT = TypeVar("InstanceT")

PAGE_SIZE = 50
WHOLE_LIST = 1_000
"""Rows that a client is given which knows nothing of pages."""


class TasksAPIView(APIView):
    """Answers in the envelope, in the language that the client prefers."""

    parser_classes = (MultiPartParser, FormParser, *APIView.parser_classes)
    http_method_names = ["get", "head", "post", "patch"]
    envelope = staticmethod(envelope.failure)
    conditional = True
    """Whether what GET answers has an ETag to be asked about."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let everything below speak the client's language."""
        with translation.override(wording.language_for(request.headers.get("Accept-Language", ""))):
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse what no body here needs, once it is known who asks."""
        poll = self._poll(request)  # first, or what becomes of the user meanwhile would be noted as what there is
        super().initial(request, *args, **kwargs)
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise RequestDataTooBig
        self.poll = poll and poll.seeing(polls.topic_of(self.caller(request)))

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Say what the answer depends on, and answer those who have it already in short."""
        final = super().finalize_response(request, response, *args, **kwargs)
        patch_vary_headers(final, polls.VARY)
        final.headers.setdefault("Content-Language", "zh-CN" if translation.get_language() != wording.ENGLISH else "en")
        if request.method in ("GET", "HEAD") and self.conditional and final.status_code == status.HTTP_200_OK:
            final.headers.setdefault("Cache-Control", polls.CACHE_CONTROL)
            final.add_post_render_callback(lambda rendered: _conditional(request, rendered, self.poll))
        else:
            final.headers["Cache-Control"] = "no-store"
        return final

    def _poll(self, request: Request) -> Poll | None:
        """What the request began, if its answer may be asked about again."""
        key = request.META.get("asgi.scope", {}).get(polls.KEY)
        return polls.begin(key) if key and self.conditional else None

    @staticmethod
    def caller(request: Request) -> User:
        """The user that the request is made as: permissions let nobody else this far."""
        return cast("User", request.user)

    @staticmethod
    def parsed(
        serializer: type[FormSerializer[InstanceT]], fields: Any, context: Mapping[str, Any] | None = None
    ) -> InstanceT:
        """The fields as a value; ValidationError for what is not acceptable."""
        checked = serializer(data=fields, context=dict(context or {}))
        checked.is_valid(raise_exception=True)
        return checked.save()

    def paged(
        self, request: Request, rows: QuerySet[ModelT], page_size: int = PAGE_SIZE
    ) -> tuple[list[ModelT], dict[str, int]]:
        """The page of the rows that the query asks for, and what tells of it; two queries."""
        wanted = {"page": 1, "page_size": page_size, **self.parsed(PageSerializer, request.query_params)}
        first = (wanted["page"] - 1) * wanted["page_size"]
        count = rows.count()
        shown = list(rows[first : first + wanted["page_size"]]) if first < count else []
        return shown, {"count": count, **wanted}


def row_id(text: str) -> int:
    """The id that a path names; NoSuchTaskError for a number that no row can have."""
    number = int(text)
    if number > MAX_ID:
        raise NoSuchTaskError("There is no such task.")
    return number


def _conditional(request: Request, rendered: HttpResponse, poll: Poll | None) -> HttpResponse | None:
    """Give the answer an ETag of its bytes, to be asked about; in its place 304 to a client that has them."""
    etag = f'"{hashlib.sha256(rendered.content).hexdigest()[:32]}"'
    rendered.headers["ETag"] = etag
    if poll:
        poll.note(etag)
    return get_conditional_response(request._request, etag=etag, response=rendered)  # noqa: SLF001 - it wants Django's
