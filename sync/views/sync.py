"""`/api/file/raylinksync`: ask for a sync, look at it, stop it."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import transaction
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from sync.models import Job
from sync.serializers.sync import SyncRequestSerializer
from sync.services import job as jobs
from sync.views import described
from sync.views.base import SyncAPIView, caller, id_of, success
from sync.views.plan import with_plan
from transfers import audit
from transfers.errors import NoSuchJobError

JSON = "application/json"


@described.ask
class SyncView(SyncAPIView):
    """Syncs of cases."""

    throttle_scope = "starts"

    def post(self, request: Request) -> Response:
        """Accept a sync of a case; a worker does it."""
        serializer = SyncRequestSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            job = jobs.ask(user=caller(request), request=serializer.save())
            deed = f"Asked to sync {'up' if job.up else 'down'}"
            audit.by_api(by=caller(request), owner_id=job.case.user_id, row=job.case, what=deed)
        return Response(success(_named(job)))


@described.look
class SyncDetailView(SyncAPIView):
    """One sync."""

    def get(self, request: Request, job_id: str) -> HttpResponseBase:
        """Tell where the sync stands, and of a dry run that has ended its plan."""
        job = jobs.look(user=caller(request), job_id=_job_id(job_id))
        data = jobs.shown(job=job)
        if job.dry_run and job.is_end:
            return StreamingHttpResponse(with_plan(data, jobs.planned(job=job)), content_type=JSON)
        return Response(success(data))


@described.stop
class SyncStopView(SyncAPIView):
    """The end of one sync."""

    def post(self, request: Request, job_id: str) -> Response:
        """End the sync within a second or two; what is done stays done."""
        user = caller(request)
        job = jobs.look(user=user, job_id=_job_id(job_id))
        with audit.doing_by_api(by=user, owner_id=job.case.user_id, row=job, what="Stopped"):
            job = jobs.stop_job(job=job)
        return Response(success({**_named(job), "state": job.state}))


def _named(job: Job) -> dict[str, Any]:
    return {"jobId": job.pk, "caseId": job.case.uuid}


def _job_id(text: str) -> uuid.UUID:
    return id_of(text, NoSuchJobError("There is no such job."))
