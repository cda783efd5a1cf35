"""How the API description tells of the views: envelopes, parameters and examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.utils import translation
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_field,
    extend_schema_view,
    inline_serializer,
)
from rest_framework import serializers
from rest_framework.views import APIView

from tasks_api import wording
from tasks_api.models import DownloadTask, PrivateUpload, PublicUpload, Task
from tasks_api.models.source import MAX_ID
from tasks_api.serializers.fields import CidField, NumberField, TextField
from tasks_api.serializers.task import (
    MAX_PAGE_SIZE,
    MAX_STATUS,
    DownloadableSourceSerializer,
    DownloadTaskSerializer,
    NewSourceSerializer,
    PageSerializer,
    ReportSerializer,
    SourceIdSerializer,
    UploadReportSerializer,
    UploadTaskSerializer,
    UserSerializer,
    status_choices,
)
from tasks_api.views.base import PAGE_SIZE, WHOLE_LIST

ViewT = TypeVar("ViewT", bound=type[APIView])
_PLAIN = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
"""Text without control characters that is not blank."""
Fields = dict[str, serializers.Field[Any, Any, Any, Any]]


def _or_empty(described: dict[str, Any]) -> dict[str, Any]:
    """What need not be given: empty, it counts as not there."""
    return {"anyOf": [described, {"enum": ["", None]}]}


def _states(kind: type[Task]) -> dict[str, Any]:
    return {"type": "integer", "enum": [status.value for status in kind.statuses()]}


_MOMENT = _or_empty({"type": "string", "format": "date-time"})
_UPLOAD: dict[str, Any] = {
    "id": 233,
    "status": 0,
    "percent": 0,
    "series_id": 233,
    "source_id": 233,
    "source_name": "仙剑奇侠传-电视版（第21集）",
    "uuid": "283509238",
    "ip": "QmdUVasivefLGRkT4R9mzcp82Qoc47UBb5G9bHXdZkW3RP",
    "file": "仙剑奇侠传",
    "name": "仙剑奇侠传-电视版（第21集）",
    "size": 102400,
    "hash": "QmTxvr8VXe37apeBjyPeAGZi5JiRSbwn8mr2DuuqR517Lo",
    "created_at": "2018-05-06 12:00:00",
}
_PRIVATE = {"private_status": 0, "private_name": "仙剑奇侠传-电视版（第21集）", "private_size": 0, "private_hash": ""}
_DOWNLOAD = {**_UPLOAD, **_PRIVATE}
_ME = {
    "id": 7,
    "username": "ann",
    "name": "Ann Lee",
    "first_name": "Ann",
    "last_name": "Lee",
    "email": "ann@studio.example",
    "is_staff": False,
}
_REPORTED = {name: _UPLOAD[name] for name in ("name", "file", "hash", "size", "ip")}

_LANGUAGE = OpenApiParameter(
    "Accept-Language", str, "header", description="`zh` (as without it) or `en`, for messages and names of states."
)
_CONDITION = OpenApiParameter("If-None-Match", str, "header", description="An `ETag` that an answer here came with.")
_ETAG = OpenApiParameter("ETag", str, "header", response=[200, 304], description="Of the bytes of the answer.")
_RETRY_AFTER = OpenApiParameter(
    "Retry-After", {"type": "integer", "minimum": 1}, "header", response=[503], description="Seconds."
)
_NUMBER = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
_ID = OpenApiParameter("id", _NUMBER, "path")
_NOT_MODIFIED = OpenApiResponse(None, "As `If-None-Match` has it.")


# OpenAPI 3.0 has no type for it, and an `enum` of its own would lose it on the way.
@extend_schema_field({"allOf": [{"enum": [None]}], "description": "null"})
class _Null(serializers.JSONField):
    """Always null."""


_FAILURE = inline_serializer(
    "TaskFailure",
    {
        "data": _Null(),
        "message": serializers.CharField(help_text="For the user."),
        "errors": serializers.DictField(
            child=serializers.ListField(child=serializers.CharField()), help_text="Texts by field."
        ),
    },
)
_META: Fields = {
    "count": serializers.IntegerField(help_text="Of all pages."),
    "page": serializers.IntegerField(),
    "page_size": serializers.IntegerField(),
}
_CHOICE = inline_serializer(
    "TaskStatusChoice",
    {"code": serializers.IntegerField(), "name": serializers.CharField()},
    many=True,
)


class _FieldDescribed(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """What is told in a form, as strict as it is taken, and as lenient."""

    def map_serializer_field(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        """As Django's own field of the sort, and more exactly."""
        described = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)  # noqa: SLF001
        described.pop("description", None)  # stands beside it
        exactly = {**described, **self.rules()}
        return exactly if self.target.required else _or_empty(exactly)

    def rules(self) -> dict[str, Any]:
        """What Django's own field does not ask for."""
        return {}


class _NumberFieldDescribed(_FieldDescribed):  # type: ignore[no-untyped-call]
    target_class = NumberField
    match_subclasses = True


class _TextFieldDescribed(_FieldDescribed):  # type: ignore[no-untyped-call]
    target_class = TextField

    def rules(self) -> dict[str, Any]:
        return {"pattern": _PLAIN, "maxLength": self.target.max_length}


class _CidFieldDescribed(_FieldDescribed):  # type: ignore[no-untyped-call]
    target_class = CidField

    def rules(self) -> dict[str, Any]:
        return {"format": "cid", "maxLength": self.target.max_length}


def _report(kind: type[Task], fields: type[ReportSerializer]) -> type[ReportSerializer]:
    """The fields of a report on a task of the kind, which knows the kind's states."""
    field = extend_schema_field(_states(kind))(type("StatusField", (NumberField,), {}))
    return type(f"{kind.__name__}Report", (fields,), {"status": field(max_value=MAX_STATUS), "__doc__": fields.__doc__})


def _envelope(name: str, data: Any, meta: Fields | None = None) -> serializers.Serializer[Any]:
    fields: Fields = {"data": data, "message": serializers.CharField(allow_blank=True)}
    if meta:
        fields["meta"] = inline_serializer(f"{name}Meta", meta)
    return inline_serializer(name, fields)


_UPLOAD_ANSWER = _envelope("UploadTaskAnswer", UploadTaskSerializer())
_DOWNLOAD_ANSWER = _envelope("DownloadTaskAnswer", DownloadTaskSerializer())
_TASK_META: Fields = {**_META, "status_choices": _CHOICE}


def _answer(value: Any, meta: dict[str, Any] | None = None) -> list[OpenApiExample]:
    told = {"data": value, "message": ""} | ({"meta": meta} if meta else {})
    return [OpenApiExample("As the source has it", value=told, response_only=True, status_codes=["200"])]


def _operation(
    name: str, answer: Any, statuses: Sequence[int], *, conditional: bool = False, **options: Any
) -> Callable[[Any], Any]:
    responses: dict[Any, Any] = {(200, "application/json"): answer}
    responses |= {(status, "application/json"): _FAILURE for status in (401, 403, 404, 406, 413, 503, *statuses)}
    parameters = [*options.pop("parameters", ()), _LANGUAGE, _RETRY_AFTER]
    if conditional:
        parameters += [_CONDITION, _ETAG]
        responses[304] = _NOT_MODIFIED
    return extend_schema(operation_id=name, responses=responses, parameters=parameters, **options)


def _views(**operations: Any) -> Callable[[ViewT], ViewT]:
    return extend_schema_view(**operations)


def _choices(kind: type[Task]) -> list[dict[str, Any]]:
    with translation.override(wording.CHINESE):
        return status_choices(kind)


def _list(
    name: str, shown: Any, kind: type[Task], example: dict[str, Any], *, lists: str, page_size: int = PAGE_SIZE
) -> Callable[[Any], Any]:
    filters = [
        OpenApiParameter("status", _or_empty(_states(kind))),
        OpenApiParameter("series_id", _or_empty({**_NUMBER, "minimum": 1})),
        OpenApiParameter("updated_since", _MOMENT, description="Changed then or later; UTC without an offset."),
        PageSerializer,
    ]
    answer = _envelope(
        f"{shown.__name__.removesuffix('Serializer')}{name.title().replace('_', '')}", shown(many=True), _TASK_META
    )
    meta = {"count": 1, "page": 1, "page_size": page_size, "status_choices": _choices(kind)}
    order = "The newest first, or with `updated_since` what changed last."
    pages = f"A page has {page_size:,} rows unless `page_size` says otherwise, which may be up to {MAX_PAGE_SIZE}."
    return _operation(
        *(name, answer, (400,)),
        conditional=True,
        description=f"{lists} {order} {pages}",
        parameters=filters,
        examples=_answer([example], meta),
    )


def _one(
    name: str, answer: Any, report: Any, example: dict[str, Any], told: dict[str, Any]
) -> Callable[[ViewT], ViewT]:
    request = OpenApiExample("A report", value=told, request_only=True)
    return _views(
        get=_operation(f"{name}_detail", answer, (), conditional=True, parameters=[_ID], examples=_answer(example)),
        patch=_operation(
            f"{name}_report",
            answer,
            (400, 409, 415),
            parameters=[_ID],
            request=report,
            examples=[request, *_answer(example)],
        ),
    )


public_uploads = _views(
    get=_list(
        *("public_upload_list", UploadTaskSerializer, PublicUpload, _UPLOAD),
        lists="List the caller's own uploads of public blocks, or to staff everybody's.",
    ),
    post=_operation(
        "public_upload_create",
        _UPLOAD_ANSWER,
        (400, 415),
        request=NewSourceSerializer,
        examples=[
            OpenApiExample(
                "A file of the series",
                value={name: _UPLOAD[name] for name in ("series_id", "uuid", "source_name")},
                request_only=True,
            ),
            *_answer(_UPLOAD),
        ],
    ),
)
private_uploads = _views(
    get=_list(
        *("private_upload_list", UploadTaskSerializer, PrivateUpload, _UPLOAD),
        lists="List the private blocks that the caller has still to upload: without `status`, those at 8 are left out.",
        page_size=WHOLE_LIST,
    )
)
downloads = _views(
    get=_list(
        *("download_task_list", DownloadTaskSerializer, DownloadTask, _DOWNLOAD),
        lists="List the caller's own downloads, or to staff everybody's. One has changed also when its private block "
        "or its grant has.",
    )
)
public_upload = _one(
    *("public_upload", _UPLOAD_ANSWER, _report(PublicUpload, UploadReportSerializer)),
    *(_UPLOAD, {"status": 8, "percent": 100, **_REPORTED}),
)
private_upload = _one(
    *("private_upload", _UPLOAD_ANSWER, _report(PrivateUpload, UploadReportSerializer)),
    *(_UPLOAD, {"status": 3, "percent": 40, **_REPORTED}),
)
download = _one(
    *("download_task", _DOWNLOAD_ANSWER, _report(DownloadTask, ReportSerializer)),
    *(_DOWNLOAD, {"status": 4, "percent": 40}),
)
_CREATES = (400, 409, 415)
new_download = _views(
    get=_operation(
        "download_task_create_by_get",
        _DOWNLOAD_ANSWER,
        _CREATES,
        parameters=[OpenApiParameter("source_id", _NUMBER, required=True, description="Also taken from a form body.")],
        examples=_answer(_DOWNLOAD),
    ),
    post=_operation(
        "download_task_create",
        _DOWNLOAD_ANSWER,
        _CREATES,
        request=SourceIdSerializer,
        examples=[OpenApiExample("A source", value={"source_id": 233}, request_only=True), *_answer(_DOWNLOAD)],
    ),
)
me = _views(
    get=_operation(
        *("user_me", _envelope("UserAnswer", UserSerializer()), ()),
        conditional=True,
        examples=[
            OpenApiExample("A user", value={"data": _ME, "message": ""}, response_only=True, status_codes=["200"])
        ],
    )
)
series_sources = _views(
    get=_operation(
        "series_sources",
        _envelope("SeriesSources", DownloadableSourceSerializer(many=True), _META),
        (400,),
        conditional=True,
        parameters=[_ID, PageSerializer],
        examples=_answer(
            [{name: value for name, value in _DOWNLOAD.items() if name not in ("id", "status", "percent")}],
            {"count": 1, "page": 1, "page_size": WHOLE_LIST},
        ),
    )
)
