"""The source of a download, as the settings have it."""

from __future__ import annotations

import functools

import requests
from django.conf import settings

from transfers.engine import http
from transfers.engine.base import SourceInfo
from transfers.engine.netguard import Allowance
from transfers.errors import SourceRefusedError
from transfers.models import Download
from transfers.models.encryption import SecretLostError


@functools.cache
def _session() -> requests.Session:
    """One session a process: small files from one host share connections."""
    environment = settings.ENVIRONMENT
    return http.session(Allowance.parse(environment.fetch_allow), pool_size=environment.worker_threads)


def http_source(download: Download, known: SourceInfo | None = None) -> http.HttpSource:
    """A fresh source of the download's URL, of which `known` need not be asked again.

    AddressForbiddenError when it is one that may not be fetched.
    """
    environment = settings.ENVIRONMENT
    try:
        url = download.url
    except SecretLostError:
        raise SourceRefusedError("the stored URL cannot be read since the secret key was changed") from None
    return http.HttpSource(
        url,
        _session(),
        known=known,
        connect_timeout_seconds=environment.download_connect_timeout_seconds,
        stall_seconds=environment.download_stall_seconds,
    )
