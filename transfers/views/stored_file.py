"""`/files/`: the stored files, and one of them."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import cast

from django.contrib.auth.models import User
from django.http import Http404
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transfers import audit
from transfers.models import StoredFile
from transfers.paging import Pages
from transfers.serializers.stored_file import ServedFileSerializer
from transfers.services import stored_file as files

MAX_ID = 2**63 - 1
"""The largest id that the database can hold."""
_WHOLE_NUMBER = re.compile(r"[0-9]{1,19}")
PROBLEM = OpenApiResponse(OpenApiTypes.OBJECT, "A problem (RFC 9457).")


class StoredFileAPIView(APIView):
    """What all views of stored files share."""

    @staticmethod
    def caller(request: Request) -> User:
        """The user that the request is made as: permissions let nobody else this far."""
        return cast("User", request.user)

    def found(self, request: Request, pk: str) -> StoredFile:
        """The caller's file of this id; Http404 when there is none."""
        return get_object_or_404(files.visible(user=self.caller(request)), pk=_id(pk))


class StoredFileListView(StoredFileAPIView):
    """The stored files."""

    @extend_schema(
        operation_id="file_list",
        parameters=[
            OpenApiParameter("folder", str, description="Exactly this folder."),
            OpenApiParameter("text", str, description="In the name, in any case."),
            OpenApiParameter("id", str, description="Files of these ids, separated by commas: up to 500."),
            OpenApiParameter("page", int),
            OpenApiParameter("page_size", int),
        ],
        responses={
            200: inline_serializer(
                "StoredFilePage",
                {
                    "count": serializers.IntegerField(),
                    "next": serializers.URLField(allow_null=True),
                    "previous": serializers.URLField(allow_null=True),
                    "results": ServedFileSerializer(many=True),
                },
            ),
            **dict.fromkeys((400, 401, 404), PROBLEM),
        },
    )
    def get(self, request: Request) -> Response:
        """List the caller's files, newest first."""
        folder, text = request.query_params.get("folder"), request.query_params.get("text", "")
        if bad := [name for name, value in (("folder", folder), ("text", text)) if "\0" in (value or "")]:
            raise serializers.ValidationError({name: ["null characters are not allowed"] for name in bad})
        ids = _ids(request.query_params["id"]) if "id" in request.query_params else None
        pages = Pages()
        rows = files.visible(user=self.caller(request), folder=folder, text=text, ids=ids)
        page = pages.paginate_queryset(rows, request, view=self)
        return pages.get_paginated_response(ServedFileSerializer(page, many=True, context={"request": request}).data)


class UsageView(StoredFileAPIView):
    """What the caller takes of the storage."""

    @extend_schema(
        operation_id="file_usage",
        responses={
            200: inline_serializer(
                "Usage",
                {
                    "limit": serializers.IntegerField(allow_null=True, help_text="Bytes; null is unlimited."),
                    "used": serializers.IntegerField(help_text="Bytes, of all that follows together."),
                    "files": serializers.IntegerField(help_text="Stored files, zips among them."),
                    "uploads": serializers.IntegerField(help_text="Open uploads."),
                    "downloads": serializers.IntegerField(help_text="Downloads at work, and what stopped ones keep."),
                    "zips": serializers.IntegerField(help_text="Zips that are being made."),
                },
            ),
            401: PROBLEM,
        },
    )
    def get(self, request: Request) -> Response:
        """Tell it in bytes, with the limit."""
        limit, usage = files.usage(user=self.caller(request))
        return Response({"limit": limit, "used": usage.total, **asdict(usage)})


class StoredFileDetailView(StoredFileAPIView):
    """One stored file."""

    @extend_schema(
        operation_id="file_detail", responses={200: ServedFileSerializer, **dict.fromkeys((401, 404), PROBLEM)}
    )
    def get(self, request: Request, pk: str) -> Response:
        """Tell what is known of the file."""
        return Response(ServedFileSerializer(self.found(request, pk), context={"request": request}).data)

    @extend_schema(operation_id="file_delete", responses={204: None, **dict.fromkeys((401, 403, 404), PROBLEM)})
    def delete(self, request: Request, pk: str) -> Response:
        """Delete the file: nobody sees it any more, and its bytes follow."""
        stored, caller = self.found(request, pk), self.caller(request)
        deed = {"by": caller, "owner_id": stored.owner_id, "row": stored, "what": "Deleted", "flag": audit.DELETION}
        with audit.doing_by_api(**deed):
            if not files.delete(user=caller, stored_file_id=stored.pk):
                raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


def _ids(text: str) -> set[int]:
    """The ids that a query names; ValidationError when they are none, or too many."""
    words = text.split(",") if text else []
    if len(words) > Pages.max_page_size or not all(map(_WHOLE_NUMBER.fullmatch, words)):
        wrong = f"must be up to {Pages.max_page_size} numbers, separated by commas"
        raise serializers.ValidationError({"id": [wrong]})
    return {min(int(word), MAX_ID) for word in words}


def _id(pk: str) -> int:
    """The id that the path names; Http404 for a number that no row can have."""
    number = int(pk)
    if number > MAX_ID:
        raise Http404
    return number
