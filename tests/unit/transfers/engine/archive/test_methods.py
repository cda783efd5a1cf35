from __future__ import annotations

import pytest

from transfers.engine.archive import Method, method_for


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/csv; charset=utf-8",
        "TEXT/HTML",
        "application/json",
        "application/vnd.api+json",
        "application/xml",
        "image/svg+xml",
        "application/x-ndjson",
        "text/javascript",
        "image/bmp",
    ],
)
def test_worth_deflating(content_type: str) -> None:
    assert method_for(content_type, "file", 256) is Method.DEFLATED
    assert method_for(content_type, "file", 255) is Method.STORED


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/octet-stream",
        "image/jpeg",
        "image/tiff",
        "application/dicom",
        "video/mp4",
        "application/zip",
        "application/pdf",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "nonsense",
        "context/plain",
    ],
)
def test_stored(content_type: str) -> None:
    assert method_for(content_type, "file.txt", 10**9) is Method.STORED


@pytest.mark.parametrize("name", ["data.csv.gz", "DATA.CSV.ZST", "a.svgz"])
def test_stored_where_the_name_tells_that_it_is_compressed(name: str) -> None:
    assert method_for("text/csv", name, 10**9) is Method.STORED
