"""The source of a download, as the settings have it."""

from __future__ import annotations

import functools

import requests
from django.conf import settings

from transfers.engine import http
from transfers.engine.netguard import Allowance
from transfers.models import Download


@functools.cache
def _session() -> requests.Session:
    """One session a process: small files from one host share connections."""
    environment = settings.ENVIRONMENT
    return http.session(Allowance.parse(environment.fetch_allow), pool_size=environment.worker_threads)


def http_source(download: Download) -> http.HttpSource:
    """A fresh source of the download's URL; AddressForbiddenError when it is one that may not be fetched."""
    environment = settings.ENVIRONMENT
    return http.HttpSource(
        download.url,
        _session(),
        connect_timeout_seconds=environment.download_connect_timeout_seconds,
        stall_seconds=environment.download_stall_seconds,
    )
