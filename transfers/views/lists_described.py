"""How the API description tells of the views of lists and orders."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
    inline_serializer,
)
from rest_framework import serializers

from transfers.models.order import FailureCode
from transfers.serializers.lists import (
    FILE_ENTITY,
    AddRequestSerializer,
    AssociationSerializer,
    ChildrenRequestSerializer,
    OrderRequestSerializer,
)
from transfers.views.ranged import RANGE_PARAMETERS
from transfers.views.stored_file import PROBLEM

_JOB_ID = "a3c1d7f2-5b0e-4c8e-9d57-1f2b6f0c9a11"
_ORDER_ID = "0d6ff1f4-2a1c-4a53-8a3a-6f0f2c9b7b10"
_FILE = {"fileHandleId": "42", "associateObjectId": "42", "associateObjectType": FILE_ENTITY}
_MOMENT = "2026-11-21T09:00:00.000000Z"

_ASSOCIATION = inline_serializer(
    "FileHandleAssociation",
    {
        "fileHandleId": serializers.CharField(),
        "associateObjectId": serializers.CharField(),
        "associateObjectType": serializers.ChoiceField([FILE_ENTITY]),
    },
)
_CHILDREN = inline_serializer(
    "Children",
    {
        "page": inline_serializer(
            "Child",
            {
                "id": serializers.CharField(),
                "name": serializers.CharField(),
                "type": serializers.ChoiceField(["folder", "file"]),
                "fileHandleId": serializers.CharField(required=False),
                "size": serializers.IntegerField(required=False, help_text="Bytes."),
                "createdOn": serializers.DateTimeField(),
            },
            many=True,
        ),
        "nextPageToken": serializers.CharField(required=False),
        "count": serializers.IntegerField(required=False),
        "totalFileSizeMB": serializers.IntegerField(required=False),
    },
)
_LIST = inline_serializer(
    "DownloadList",
    {
        "userId": serializers.CharField(),
        "files": _ASSOCIATION.__class__(many=True),
        "numberOfFiles": serializers.IntegerField(),
        "totalSizeMB": serializers.IntegerField(),
        "updatedOn": serializers.DateTimeField(),
        "etag": serializers.CharField(),
        "nextPageToken": serializers.CharField(required=False),
    },
)
_ORDER = inline_serializer(
    "DownloadOrder",
    {
        "orderId": serializers.CharField(),
        "files": _ASSOCIATION.__class__(many=True),
        "createdOn": serializers.DateTimeField(),
        "createdBy": serializers.CharField(),
        "zipFileName": serializers.CharField(),
        "totalSizeMB": serializers.IntegerField(),
    },
)
_HISTORY = inline_serializer(
    "DownloadOrderSummaryPage",
    {
        "page": inline_serializer(
            "DownloadOrderSummary",
            {
                "orderId": serializers.CharField(),
                "createdOn": serializers.DateTimeField(),
                "zipFileName": serializers.CharField(),
                "numberOfFiles": serializers.IntegerField(),
                "totalSizeMB": serializers.IntegerField(),
            },
            many=True,
        ),
        "nextPageToken": serializers.CharField(required=False),
    },
)
_JOB = inline_serializer("ListJobStarted", {"jobId": serializers.CharField()})
_STATUS = inline_serializer(
    "AsynchronousJobStatus",
    {
        "jobId": serializers.CharField(),
        "jobState": serializers.ChoiceField(["PROCESSING", "FAILED", "COMPLETE"]),
        "progressCurrent": serializers.IntegerField(required=False),
        "progressTotal": serializers.IntegerField(required=False),
        "progressMessage": serializers.CharField(required=False),
        "errorMessage": serializers.CharField(required=False),
        "errorDetails": serializers.CharField(required=False),
    },
)
_RESULT = inline_serializer(
    "BulkFileDownloadResponse",
    {
        "resultZipFileHandleId": serializers.CharField(allow_null=True),
        "userId": serializers.CharField(),
        "fileSummary": inline_serializer(
            "FileDownloadSummary",
            {
                "fileHandleId": serializers.CharField(),
                "associateObjectId": serializers.CharField(),
                "associateObjectType": serializers.ChoiceField([FILE_ENTITY]),
                "zipEntryName": serializers.CharField(),
                "status": serializers.ChoiceField(["SUCCESS", "FAILURE"]),
                "failureCode": serializers.ChoiceField(FailureCode.choices, required=False),
                "failureMessage": serializers.CharField(required=False),
            },
            many=True,
        ),
    },
)


def _or_failed(name: str, *results: Any) -> PolymorphicProxySerializer:
    """What a job was to bring, or that it failed."""
    return PolymorphicProxySerializer(name, [*results, _STATUS], resource_type_field_name=None)


_PROCESSING = OpenApiExample(
    "running",
    {
        "jobId": _JOB_ID,
        "jobState": "PROCESSING",
        "progressCurrent": 1073741824,
        "progressTotal": 2147483648,
        "progressMessage": "512 of 1024 files",
    },
    response_only=True,
    status_codes=["202"],
)
_USER = OpenApiParameter("userid", str, "path", description="A number, or `me`; another user's is for staff.")
_PAGES = [
    OpenApiParameter("pageSize", int, description="Files, or orders, of one page."),
    OpenApiParameter("nextPageToken", str, description="What the page before ended with."),
]


def _problems(*statuses: int) -> dict[int, Any]:
    return dict.fromkeys((401, *statuses), PROBLEM)


def _one(method: str, **options: Any) -> Any:
    return extend_schema_view(**{method: extend_schema(**options)})


children = _one(
    "post",
    operation_id="entity_children",
    request=ChildrenRequestSerializer,
    responses={200: _CHILDREN, **_problems(400, 404)},
    examples=[
        OpenApiExample("the root, with its totals", {"parentId": None, "partMask": 3}, request_only=True),
        OpenApiExample(
            "answer",
            {
                "page": [
                    {"id": "folder-7-c2NhbnM", "name": "scans", "type": "folder", "createdOn": _MOMENT},
                    {
                        "id": "42",
                        "name": "a.txt",
                        "type": "file",
                        "createdOn": _MOMENT,
                        "fileHandleId": "42",
                        "size": 5,
                    },
                ],
                "count": 1,
                "totalFileSizeMB": 1,
            },
            response_only=True,
            status_codes=["200"],
        ),
    ],
)
download_list = extend_schema_view(
    get=extend_schema(
        operation_id="list_detail",
        parameters=[_USER, *_PAGES],
        responses={200: _LIST, 304: None, **_problems(400, 404)},
    ),
    delete=extend_schema(operation_id="list_clear", parameters=[_USER], responses={204: None, **_problems(403, 404)}),
)
start_adding = extend_schema_view(
    **{
        method: extend_schema(
            operation_id=f"list_add_start_{method}",
            parameters=[_USER],
            request=AddRequestSerializer,
            responses={200: _JOB, **_problems(400, 403, 404)},
            examples=[
                OpenApiExample("a folder", {"parentId": "folder-7-c2NhbnM"}, request_only=True),
                OpenApiExample("a query", {"query": {"text": "scan", "minSize": 1024}}, request_only=True),
            ],
        )
        for method in ("post", "put")
    }
)
add = extend_schema_view(
    get=extend_schema(
        operation_id="list_add_result",
        parameters=[_USER, OpenApiParameter("jobId", str, required=True)],
        responses={200: _or_failed("AddResult", _LIST), 202: _STATUS, **_problems(400, 404)},
    ),
    post=extend_schema(
        operation_id="list_add",
        parameters=[_USER],
        request=AssociationSerializer,
        responses={200: _LIST, **_problems(400, 403, 404)},
        examples=[OpenApiExample("a file", _FILE, request_only=True)],
    ),
)
remove = _one(
    "post",
    operation_id="list_remove",
    parameters=[_USER],
    request=AssociationSerializer(many=True),
    responses={200: _LIST, **_problems(400, 403, 404)},
)
job = _one(
    "get",
    operation_id="list_job",
    responses={
        200: OpenApiResponse(_or_failed("JobResult", _LIST, _RESULT), "What the job was to bring, or that it failed."),
        202: _STATUS,
        **_problems(404),
    },
    examples=[_PROCESSING],
)
stop = _one(
    "post",
    operation_id="list_job_stop",
    request=None,
    responses={200: _STATUS, 202: _STATUS, **_problems(403, 404, 409)},
)
make_order = _one(
    "put",
    operation_id="order_make",
    parameters=[_USER],
    request=OrderRequestSerializer,
    responses={200: _ORDER, **_problems(400, 403, 404)},
    examples=[OpenApiExample("some of the list", {"zipFileName": "scans.zip", "subSet": [_FILE]}, request_only=True)],
)
order = _one("get", operation_id="order_detail", responses={200: _ORDER, **_problems(404)})
start_order = _one(
    "post",
    operation_id="order_start",
    request=None,
    responses={200: _JOB, **_problems(403, 404, 409, 413)},
)
order_result = extend_schema_view(
    **{
        method: extend_schema(
            operation_id=f"order_result_{method}",
            request=None,
            responses={200: _or_failed("OrderResult", _RESULT), 202: _STATUS, **_problems(404)},
            examples=[_PROCESSING],
        )
        for method in ("get", "post")
    }
)
history = _one(
    "get", operation_id="order_history", parameters=[_USER, *_PAGES], responses={200: _HISTORY, **_problems(400, 404)}
)
zipped = _one(
    "get",
    operation_id="order_zip",
    parameters=RANGE_PARAMETERS,
    responses={
        (200, "application/zip"): OpenApiTypes.BINARY,
        (206, "application/zip"): OpenApiTypes.BINARY,
        304: OpenApiResponse(None, "The client has it."),
        **_problems(404, 409, 412, 413, 416, 503),
    },
)
