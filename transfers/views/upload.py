"""`/ehealth-base/multipart/upload`: initiate, parts, complete, abort; and the same with a path for each."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils.datastructures import MultiValueDict
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, DataAndFiles
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transfers import audit
from transfers.errors import InvalidInputError
from transfers.models import StoredFile, Upload
from transfers.models.upload import UploadState
from transfers.serializers.upload import (
    CompleteSerializer,
    InitiateSerializer,
    PartSerializer,
    UploadIdSerializer,
    UploadSerializer,
)
from transfers.services import upload as uploads
from transfers.services.upload import IncomingPart
from transfers.views.body import Body, FormFile, StreamedForm, boundary

_MD5_BYTES = 16


class StreamedFormParser(BaseParser):
    """Reads a form up to its file, and leaves that to the view."""

    media_type = "multipart/form-data"

    def parse(
        self,
        stream: Any,
        media_type: str | None = None,  # noqa: ARG002 - the request itself tells more
        parser_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> DataAndFiles[Any, Any]:
        """The form's fields, and under `form` the form itself."""
        request: HttpRequest = stream
        form = StreamedForm(Body(request), boundary(request.META.get("CONTENT_TYPE", "")))
        form.read_fields()
        fields = QueryDict(mutable=True)
        fields.update(form.fields)
        return DataAndFiles(fields, MultiValueDict({"form": [_OpenForm(form)]}))


class _OpenForm:
    """A form among a request's files, which Django closes and copies."""

    def __init__(self, form: StreamedForm) -> None:
        self.form = form

    def close(self) -> None:
        """Nothing is held."""


class UploadAPIView(APIView):
    """What all views of uploads share."""

    @staticmethod
    def caller(request: Request) -> User:
        """The user that the request is made as: permissions let nobody else this far."""
        return cast("User", request.user)

    def state(self, upload: Upload) -> dict[str, Any]:
        """Everything about an upload, with the parts that are stored."""
        shown: dict[str, Any] = dict(UploadSerializer(upload).data)
        return shown | self.completed(upload) | {"parts": uploads.stored_parts(upload=upload)}

    def completed(self, upload: Upload) -> dict[str, Any]:
        """What is told of a finished file; nothing of one that is not finished."""
        stored = upload.stored_file
        if stored is None:
            return {}
        md5 = _md5_of(upload, stored)
        return {
            "fileId": upload.pk,
            "id": stored.pk,
            "fileName": upload.name,
            "size": stored.size,
            **({"md5": md5} if md5 else {}),
            **({} if stored.deleted_at else {"url": self._content_url(stored.pk)}),
            "parts": upload.parts,
        }

    def _content_url(self, stored_id: int) -> str:
        return self.request.build_absolute_uri(reverse("stored-file-content", args=[stored_id]))

    def abort(self, upload_id: int) -> None:
        """End the upload and remove its parts."""
        caller = self.caller(self.request)
        upload = uploads.find(user=caller, upload_id=upload_id)
        deed = {"by": caller, "owner_id": upload.owner_id, "row": upload, "what": "Removed", "flag": audit.DELETION}
        with audit.doing_by_api(**deed):
            uploads.abort(user=caller, upload_id=upload_id)

    def stored(self, upload_id: int, part: IncomingPart, reader: Any) -> Response:
        """Store a part, and tell that it is."""
        stored = uploads.store_part(user=self.caller(self.request), upload_id=upload_id, part=part, reader=reader)
        return Response({"fileId": upload_id, "part": part.number, "md5string": stored.etag})


_BEGUN = inline_serializer(
    "UploadAnswer",
    {
        "fileId": serializers.IntegerField(),
        "suggestedChunkSize": serializers.IntegerField(required=False),
        "completed": serializers.BooleanField(required=False),
        "part": serializers.IntegerField(required=False),
        "md5string": serializers.CharField(required=False),
        "id": serializers.IntegerField(required=False, help_text="Of the stored file."),
        "fileName": serializers.CharField(required=False),
        "size": serializers.IntegerField(required=False),
        "md5": serializers.CharField(required=False),
        "url": serializers.URLField(required=False),
        "parts": serializers.DictField(child=serializers.CharField(), required=False, help_text="MD5s by number."),
        "aborted": serializers.BooleanField(required=False),
    },
)
_PROBLEM = inline_serializer(
    "UploadProblem",
    {
        "type": serializers.CharField(),
        "title": serializers.CharField(),
        "status": serializers.IntegerField(),
        "detail": serializers.CharField(),
        "code": serializers.CharField(),
        "errors": serializers.DictField(child=serializers.ListField(child=serializers.CharField()), required=False),
    },
)


def _problems(*statuses: int) -> dict[tuple[int, str], Any]:
    return {(status, "application/problem+json"): _PROBLEM for status in statuses}


class UploadView(UploadAPIView):
    """The one address of the source."""

    throttle_scope = "bytes"

    parser_classes = [StreamedFormParser]

    @extend_schema(
        operation_id="upload",
        request={
            "multipart/form-data": inline_serializer(
                "UploadForm",
                {
                    "option": serializers.ChoiceField(
                        ["initiate", "complete", "abort"], required=False, help_text="Left out: a part."
                    ),
                    "catalog": serializers.CharField(required=False),
                    "mode": serializers.IntegerField(required=False),
                    "notes": serializers.CharField(required=False),
                    "fileName": serializers.CharField(required=False),
                    "contentType": serializers.CharField(required=False),
                    "fileSize": serializers.IntegerField(required=False),
                    "md5": serializers.CharField(required=False, help_text="Of the file, or of the part."),
                    "fileId": serializers.IntegerField(required=False),
                    "part": serializers.IntegerField(required=False, help_text="From 1."),
                    "parts": serializers.CharField(required=False, help_text='JSON.stringify({1: "md5", …})'),
                    "file": serializers.FileField(required=False, help_text="Best sent last."),
                },
            )
        },
        responses={200: _BEGUN, **_problems(400, 401, 403, 404, 409, 413, 422, 507)},
    )
    def post(self, request: Request) -> Response:
        """Take the step that `option` names; without one, store a part."""
        files: Any = request.FILES
        form: StreamedForm = files["form"].form if "form" in files else _no_form()
        return self._step(form)

    def _step(self, form: StreamedForm) -> Response:
        option = form.fields.get("option", "")
        step = self.steps.get(option)
        if step is None:
            raise InvalidInputError({"option": [f"must be {', '.join(filter(None, self.steps))}, or left out"]})
        if option:  # only now it shows that it is no part
            self.throttle_scope = "starts" if option == "initiate" and not form.fields.get("fileId") else "requests"
            self.check_throttles(self.request)
        return step(self, form)

    def _initiate(self, form: StreamedForm) -> Response:
        file = form.file
        form.finish()
        user = self.caller(self.request)
        if form.fields.get("fileId"):
            upload = uploads.resume(user=user, upload_id=_parsed(UploadIdSerializer, form))
            return Response(_begun(upload) | self._whole(upload) | {"parts": uploads.stored_parts(upload=upload)})
        told = {"fileName": file.name, "contentType": file.content_type} if file else {}
        upload = uploads.initiate(user=user, request=_parsed(InitiateSerializer, form, told))
        return Response(_begun(upload) | self._whole(upload))

    def _whole(self, upload: Upload) -> dict[str, Any]:
        return {"completed": True} | self.completed(upload) if upload.state == UploadState.COMPLETED else {}

    def _part(self, form: StreamedForm) -> Response:
        file = form.file
        if file is None:
            raise InvalidInputError({"file": ["is missing"]})
        if not {"fileId", "part"} <= form.fields.keys():  # they may follow the file
            return self._part_from_behind(form, file)
        parsed = _validated(PartSerializer, form)
        file.promise = lambda: _validated(PartSerializer, form).get("md5") or ""
        part = IncomingPart(number=parsed["part"], size=file.size, slack=file.slack)
        return self.stored(parsed["fileId"], part, file)

    def _part_from_behind(self, form: StreamedForm, file: FormFile) -> Response:
        if "catalog" in form.fields:  # as no part has: the file's bytes are not wanted
            form.finish()
            return self._step(form) if form.fields.get("option") else _no_option()
        with uploads.set_aside(reader=file, size=file.size) as aside:
            form.finish()
            if form.fields.get("option"):
                return self._step(form)
            parsed = _validated(PartSerializer, form)
            part = IncomingPart(number=parsed["part"], size=aside.size, md5=parsed.get("md5") or "")
            return self.stored(parsed["fileId"], part, aside)

    def _complete(self, form: StreamedForm) -> Response:
        form.finish()
        parsed = _validated(CompleteSerializer, form)
        upload = uploads.complete(user=self.caller(self.request), upload_id=parsed["fileId"], parts=parsed["parts"])
        return Response(self.completed(upload))

    def _abort(self, form: StreamedForm) -> Response:
        form.finish()
        upload_id = _parsed(UploadIdSerializer, form)
        self.abort(upload_id)
        return Response({"fileId": upload_id, "aborted": True})

    steps: ClassVar[dict[str, Callable[[UploadView, StreamedForm], Response]]] = {
        "": _part,
        "initiate": _initiate,
        "complete": _complete,
        "abort": _abort,
    }


class UploadDetailView(UploadAPIView):
    """One upload."""

    @extend_schema(operation_id="upload_detail", responses={200: UploadSerializer, **_problems(401, 404)})
    def get(self, request: Request, upload_id: str) -> Response:
        """Tell where the upload stands, and which parts are stored."""
        return Response(self.state(uploads.find(user=self.caller(request), upload_id=int(upload_id))))

    @extend_schema(operation_id="upload_abort", responses={204: None, **_problems(401, 404, 409)})
    def delete(self, request: Request, upload_id: str) -> Response:  # noqa: ARG002 - `abort` asks the view for it
        """End the upload and remove its parts."""
        self.abort(int(upload_id))
        return Response(status=status.HTTP_204_NO_CONTENT)


class UploadPartView(UploadAPIView):
    """One part, as the body of a request."""

    throttle_scope = "bytes"

    @extend_schema(
        operation_id="upload_part",
        request={"application/octet-stream": bytes},
        parameters=[OpenApiParameter("Content-MD5", str, "header", description="Base64 (RFC 1864).")],
        responses={200: _BEGUN, **_problems(400, 401, 404, 409, 413, 422, 507)},
    )
    def put(self, request: Request, upload_id: str, part: str) -> Response:
        """Store the body as this part."""
        body = Body(request._request)  # noqa: SLF001 - the request below has the stream
        md5 = _content_md5(request.headers.get("Content-MD5", ""))
        return self.stored(int(upload_id), IncomingPart(number=int(part), size=body.size, md5=md5), body)


class UploadPartAddressView(UploadAPIView):
    """Where a part may be sent past the service."""

    throttle_scope = "bytes"

    @extend_schema(
        operation_id="upload_part_address",
        request=None,
        responses={
            200: inline_serializer(
                "UploadPartAddress",
                {
                    "url": serializers.URLField(),
                    "method": serializers.CharField(),
                    "headers": serializers.DictField(),
                    "expiresOn": serializers.DateTimeField(),
                },
            ),
            **_problems(400, 401, 404, 409),
        },
    )
    def post(self, request: Request, upload_id: str, part: str) -> Response:
        """Sign an address of the store's own for this part."""
        address = uploads.part_address(user=self.caller(request), upload_id=int(upload_id), number=int(part))
        return Response(
            {"url": address.url, "method": address.method, "headers": {}, "expiresOn": address.expires_at.isoformat()}
        )


def _md5_of(upload: Upload, stored: StoredFile) -> str:
    """What is known of the file from the first answer on, so that every later one is the same."""
    if len(upload.parts) == 1:
        return str(*upload.parts.values())
    return "" if upload.parts else stored.md5


def _begun(upload: Upload) -> dict[str, Any]:
    return {"fileId": upload.pk, "suggestedChunkSize": upload.part_size}


def _no_option() -> Response:
    raise InvalidInputError({"option": ["is missing, and without one a part is sent, which has no catalog"]})


def _no_form() -> StreamedForm:
    raise ParseError("The body must be multipart/form-data, and is empty.")


def _validated(
    serializer: type[serializers.Serializer[Any]], form: StreamedForm, told: Mapping[str, str] | None = None
) -> Any:
    return _checked(serializer, form, told).validated_data


def _parsed(
    serializer: type[serializers.Serializer[Any]], form: StreamedForm, told: Mapping[str, str] | None = None
) -> Any:
    return _checked(serializer, form, told).save()


def _checked(
    serializer: type[serializers.Serializer[Any]], form: StreamedForm, told: Mapping[str, str] | None
) -> serializers.Serializer[Any]:
    """Check the fields, what the file itself tells standing in for those that are not there."""
    given = {name: value for name, value in form.fields.items() if value != ""}
    checked = serializer(data={**(told or {}), **given})
    checked.is_valid(raise_exception=True)
    return checked


def _content_md5(header: str) -> str:
    """The MD5 of RFC 1864's header as hex; "" without one."""
    try:
        digest = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError):
        digest = b"?"
    if digest and len(digest) != _MD5_BYTES:
        raise InvalidInputError({"Content-MD5": ["must be the base64 of an MD5"]})
    return digest.hex()
