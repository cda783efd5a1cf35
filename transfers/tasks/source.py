"""The source of a download, as the settings have it."""

from __future__ import annotations

import functools
import ipaddress
from typing import Protocol, Self
from urllib.parse import urlsplit

import requests
from django.conf import settings

from transfers.engine import http, ipfs
from transfers.engine.base import Abortable, Source, SourceInfo, Validator
from transfers.engine.netguard import Allowance
from transfers.errors import SourceRefusedError
from transfers.models import Download
from transfers.models.encryption import SecretLostError


class RemoteFile(Source, Abortable, Protocol):
    """What a download is fetched from."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def unchanged(self, validator: Validator, size: int) -> bool:
        """Whether the file is still the one with this validator and size. Any SourceError."""


@functools.cache
def _session() -> requests.Session:
    """One session a process: small files from one host share connections."""
    environment = settings.ENVIRONMENT
    return http.session(Allowance.parse(environment.fetch_allow), pool_size=environment.worker_threads)


@functools.cache
def _gateway_session(url: str) -> requests.Session:
    """A session that reaches the gateway also on an address of this network, if that is what the operator named."""
    environment = settings.ENVIRONMENT
    host = urlsplit(url).hostname or ""
    own = [host] if _is_local(host) else []
    return http.session(Allowance.parse([*environment.fetch_allow, *own]), pool_size=environment.worker_threads)


def _is_local(host: str) -> bool:
    """Whether it is an address, or a name without a dot; where another name leads is for its owner to say."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return True


def gateway(**timeouts: float) -> ipfs.Gateway:
    """A fresh asker of the configured IPFS gateway, with other timeouts than the usual if given.

    SourceRefusedError when there is none.
    """
    environment = settings.ENVIRONMENT
    url = environment.ipfs_gateway_url
    if not url:
        raise SourceRefusedError("no IPFS gateway is configured to fetch it through")
    usual = {
        "connect_timeout_seconds": environment.download_connect_timeout_seconds,
        "stall_seconds": environment.download_stall_seconds,
    }
    return ipfs.Gateway(url, _gateway_session(url), **{**usual, **timeouts})


def source_of(download: Download, known: SourceInfo | None = None) -> RemoteFile:
    """A fresh source of the download's URL, of which `known` need not be asked again.

    SourceRefusedError or AddressForbiddenError when it is one that may not be fetched.
    """
    environment = settings.ENVIRONMENT
    try:
        url = download.url
    except SecretLostError:
        raise SourceRefusedError("the stored URL cannot be read since the secret key was changed") from None
    if urlsplit(url).scheme == ipfs.SCHEME:
        return ipfs.IpfsSource(url, gateway(), known=known)
    return http.HttpSource(
        url,
        _session(),
        known=known,
        connect_timeout_seconds=environment.download_connect_timeout_seconds,
        stall_seconds=environment.download_stall_seconds,
    )
