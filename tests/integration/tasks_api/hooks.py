"""What Schemathesis, which runs in a process of its own, has to be told of the API.

That is what a `cid` looks like, and that numbers may be written in more ways than a description can say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import schemathesis
from hypothesis import strategies as st
from multiformats import CID

_DIGESTS = st.binary(min_size=32, max_size=32).map(lambda digest: ("sha2-256", digest))
CIDS = st.one_of(
    _DIGESTS.map(lambda digest: CID("base58btc", 0, "dag-pb", digest)),
    st.builds(CID, st.sampled_from(["base32", "base36", "base58btc"]), st.just(1), st.just("raw"), _DIGESTS),
)
NUMBERS = ("status", "percent", "size", "series_id", "source_id", "page", "page_size")
_PLAIN = re.compile(r"0|-?[1-9]\d*", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?\d+(\.\d*)?([eE][+-]?\d+)?\s*", re.ASCII)

schemathesis.openapi.format("cid", CIDS.map(str))


@schemathesis.hook
def filter_query(context: Any, query: Any) -> bool:
    """Leave out numbers such as `0.0`, which are taken though no integer is described so."""
    return not any(_NUMBER.fullmatch(text) and not _PLAIN.fullmatch(text) for text in _numbers(query))


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """Leave out numbers in JSON strings, which are taken for the sake of clients that know forms only."""
    return not any(_NUMBER.fullmatch(text) for text in _numbers(body))


def _numbers(fields: Any) -> list[str]:
    """What is told for numbers, where it is not told as an integer."""
    told = [fields.get(name) for name in NUMBERS] if isinstance(fields, Mapping) else []
    return [str(value) for value in told if isinstance(value, str | float)]
