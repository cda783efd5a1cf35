"""`/entity/children`, `/download/list/…` and `/async/…`: browse, pick files, review what was picked."""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from typing import Any, cast

from django.contrib.auth.models import User
from django.core.exceptions import RequestDataTooBig
from django.utils.cache import get_conditional_response
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from transfers import audit
from transfers.errors import InvalidInputError, NoSuchJobError
from transfers.models import ListJob
from transfers.models.list_job import LIVE, ListJobKind, ListJobState
from transfers.serializers.lists import (
    MAX_ASSOCIATIONS,
    AddRequestSerializer,
    AssociationSerializer,
    ChildrenRequestSerializer,
    PageSerializer,
    shown_children,
    shown_list,
    shown_result,
)
from transfers.services import download_list as lists
from transfers.services import folder as folders
from transfers.services import order as orders
from transfers.views import lists_described as described
from transfers.views.long_json import LongJSONParser

MAX_BODY_BYTES = 32 * 2**20
"""What 200,000 associations take, as JSON."""


class ListsAPIView(APIView):
    """What all views of lists and orders share."""

    parser_classes = (LongJSONParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse bodies that no list needs, once it is known who asks."""
        super().initial(request, *args, **kwargs)
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            raise RequestDataTooBig

    @staticmethod
    def caller(request: Request) -> User:
        """The user that the request is made as: permissions let nobody else this far."""
        return cast("User", request.user)

    def owner(self, request: Request, userid: str) -> User:
        """The user whose list or orders the path names."""
        return lists.owner(user=self.caller(request), userid=userid)

    def doing(self, request: Request, owner: User, what: str) -> AbstractContextManager[None]:
        """Run the block in one transaction with the audit of what is done with the list of this owner."""
        return audit.doing_by_api(by=self.caller(request), owner_id=owner.pk, row=owner, what=what)

    @staticmethod
    def parsed(serializer: type[serializers.BaseSerializer[Any]], fields: Any, **options: Any) -> Any:
        """The fields as a value; ValidationError for what is not acceptable."""
        checked = serializer(data=fields, **options)
        checked.is_valid(raise_exception=True)
        return checked

    def answer_for(self, job: ListJob) -> Response:
        """The job's result, or where it stands."""
        told = orders.status(job=job)
        if job.state in LIVE:
            return Response(told, status.HTTP_202_ACCEPTED)
        if job.state != ListJobState.COMPLETED:
            return Response(told)
        if job.kind == ListJobKind.ADD:
            return self.whole(job.user)
        return Response(shown_result(job, orders.summary(job=job)))

    @staticmethod
    def whole(owner: User) -> Response:
        """The user's list, all of it."""
        found, page = lists.look_at_page(user=owner)
        return Response(shown_list(found, page.file_ids))

    def job(self, request: Request, job_id: str) -> ListJob:
        """The caller's job of this id."""
        return orders.job(user=self.caller(request), job_id=parsed_id(job_id, NoSuchJobError("There is no such job.")))


@described.children
class ChildrenView(ListsAPIView):
    """What is in a folder."""

    def post(self, request: Request) -> Response:
        """List folders and files, a page at a time; the totals are of the folder's own files, whatever the page."""
        asked = self.parsed(ChildrenRequestSerializer, request.data).validated_data
        user, parent_id, mask = self.caller(request), asked.get("parentId"), asked.get("partMask") or 0
        page = folders.children(
            user=user,
            parent_id=parent_id,
            token=asked.get("nextPageToken") or "",
            page_size=asked.get("pageSize", folders.PAGE_SIZE),
        )
        totals = folders.totals(user=user, parent_id=parent_id) if mask else None
        return Response(shown_children(page, totals, mask))


@described.download_list
class DownloadListOfUserView(ListsAPIView):
    """A user's download list."""

    def get(self, request: Request, userid: str) -> Response:
        """Tell what is on the list: all of it, or with `pageSize` a page at a time."""
        asked = self.parsed(PageSerializer, request.query_params).validated_data
        owner = self.owner(request, userid)
        page_size = asked.get("pageSize")
        token = asked.get("nextPageToken")
        if token is not None and (not token.isdecimal() or page_size is None):
            raise InvalidInputError({"nextPageToken": ["is not one that a page ended with"]})
        after = min(int(token or 0), 2**63 - 1)
        found, page = lists.look_at_page(user=owner, after=after, page_size=page_size)
        told = Response(
            shown_list(found, page.file_ids, str(page.next_after) if page.next_after else ""),
            headers={"ETag": f'"{found.etag}"', "Cache-Control": "private, no-cache"},
        )
        return cast("Response", get_conditional_response(request._request, etag=f'"{found.etag}"', response=told))  # noqa: SLF001

    def delete(self, request: Request, userid: str) -> Response:
        """Take everything off the list."""
        owner = self.owner(request, userid)
        with self.doing(request, owner, "Took all files off the list"):
            lists.clear(user=owner)
        return Response(status=status.HTTP_204_NO_CONTENT)


@described.start_adding
class AddStartView(ListsAPIView):
    """Adding many files."""

    throttle_scope = "starts"

    def post(self, request: Request, userid: str) -> Response:
        """Have a folder's files, or those that a query finds, put on the list."""
        owner = self.owner(request, userid)
        selection = self.parsed(AddRequestSerializer, request.data).save()
        with self.doing(request, owner, "Asked for files to be put on the list"):
            job = lists.start_adding(user=owner, request=selection)
        return Response({"jobId": str(job.pk)})

    def put(self, request: Request, userid: str) -> Response:
        """The same."""
        return self.post(request, userid)


@described.add
class AddView(ListsAPIView):
    """Adding one file, and the result of adding many."""

    def get(self, request: Request, userid: str) -> Response:
        """Tell the list once the job that adds to it is done, and where it stands until then."""
        owner = self.owner(request, userid)
        if not request.query_params.get("jobId"):
            raise InvalidInputError({"jobId": ["is missing"]})
        job = self.job(request, request.query_params["jobId"])
        if job.kind != ListJobKind.ADD or job.user_id != owner.pk:
            raise NoSuchJobError("There is no such job.")
        return self.answer_for(job)

    def post(self, request: Request, userid: str) -> Response:
        """Put one file on the list."""
        owner = self.owner(request, userid)
        file_id = self.parsed(AssociationSerializer, request.data).validated_data
        with self.doing(request, owner, "Put a file on the list"):
            lists.add(user=owner, file_id=file_id)
        return self.whole(owner)


@described.remove
class RemoveView(ListsAPIView):
    """Removing files."""

    def post(self, request: Request, userid: str) -> Response:
        """Take files off the list; what is not on it is not missed."""
        owner = self.owner(request, userid)
        named = self.parsed(AssociationSerializer, request.data, many=True, max_length=MAX_ASSOCIATIONS)
        with self.doing(request, owner, "Took files off the list"):
            lists.remove(user=owner, file_ids=named.validated_data)
        return self.whole(owner)


@described.job
class JobView(ListsAPIView):
    """The result of any job."""

    def get(self, request: Request, job_id: str) -> Response:
        """Tell the result of the job once it is done, and where it stands until then."""
        return self.answer_for(self.job(request, job_id))


@described.stop
class JobStopView(ListsAPIView):
    """The end of a job."""

    def post(self, request: Request, job_id: str) -> Response:
        """End the job within a second or two; nothing half is left of what it was to make."""
        job, caller = self.job(request, job_id), self.caller(request)
        with audit.doing_by_api(by=caller, owner_id=job.user_id, row=job, what="Stopped"):
            job = orders.stop(job=job)
        return Response(orders.status(job=job), status.HTTP_202_ACCEPTED if job.state in LIVE else 200)


def parsed_id(text: str, unknown: Exception) -> uuid.UUID:
    """The id that a path or a query names; `unknown` is raised for what can be none's."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise unknown from None
