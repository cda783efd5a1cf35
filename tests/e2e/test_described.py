"""A walk through the whole API: what it answers and tells is what is described, and looks like the examples."""

from __future__ import annotations

import json

import pytest
import yaml

from config.openapi import BY_HAND
from tests import tour
from tests.integration.test_openapi import OPERATIONS, faults
from tests.unit.test_sockets import faults_of_frame


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tour.Heard:
    return tour.toured(tmp_path_factory.mktemp("tour"))


def test_answers_are_as_described(heard: tour.Heard) -> None:
    wrong = {}
    for exchange in heard.exchanges:
        response = OPERATIONS[exchange.operation]["responses"][str(exchange.status)]
        for media in response.get("content", {}).values():
            if exchange.answer is not None and (found := faults(media["schema"], exchange.answer)):
                wrong[exchange.operation] = found
    assert wrong == {}


def test_every_operation_was_walked_through(heard: tour.Heard) -> None:
    assert {exchange.operation for exchange in heard.exchanges} | set(BY_HAND) == set(OPERATIONS)


def test_the_examples_look_as_what_was_heard(heard: tour.Heard) -> None:
    """`python -m tests.tour` writes them anew."""
    written = yaml.safe_load(tour.EXAMPLES.read_text())
    found = tour.as_examples(heard.exchanges)
    stale = {
        f"{name} {role}"
        for name, told in found.items()
        for role, values in told.items()
        if role not in written.get(name, {})
        or {json.dumps(sorted(v)) for v in values if isinstance(v, dict)}
        != {json.dumps(sorted(v)) for v in written[name][role] if isinstance(v, dict)}
    }
    assert stale == set()


def test_frames_are_as_described(heard: tour.Heard) -> None:
    wrong = {tour.kind_of(name, body): found for name, body in heard.frames if (found := faults_of_frame(name, body))}
    assert wrong == {}
    assert {"Range", "STREAM_RUNNING", "STREAM_COMPLETED", "STREAM_FAIL", "STREAM_FAIL_stopped"} <= {
        tour.kind_of(name, body) for name, body in heard.frames
    }
    assert {name for name, _ in heard.frames} == {"download_stream", "list_job", "raylinksync_stream", "task_update"}
