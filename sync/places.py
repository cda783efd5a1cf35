"""Where a case lies: its local folder, its source, its cloud."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from transfers import folders
from transfers.engine.tree.base import Entry, Kind
from transfers.engine.tree.local import LocalTree
from transfers.engine.tree.names import MAX_KEY_BYTES, problem_of_path
from transfers.errors import InvalidInputError, UnknownRegionError

if TYPE_CHECKING:
    from config.settings.values import Cloud
    from sync.models import Case
    from transfers.engine.tree.base import Tree

MAX_PREFIX_BYTES = 900
"""The longest prefix of a case: something must be left of a key for the path, and PostgreSQL indexes 2,704 bytes."""
STAGING = ".carryon"
"""Folder beside the cases where unfinished files lie; no case is called so."""
MAX_SOURCE_CHARACTERS = 2048


def cloud_of(region: str) -> Cloud:
    """Where the cloud of this region is; UnknownRegionError when nobody has said."""
    environment = settings.ENVIRONMENT
    if region in environment.sync_regions:
        return environment.sync_regions[region]
    if environment.sync_regions or problem_of_name(region):
        raise UnknownRegionError(f"No cloud is configured for the region {region!r}.")
    return environment.folder_cloud(region)


def regions_with(cloud: Cloud) -> list[str]:
    """The configured regions that share this cloud, so that a prefix means the same in them."""
    return [region for region, other in settings.ENVIRONMENT.sync_regions.items() if other == cloud]


def local_folder(case: Case) -> Path:
    """The case's folder on this server."""
    return settings.ENVIRONMENT.sync_save_path / case.folder


def local_tree(case: Case) -> LocalTree:
    """The case's folder on this server, as a tree."""
    return LocalTree(local_folder(case), settings.ENVIRONMENT.sync_save_path / STAGING / str(case.pk))


def source_tree(case: Case, source: str) -> LocalTree:
    """The folder that the case is copied from, to read."""
    return LocalTree(Path(source), settings.ENVIRONMENT.sync_save_path / STAGING / f"{case.pk}-source")


def cloud_folder(case: Case) -> Path | None:
    """The case's folder in a cloud that is one, None in a bucket; UnknownRegionError as with `cloud_tree`."""
    folder = cloud_of(case.region).folder
    return None if folder is None else folder / case.s3keypath


def cloud_tree(case: Case) -> Tree:
    """The case's files in the cloud; UnknownRegionError when its region is not configured any more."""
    cloud = cloud_of(case.region)
    if cloud.folder is None:
        return _s3_tree(cloud, case)
    prefix = hashlib.sha256(case.s3keypath.encode()).hexdigest()[:16]
    return _folder_tree(cloud.folder, case, f"{case.pk}-{prefix}")


def local_trees(case: Case) -> Iterator[Tree]:
    """The trees beside which unfinished files of the case may lie here."""
    yield local_tree(case)


def cloud_trees(case: Case) -> Iterator[Tree]:
    """Those in the cloud; UnknownRegionError as with `cloud_tree`."""
    yield cloud_tree(case)
    folder = cloud_of(case.region).folder
    if folder is not None:
        yield _folder_tree(folder, case, str(case.pk))  # where they lay once, beside those of other services' cases


def _folder_tree(folder: Path, case: Case, staging: str) -> LocalTree:
    """The case's files in a folder that plays cloud: another service's, too, whose cases have the same numbers."""
    return LocalTree(folder / case.s3keypath, folder / STAGING / staging, keeps_checksums=True)


def _s3_tree(cloud: Cloud, case: Case) -> Tree:
    """A bucket's part; what speaks S3 is loaded only now (20 MiB a process). Stores but Amazon's have no regions."""
    s3 = import_module("transfers.engine.s3")
    region = "" if cloud.endpoint_url else case.region
    tree: Tree = s3.S3Tree(s3.S3Place(cloud.bucket, case.s3keypath, cloud.endpoint_url, region))
    return tree


def source_folder(source: str) -> Path | None:
    """The folder on this server that a client's `source` is, below one of the source roots; None when it is not.

    Client prefixes are mapped, and symlinks resolved. InvalidInputError for what can be no folder's name.
    """
    if len(source) > MAX_SOURCE_CHARACTERS:
        raise InvalidInputError({"source": [f"has {len(source)} characters, the limit is {MAX_SOURCE_CHARACTERS}"]})
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in source):
        raise InvalidInputError({"source": ["contains control characters"]})
    mapped = folders.mapped(source)
    if mapped is None:
        return None
    try:
        folder = Path(os.path.realpath(mapped))
    except OSError:
        return None
    roots = [root for path in settings.ENVIRONMENT.sync_source_roots if (root := _real(path)) in folder.parents]
    return folder if roots and not _touches_our_own(folder, roots) else None


def _touches_our_own(folder: Path, roots: list[Path]) -> bool:
    """Whether other cases, the database or the key would be copied along.

    A root above the service's folders does not open them; one that lies in them was put there on purpose.
    """
    environment = settings.ENVIRONMENT
    save_path = _real(environment.sync_save_path)
    clouds = [cloud.folder for cloud in environment.sync_regions.values() if cloud.folder is not None]
    ours = [_real(path) for path in (environment.data_dir, *clouds)]
    return (
        folder.is_relative_to(save_path)
        or any(path.is_relative_to(folder) for path in (save_path, *ours))
        or any(folder.is_relative_to(path) and not any(root.is_relative_to(path) for root in roots) for path in ours)
    )


def within_limits(case: Case, entry: Entry) -> Entry:
    """The entry, or what is wrong with it as a key of the case's."""
    length = len(case.s3keypath.encode()) + 1 + len(entry.path.encode("utf-8", "replace"))
    if entry.kind == Kind.PROBLEM or length <= MAX_KEY_BYTES:
        return entry
    words = f"its key would have {length} bytes, the limit is {MAX_KEY_BYTES}"
    return replace(entry, kind=Kind.PROBLEM, problem=words)


def problem_of_name(name: str) -> str:
    """Why this cannot be the name of one folder that cases are told apart by; "" when it can."""
    if "/" in name or "\\" in name:
        return "contains a slash"
    if name == STAGING:
        return "is a name that is kept for the service"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "contains control characters"
    return problem_of_path(name)


def problems_of_prefix(prefix: str) -> list[str]:
    """Why this cannot be what a case's keys begin with, without slashes around it; nothing when it can."""
    if len(prefix.encode("utf-8", "replace")) > MAX_PREFIX_BYTES:
        return [f"has more than {MAX_PREFIX_BYTES} bytes"]
    return sorted({problem for name in prefix.split("/") if (problem := problem_of_name(name))})


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
