"""`/download/order/{orderId}/state` and `…/failures`: what a page shows of an order."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from transfers.errors import InvalidInputError
from transfers.models.order import FailureCode
from transfers.serializers.lists import PageSerializer
from transfers.serializers.order_state import shown_failures, shown_state
from transfers.services import order_state
from transfers.views.orders import OrdersAPIView
from transfers.views.stored_file import PROBLEM

PAGE_SIZE = 50
MAX_NUMBER = 2**31 - 1
"""The largest number that an order's item can have."""
_JOB = inline_serializer(
    "LastJob",
    {
        "jobId": serializers.CharField(),
        "jobState": serializers.ChoiceField(["PROCESSING", "FAILED", "COMPLETE"]),
        "progressCurrent": serializers.IntegerField(required=False, help_text="Bytes."),
        "progressTotal": serializers.IntegerField(required=False, help_text="Bytes."),
        "progressMessage": serializers.CharField(required=False),
        "errorMessage": serializers.CharField(required=False),
        "errorDetails": serializers.CharField(required=False),
    },
    allow_null=True,
)
_STATE = inline_serializer(
    "OrderState",
    {
        "orderId": serializers.CharField(),
        "numberOfFiles": serializers.IntegerField(),
        "numberOfFailures": serializers.IntegerField(help_text="Files that are not in the zip."),
        "job": _JOB,
        "resultZipFileHandleId": serializers.CharField(allow_null=True),
        "zipSize": serializers.IntegerField(allow_null=True, help_text="Bytes."),
        "expiresOn": serializers.DateTimeField(allow_null=True, help_text="When the zip is removed."),
    },
)
_FAILURES = inline_serializer(
    "OrderFailurePage",
    {
        "page": inline_serializer(
            "OrderFailure",
            {
                "fileHandleId": serializers.CharField(),
                "associateObjectId": serializers.CharField(),
                "associateObjectType": serializers.CharField(),
                "zipEntryName": serializers.CharField(),
                "failureCode": serializers.ChoiceField(FailureCode.choices),
                "failureMessage": serializers.CharField(),
            },
            many=True,
        ),
        "nextPageToken": serializers.CharField(required=False),
    },
)


class OrderStateView(OrdersAPIView):
    """Where an order stands."""

    @extend_schema(operation_id="order_state", responses={200: _STATE, **dict.fromkeys((401, 404), PROBLEM)})
    def get(self, request: Request, order_id: str) -> Response:
        """Tell of its last job, its zip, and how many files are not in it: a few numbers, however large the order."""
        order = self.order(request, order_id)
        return Response(shown_state(order, order_state.look(order=order)))


class OrderFailuresView(OrdersAPIView):
    """The files of an order that are not in its zip."""

    @extend_schema(
        operation_id="order_failures",
        parameters=[
            OpenApiParameter("pageSize", int, description="Files of one page."),
            OpenApiParameter("nextPageToken", str, description="What the page before ended with."),
        ],
        responses={200: _FAILURES, **dict.fromkeys((400, 401, 404), PROBLEM)},
    )
    def get(self, request: Request, order_id: str) -> Response:
        """Tell which they are, and why, a page at a time."""
        order = self.order(request, order_id)
        asked = self.parsed(PageSerializer, request.query_params).validated_data
        token = asked.get("nextPageToken")
        if token is not None and not (token.isascii() and token.isdecimal()):
            raise InvalidInputError({"nextPageToken": ["is not one that a page ended with"]})
        after = None if token is None else min(int(token), MAX_NUMBER)
        page = order_state.failures(order=order, after=after, page_size=asked.get("pageSize", PAGE_SIZE))
        return Response(shown_failures(page))
