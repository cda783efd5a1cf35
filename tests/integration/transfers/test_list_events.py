"""What is told of the jobs of lists and orders on `/ws/events/`: states that grow, to their end, and to whom."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from pytest_django.fixtures import Settings

from tests.integration.transfers.orders import ordered, ready_file, work
from tests.integration.transfers.rows import in_seconds, new_download, new_user
from tests.integration.transfers.test_consumers import Listener, listening, run
from transfers import progress
from transfers.models import ListJob
from transfers.models.list_job import ListJobState
from transfers.models.selection import Selection
from transfers.progress import ProgressEvent
from transfers.services import download_list as lists
from transfers.services import order as orders
from transfers.services import stored_file as files
from transfers.tasks import reap, zipping

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker")]


@pytest.fixture(autouse=True)
def layer_in_memory(settings: Settings) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ProgressEvent]]:
    """What is told."""
    events: list[ProgressEvent] = []
    monkeypatch.setattr(progress, "publish", events.append)
    return events


async def body(listener: Listener) -> dict[str, Any]:
    name, inner = await listener.text()
    assert name == "list_job"
    found: dict[str, Any] = json.loads(inner)
    return found


def test_the_frames_of_a_zip_to_the_letter(lister: User) -> None:
    order = ordered(lister, ready_file(lister, content=b"12345"))
    job = orders.start(order=order)
    common = {"jobId": str(job.pk), "orderId": str(order.pk), "id": str(job.pk)}

    async def scenario() -> None:
        async with listening(lister) as listener:
            assert await body(listener) == {
                **common, "jobState": "PROCESSING", "progressCurrent": 0, "progressTotal": 5,
                "progressMessage": "0 of 1 files", "revision": 0,
            }  # fmt: skip

    run(scenario)
    work(job)

    async def scenario_of_the_end() -> None:
        async with listening(lister) as listener:
            told = await body(listener)
            assert told["revision"] > 0
            size = told.pop("progressTotal")
            assert told == {
                **common, "jobState": "COMPLETE", "progressCurrent": size, "progressMessage": "1 of 1 files",
                "revision": told["revision"],
            }  # fmt: skip

    run(scenario_of_the_end)
    ListJob.objects.update(ended_at=in_seconds(-61))

    async def scenario_later() -> None:
        async with listening(lister) as listener:
            await listener.hears_nothing()

    run(scenario_later)


def test_frames_go_to_their_user_and_to_staff(lister: User, published: list[ProgressEvent]) -> None:
    other, root = new_user("other"), new_user("root", is_staff=True)
    job = orders.start(order=ordered(lister, ready_file(lister)))
    theirs = lists.start_adding(user=other, request=Selection())
    work(job)
    assert {event.user_id for event in published} == {lister.pk}

    async def scenario() -> None:
        async with listening(lister) as mine, listening(other) as of_other, listening(root) as of_root:
            assert (await body(mine))["id"] == str(job.pk)
            assert (await body(of_other))["id"] == str(theirs.pk)
            assert [(await body(of_root))["id"] for _ in range(2)] == [str(job.pk), str(theirs.pk)]
            for listener in (mine, of_other, of_root):
                await listener.hears_nothing()

    run(scenario)


@pytest.mark.parametrize("name", ["orderId", "jobId", "none", "cid", "another"])
def test_filters(name: str, lister: User) -> None:
    new_download(lister, cid="studio")
    job, second = (orders.start(order=ordered(lister, ready_file(lister))) for _ in range(2))
    value = {"orderId": job.order_id, "jobId": job.pk, "cid": "studio", "another": second.order_id}.get(name, "")
    query = f"?{'orderId' if name == 'another' else name}={value}"
    expected = {"none": 3}.get(name, 1)

    async def scenario() -> None:
        async with listening(lister, query) as listener:
            names = [(await listener.text())[0] for _ in range(expected)]
            await listener.hears_nothing()
            assert names == {"cid": ["download_stream"], "none": ["download_stream", "list_job", "list_job"]}.get(
                name, ["list_job"]
            )

    run(scenario)


def grows(published: list[ProgressEvent]) -> list[dict[str, Any]]:
    """The bodies, whose revisions must grow."""
    revisions = [event.body["revision"] for event in published]
    assert revisions == sorted(set(revisions))
    assert [event.is_end for event in published] == [False] * (len(published) - 1) + [True]
    return [event.body for event in published]


def test_a_zip_tells_how_far_it_is(
    lister: User, published: list[ProgressEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipping, "PUBLISH_SECONDS", 0.0)
    job = orders.start(order=ordered(lister, *(ready_file(lister, content=bytes(3_000_000)) for _ in range(4))))
    real = zipping.copy

    def slow_copy(*given: Any, **options: Any) -> Any:
        time.sleep(0.5)  # for a heartbeat or two
        return real(*given, **options)

    monkeypatch.setattr(zipping, "copy", slow_copy)
    work(job)
    told = grows(published)
    assert len(told) >= 3
    assert {each["jobState"] for each in told[:-1]} == {"PROCESSING"}
    assert (told[-1]["jobState"], told[-1]["progressMessage"]) == ("COMPLETE", "4 of 4 files")
    assert told[-1]["progressCurrent"] == told[-1]["progressTotal"]
    done = [each["progressCurrent"] for each in told]
    assert done == sorted(done)


def test_adding_tells_its_beginning_and_its_end(lister: User, published: list[ProgressEvent]) -> None:
    for _ in range(3):
        ready_file(lister)
    work(lists.start_adding(user=lister, request=Selection()))
    told = grows(published)
    counts = [(each["jobState"], each["progressCurrent"], each["progressTotal"]) for each in told]
    assert counts == [("PROCESSING", 0, 3), ("COMPLETE", 3, 3)]


def stop(job: ListJob) -> None:
    orders.stop(job=job)


def expire(job: ListJob) -> None:
    work(job)
    ListJob.objects.update(expires_at=in_seconds(-1))
    reap()


def delete_zip(job: ListJob) -> None:
    stored = work(job).stored_file
    assert stored is not None
    files.delete(user=job.user, stored_file_id=stored.pk)


ENDS: dict[str, tuple[Callable[[ListJob], None], str, str]] = {
    "stopped": (stop, ListJobState.STOPPED, "The job was stopped."),
    "expired": (expire, ListJobState.EXPIRED, "The zip was removed: start the order again."),
    "deleted": (delete_zip, ListJobState.EXPIRED, "The zip was removed: start the order again."),
}


@pytest.mark.parametrize(("end", "state", "text"), ENDS.values(), ids=ENDS)
def test_other_ends_are_told_too(
    end: Callable[[ListJob], None], state: str, text: str, lister: User, published: list[ProgressEvent]
) -> None:
    job = orders.start(order=ordered(lister, ready_file(lister)))
    end(job)
    last = published[-1]
    assert (last.body["jobState"], last.body["errorDetails"], last.body["errorMessage"]) == ("FAILED", state, text)
    assert last.is_end
    revisions = [event.body["revision"] for event in published]
    assert revisions == sorted(set(revisions))
