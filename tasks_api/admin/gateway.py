"""Asking the IPFS gateway whether what a client has reported can be fetched from it."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from tasks_api.models import UploadTask
from transfers import audit
from transfers.admin import wording
from transfers.services import ipfs


def can_ask(upload: UploadTask | None) -> bool:
    """Whether there is a gateway to ask, and a hash to ask for."""
    return bool(settings.ENVIRONMENT.ipfs_gateway_url and upload and upload.hash)


def ask(admin: ModelAdmin, request: HttpRequest, upload: UploadTask) -> None:
    """Ask, which may take seconds, and tell on the next page what it said."""
    answer = ipfs.reachable(cid=upload.hash)
    said = "it gave the block" if answer.reachable else "it did not give the block"
    audit.record(by=request.user, row=upload, what=f"Asked the gateway: {said}.")
    if answer.reachable:
        told = f"The gateway gave {upload.hash}, verified, after {wording.span(answer.seconds)}."
        admin.message_user(request, told, messages.SUCCESS)
    else:
        told = f"The gateway did not give {upload.hash}: {answer.why_not}."
        admin.message_user(request, told, messages.WARNING)
