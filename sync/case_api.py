"""The API that cases live behind, as its client; what is at this service itself is not called."""

from __future__ import annotations

import json
import random
import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from django.conf import settings

from transfers.errors import CaseApiError, CaseDiffersError, InvalidInputError, NoSuchCaseError

if TYPE_CHECKING:
    from sync.models import Case

PATH = "/api"
"""Where this service has the API itself."""
ATTEMPTS = 3
FIRST_PAUSE_SECONDS = 0.5
MAX_ANSWER_BYTES = 2**20
_PORTS = {"http": 80, "https": 443}
_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT)


def checked_url(api_url: str) -> str:
    """The address of a case API that may be called, without a slash at its end; "" for this service's own.

    InvalidInputError for every other.
    """
    try:
        parts = urlsplit(api_url)
        address = _address(parts)
    except ValueError:
        raise InvalidInputError({"apiUrl": ["must be an http or https URL of a host and a path alone"]}) from None
    path = parts.path.rstrip("/")
    if address in _own_addresses():
        if path != PATH:
            raise InvalidInputError({"apiUrl": [f"this service has the case API at {PATH}"]})
        return ""
    if address not in {_with_port(allowed) for allowed in settings.ENVIRONMENT.case_api_hosts}:
        raise InvalidInputError({"apiUrl": [f"{address} is not among CASE_API_HOSTS"]})
    if parts.scheme == "http" and parts.port == _PORTS["https"]:  # token and patient would go in plain sight
        raise InvalidInputError({"apiUrl": [f"{address} is for https alone"]})
    return f"{parts.scheme}://{address}{path}"


def known(case: Case, *, create: bool) -> uuid.UUID:
    """What the case's API calls it; with `create`, one that it does not know is made there.

    NoSuchCaseError when it does not know the case, CaseDiffersError when it knows another one by the case's id or name,
    CaseApiError when it cannot be asked.
    """
    api_url = checked_url(case.api_url) if case.api_url else ""  # its host may be an allowed one no more
    if not api_url:
        return case.uuid or uuid.uuid4()
    if case.uuid is not None:
        found = _call("GET", f"{api_url}/cases/{case.uuid}/")
        if found is not None:
            _compare(case, found)
            return case.uuid
    if not create:
        raise NoSuchCaseError("The case API does not know this case.")
    made = _call("POST", f"{api_url}/cases/", json=told(case))
    if made is None:
        raise CaseApiError("the case API answers 404 to the making of a case")
    _compare(case, made)
    return _uuid_in(made)


def told(case: Case) -> dict[str, Any]:
    """A case as the API has it."""
    return {
        **({"_id": str(case.uuid)} if case.uuid else {}),
        "ownerGroupId": case.owner_group_id,
        "labId": case.lab_id,
        "pid": case.pid,
        "projectname": case.projectname,
        "projecttype": case.projecttype,
        "s3keypath": case.s3keypath,
        "region": case.region,
    }


def _compare(case: Case, found: dict[str, Any]) -> None:
    """A case that goes by ours' id or name, but is another, must not be mixed up with it."""
    ours = told(case)
    for name in ("ownerGroupId", "pid", "projectname", "s3keypath"):
        if name in found and str(found[name]).strip("/") != str(ours[name]).strip("/"):
            raise CaseDiffersError(f"The case API knows another case by this id or name: its {name} differs.")


def _call(method: str, url: str, **options: Any) -> dict[str, Any] | None:
    """The answer's object; None for 404. What may be over soon is tried again: creating is idempotent."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _call_once(method, url, **options)
        except _PassingError as failure:
            if attempt == ATTEMPTS:
                raise CaseApiError(str(failure)) from None
            time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1))  # noqa: S311
    raise AssertionError("unreachable")


class _PassingError(Exception):
    """A failure that may be over soon."""


def _call_once(method: str, url: str, **options: Any) -> dict[str, Any] | None:
    environment = settings.ENVIRONMENT
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    deadline = time.monotonic() + environment.case_api_timeout_seconds
    if environment.case_api_token:
        headers["Authorization"] = f"Token {environment.case_api_token}"
    with requests.Session() as session:
        session.trust_env = False  # neither a proxy nor a .netrc of this machine has a say
        try:
            with session.request(
                method,
                url,
                headers=headers,
                timeout=environment.case_api_timeout_seconds,
                allow_redirects=False,
                stream=True,
                **options,
            ) as answer:
                return _read(answer, deadline)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _PassingError(f"the case API cannot be reached ({type(error).__name__})") from None


def _read(answer: requests.Response, deadline: float) -> dict[str, Any] | None:
    if answer.status_code == HTTPStatus.NOT_FOUND:
        return None
    if answer.status_code in _AGAIN or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _PassingError(f"the case API answers HTTP {answer.status_code}")
    if answer.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED):
        raise CaseApiError(f"the case API answers HTTP {answer.status_code}")
    try:
        body = json.loads(_content(answer, deadline))
    except (ValueError, RecursionError):
        body = None
    inner = body.get("data", body) if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        raise CaseApiError("the case API answers with something that is no case")
    return inner


def _content(answer: requests.Response, deadline: float) -> bytes:
    """All of the body, however slowly it drips, as long as there is time."""
    content = bytearray()
    while chunk := answer.raw.read1(MAX_ANSWER_BYTES, decode_content=False):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise CaseApiError("the case API answers with more than a case")
        if time.monotonic() > deadline:
            raise _PassingError("the case API takes too long for its answer")
    return bytes(content)


def _uuid_in(found: dict[str, Any]) -> uuid.UUID:
    try:
        return uuid.UUID(str(found["_id"]))
    except (KeyError, ValueError):
        raise CaseApiError("the case API does not tell the case's _id") from None


def _address(parts: SplitResult) -> str:
    """Host and port of a URL; ValueError where it has more to it, or may be read in more than one way."""
    port = _PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    is_plain = parts.netloc.lower() in (host, f"{host}:", f"{host}:{port}")  # so that there are no credentials either
    if parts.scheme not in _PORTS or not (host and port and is_plain) or parts.query or parts.fragment:
        raise ValueError(parts.netloc)
    return f"{host}:{port}"


def _own_addresses() -> set[str]:
    environment = settings.ENVIRONMENT
    names = ("localhost", "127.0.0.1", "[::1]", environment.host, *environment.allowed_hosts)
    own = {f"{name}:{environment.port}".lower() for name in names}
    if environment.public_url:
        own.add(_address(urlsplit(environment.public_url)._replace(path="", query="", fragment="")))
    return own


def _with_port(address: str) -> str:
    return (address if address.rpartition(":")[2].isdecimal() else f"{address}:443").lower()
