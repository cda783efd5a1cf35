"""`/api/cases/`: the API that cases live behind, which one deployment offers to another."""

from __future__ import annotations

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from sync.serializers.case import CaseRequestSerializer, CaseSerializer
from sync.services import case as cases
from sync.views import described
from sync.views.base import caller, id_of
from transfers.errors import NoSuchCaseError
from transfers.paging import Pages


@described.cases
class CaseListView(APIView):
    """The caller's cases."""

    throttle_scope = "starts"

    def get(self, request: Request) -> Response:
        """List the caller's cases, newest first."""
        pages = Pages()
        page = pages.paginate_queryset(cases.visible(user=caller(request)), request, view=self)
        return pages.get_paginated_response(CaseSerializer(page, many=True).data)

    def post(self, request: Request) -> Response:
        """Have a case, which institution, patient and case name stand for; one that is there is told."""
        serializer = CaseRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        case, is_new = cases.create(user=caller(request), request=serializer.save())
        return Response(CaseSerializer(case).data, status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


@described.case
class CaseDetailView(APIView):
    """One case."""

    def get(self, request: Request, case_id: str) -> Response:
        """Tell what is known of the case."""
        case_uuid = id_of(case_id, NoSuchCaseError("There is no such case."))
        return Response(CaseSerializer(cases.find(user=caller(request), case_uuid=case_uuid)).data)
