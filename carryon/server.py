"""The wire: one method for each thing that can be asked of a Carryon server, each one request."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import quote, urljoin

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from carryon import VERSION
from carryon.answers import Begun, Stored, content
from carryon.errors import BusyError, ClientError, NotCarryonError, UnreachableError, UploadEndedError
from carryon.local_file import PartBody
from carryon.plan import Part

CONNECT_SECONDS = 30.0
"""Also how long a socket may take no byte of what it is handed."""
ANSWER_SECONDS = 90.0
COMPLETE_SECONDS = 600.0
"""A store that is not ours may put thousands of parts together while the answer is awaited."""
_T = TypeVar("_T")
UPLOAD = "/ehealth-base/multipart/upload"


@dataclass(frozen=True, slots=True)
class Description:
    """What the server is told of a file when its upload begins."""

    name: str
    size: int
    md5: str | None
    """Of the whole file, as hex; None when it is not to be checked."""
    catalog: str
    mode: int | None = None
    notes: str | None = None


class Server:
    """A Carryon server as one user of it sees it; for any number of threads. Any of its methods raises ClientError."""

    def __init__(self, url: str, token: str, *, connections: int) -> None:
        """`url` is the server's root; `connections` are kept open."""
        self.url = url.rstrip("/")
        self._session = _session(token, connections)

    def close(self) -> None:
        """Close the connections that are idle."""
        self._session.close()

    def greet(self) -> None:
        """Ask for nothing in particular: who we are is checked all the same."""
        self._ask("GET", "/files/")

    def begin(self, file: Description) -> Begun:
        """Announce a file; the server may have it already."""
        fields = {
            "option": "initiate",
            "catalog": file.catalog,
            "mode": file.mode,
            "notes": file.notes,
            "fileName": file.name,
            "fileSize": file.size,
            "md5": file.md5,
        }
        return _parsed(Begun.parse, self._form(fields))

    def resume(self, file_id: int) -> Begun:
        """Ask what the server has of an upload; NoSuchUploadError, UploadEndedError."""
        return _parsed(Begun.parse, self._form({"option": "initiate", "fileId": file_id}))

    def put_part(self, file_id: int, part: Part, body: PartBody, md5: str) -> str:
        """Send one part, of this MD5; the MD5 that the server has of it then. DamagedError, UploadEndedError."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-MD5": base64.b64encode(bytes.fromhex(md5)).decode(),
        }
        answer = self._ask("PUT", f"{UPLOAD}/{file_id}/parts/{part.number}", data=body, headers=headers)
        return str(answer.get("md5string", "")).lower()

    def complete(self, file_id: int, parts: Mapping[int, str]) -> Stored:
        """Have the file made of these parts; PartsDifferError. BusyError while that is under way already."""
        fields = {"option": "complete", "fileId": file_id, "parts": json.dumps(parts)}
        try:
            return _parsed(Stored.parse, self._form(fields, COMPLETE_SECONDS))
        except UploadEndedError as error:
            raise BusyError(error.message) from error

    def abort(self, file_id: int) -> None:
        """Have an unfinished upload removed; NoSuchUploadError."""
        self._form({"option": "abort", "fileId": file_id})

    def verified(self, stored: Stored) -> bool | None:
        """Whether the server has read the whole file again and found it right; None while it has not."""
        verdict = self._ask("GET", f"/files/{quote(stored.id, safe='')}").get("verified")
        return verdict if isinstance(verdict, bool) else None

    def address(self, stored: Stored) -> str:
        """Where the file's owner gets it: a whole URL."""
        return urljoin(f"{self.url}/", stored.url)

    def _form(self, fields: Mapping[str, object], seconds: float = ANSWER_SECONDS) -> Mapping[str, Any]:
        """Post the fields, those that have a value, as multipart/form-data."""
        form = {name: (None, str(value)) for name, value in fields.items() if value is not None}
        return self._ask("POST", UPLOAD, seconds, files=form)

    def _ask(self, method: str, path: str, seconds: float = ANSWER_SECONDS, **what: Any) -> Mapping[str, Any]:
        with _explained(self.url):
            response = self._session.request(
                method, self.url + path, timeout=(CONNECT_SECONDS, seconds), allow_redirects=False, **what
            )
        return content(response)


class _Token(AuthBase):
    """Says who we are. As an `auth` of its own, so that requests does not put a password from ~/.netrc in its place."""

    def __init__(self, token: str) -> None:
        self._header = f"Bearer {token}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._header
        return request


def _session(token: str, connections: int) -> requests.Session:
    session = requests.Session()
    session.auth = _Token(token)
    session.headers.update({"User-Agent": f"carryon/{VERSION}", "Accept": "application/json"})
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _parsed(parse: Callable[[Mapping[str, Any]], _T], answer: Mapping[str, Any]) -> _T:
    try:
        return parse(answer)
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise NotCarryonError(
            f"the server's answer lacks what a Carryon server tells: {error!r}; check --url"
        ) from error


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what requests raises into errors of ours."""
    try:
        yield
    except requests.Timeout as error:
        raise UnreachableError(f"{url} does not answer") from error
    except requests.exceptions.SSLError as error:
        raise _tls_failure(url, error) from error
    except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
        raise UnreachableError(f"cannot reach {url}: {_reason(error)}") from error
    except requests.RequestException as error:
        raise NotCarryonError(f"{url} cannot be asked: {error}") from error


def _tls_failure(url: str, error: Exception) -> ClientError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return NotCarryonError(
            f"the certificate of {url} is not to be trusted: {_reason(error)}"
            " (REQUESTS_CA_BUNDLE can name a file with your own authority's)"
        )
    return UnreachableError(f"no secure connection to {url}: {_reason(error)}")


def _reason(error: BaseException) -> str:
    """What the operating system said, from under the libraries' own words."""
    causes = list(_causes(error))
    said = (cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror)
    return next(said, None) or str(causes[-1]) or type(causes[-1]).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps, in whatever way each library does that."""
    yield error
    inner = (each for each in (*error.args, error.__cause__) if isinstance(each, BaseException))
    for each in inner:
        yield from _causes(each)
