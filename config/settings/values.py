"""The kinds of values that settings have: how each is read, and what is wrong with what cannot be."""

from __future__ import annotations

import ipaddress
import json
import os
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit

import dj_database_url
import redis
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import NoDecode

from config.addresses import Network
from config.rates import Rate
from transfers.engine.netguard import Allowance


def _split(value: object) -> object:
    return [item.strip() for item in value.split(",") if item.strip()] if isinstance(value, str) else value


def _host_or_network(value: str) -> str:
    Allowance.parse([value])
    return value


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise ValueError("must be addresses and CIDRs without host bits, like 10.0.0.2 or 10.0.0.0/24") from None


def _rate(value: str) -> str:
    Rate.parse(value)
    return value


def _origin(value: str) -> str:
    parts = _url(value, "http", "https")
    if not parts.hostname or value != f"{parts.scheme}://{parts.netloc}".lower() or parts.username:
        raise ValueError("must be an origin: scheme, host and port alone, in lower case, like https://app.example")
    return value


def _json_object(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except ValueError:
        raise ValueError("must be a JSON object, and is not JSON") from None
    if not isinstance(parsed, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - pydantic collects ValueErrors only
    return parsed


def _url(value: str, *schemes: str) -> SplitResult:
    """Take a URL apart; ValueError without any of its text, which may be a secret."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # read, because it is parsed only then
    except ValueError:
        raise ValueError("cannot be parsed; are its parts percent-encoded?") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
    return parts


def _database_url(value: str) -> str:
    if value:
        if value.startswith("sqlite:") and ":memory:" in value:
            raise ValueError("must name a file: several processes share the database")
        parts = _url(value, "postgres", "postgresql", "sqlite")
        if not parts.path.strip("/"):
            raise ValueError("names no database")
        dj_database_url.parse(value)
    return value


def _redis_url(value: str) -> str:
    if value:
        parts = _url(value, "redis", "rediss", "unix")
        if parts.scheme == "unix" and not parts.path:
            raise ValueError("names no socket")
        redis.connection.parse_url(value)  # type: ignore[no-untyped-call]
    return value


def with_password(url: str, password: str) -> str:
    """The URL with the password where its own is empty (`user:@host`); every other URL as it is."""
    parts = urlsplit(url)
    if not password or parts.password != "":
        return url
    user, _, place = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{quote(password, safe='')}@{place}"))


def _web_url(value: str) -> str:
    if value and not _url(value, "http", "https").hostname:
        raise ValueError("names no host")
    return value


def _folder(value: Path) -> Path:
    """Make the path absolute; ValueError when no folder is or can be there."""
    try:
        path = value.expanduser().absolute()
        nearest = next(place for place in (path, *path.parents) if place.exists())
    except (OSError, RuntimeError):
        raise ValueError("cannot be reached") from None
    if not nearest.is_dir():
        raise ValueError("is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError("cannot be written to")
    return path


WebUrl = Annotated[str, AfterValidator(_web_url)]


class Cloud(BaseModel):
    """Where the cloud of a region is: a bucket, or a folder on this server."""

    model_config = ConfigDict(extra="forbid")

    bucket: str = ""
    endpoint_url: WebUrl = ""
    folder: Annotated[Path, AfterValidator(_folder)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if bool(self.bucket) == bool(self.folder):
            raise ValueError("must name either a bucket or a folder")
        return self


def _paths(value: object) -> object:
    return [item for item in value.split(":") if item] if isinstance(value, str) else value


DatabaseUrl = Annotated[str, AfterValidator(_database_url)]
RedisUrl = Annotated[str, AfterValidator(_redis_url)]
Clouds = Annotated[dict[str, Cloud], NoDecode, BeforeValidator(_json_object)]
Paths = Annotated[list[Path], NoDecode, BeforeValidator(_paths)]
CommaSeparated = Annotated[list[str], NoDecode, BeforeValidator(_split)]
HostsAndNetworks = Annotated[list[Annotated[str, AfterValidator(_host_or_network)]], NoDecode, BeforeValidator(_split)]
Networks = Annotated[list[Annotated[Network, BeforeValidator(_network)]], NoDecode, BeforeValidator(_split)]
Origins = Annotated[list[Annotated[str, AfterValidator(_origin)]], NoDecode, BeforeValidator(_split)]
RateLimit = Annotated[str, AfterValidator(_rate)]
Days = Annotated[float, Field(ge=0)]
JsonObject = Annotated[dict[str, str], NoDecode, BeforeValidator(_json_object)]
Folder = Annotated[Path, AfterValidator(_folder)]
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Bytes = Annotated[int, Field(ge=0)]
