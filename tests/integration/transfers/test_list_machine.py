"""Lists, orders and zips in any order of anybody's doing: the list is as its user left it, and its totals are right."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

import pytest
from django.conf import settings as service_settings
from django.contrib.auth.models import User
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests import battery
from tests.integration.transfers.files import new_file
from tests.integration.transfers.orders import work
from tests.integration.transfers.rows import use
from transfers.errors import InvalidInputError, NoSuchFileError
from transfers.models import DownloadList, ListItem, ListJob, Order
from transfers.models.list_job import ListJobState
from transfers.models.selection import Folder, Selection
from transfers.services import download_list as lists
from transfers.services import order as orders
from transfers.services import stored_file as files
from transfers.services.order import OrderRequest

pytest_plugins = ["tests.integration.transfers.order_fixtures"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("broker", "files_root")]

PICKS = st.lists(st.integers(0, 11), max_size=5)


class ListMachine(RuleBasedStateMachine):
    """The model is the list of ids on the list, in their order, and of each order which of its files are there."""

    def __init__(self) -> None:
        super().__init__()
        self.user = User.objects.create_user(f"machine {User.objects.count()}")
        self.folder = Path(tempfile.mkdtemp(dir=service_settings.ENVIRONMENT.data_dir))
        self.files = [self._file(number) for number in range(12)]
        self.gone: set[int] = set()
        self.listed: list[int] = []
        self.waiting: list[Order] = []

    def _file(self, number: int) -> int:
        content = bytes([number]) * (number * 7)
        facts = {"crc32": f"{zlib.crc32(content):08x}", "sha256": "s", "folder": ["", "a", "b"][number % 3]}
        return new_file(self.user, self.folder / str(number), content, **facts).pk

    @rule(pick=st.integers(0, 11))
    def add(self, pick: int) -> None:
        pk = self.files[pick]
        if pk in self.gone:
            with pytest.raises(NoSuchFileError):
                lists.add(user=self.user, file_id=pk)
            return
        lists.add(user=self.user, file_id=pk)
        self._listed_now([pk])

    @rule(number=st.integers(0, 2))
    def add_folder(self, number: int) -> None:
        found = [pk for pk in self.files[number::3] if pk not in self.gone]
        if not found:
            return
        parent = Folder(self.user.pk, ["", "a", "b"][number]).id if number else None
        job = lists.start_adding(user=self.user, request=Selection(parent_id=parent))
        assert work(job).files_done == len(set(found) - set(self.listed))
        self._listed_now(found)

    @rule(picks=PICKS)
    def remove(self, picks: list[int]) -> None:
        taken = [self.files[pick] for pick in picks]
        lists.remove(user=self.user, file_ids=taken)
        self.listed = [pk for pk in self.listed if pk not in taken]

    @rule()
    def clear(self) -> None:
        lists.clear(user=self.user)
        self.listed = []

    @rule(picks=st.none() | PICKS)
    def order(self, picks: list[int] | None) -> None:
        wanted = None if picks is None else [self.files[pick] for pick in picks]
        request = OrderRequest(zip_file_name="z.zip", sub_set=wanted)
        ordered = self.listed if wanted is None else wanted
        if not ordered or not set(ordered) <= set(self.listed):
            with pytest.raises(InvalidInputError):
                orders.make(user=self.user, request=request)
            return
        order = orders.make(user=self.user, request=request)
        assert list(orders.file_ids(order=order)) == ordered
        self.waiting.append(order)
        self.listed = [pk for pk in self.listed if pk not in ordered]

    @rule(pick=st.integers(0, 11))
    def delete(self, pick: int) -> None:
        """A file; what lists and orders it stays so."""
        files.delete(user=self.user, stored_file_id=self.files[pick])
        self.gone.add(self.files[pick])

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def make_zip(self, data: st.DataObject) -> None:
        """What cannot be in it goes back on the list, once."""
        order = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        assert work(orders.start(order=order)).state == ListJobState.COMPLETED
        back = dict.fromkeys(pk for pk in orders.file_ids(order=order) if pk in self.gone)
        self._listed_now(list(back))
        there = list(dict.fromkeys(pk for pk in orders.file_ids(order=order) if pk not in self.gone))
        assert list(order.items.in_zip().values_list("file_id", flat=True)) == there

    @precondition(lambda self: self.waiting)
    @rule()
    def start_and_stop(self) -> None:
        """Leaves everything as it was."""
        job = orders.start(order=self.waiting[-1])
        assert orders.stop(job=job).state == ListJobState.STOPPED

    def _listed_now(self, pks: list[int]) -> None:
        self.listed += [pk for pk in pks if pk not in self.listed]

    @invariant()
    def the_list_is_as_its_user_left_it(self) -> None:
        assert list(lists.page(user=self.user).file_ids) == self.listed
        items = ListItem.objects.filter(download_list_id=self.user.pk)
        row = lists.look(user=self.user)
        assert (row.files_count, row.total_bytes) == (items.count(), sum(items.values_list("size", flat=True)))
        assert DownloadList.objects.filter(pk=self.user.pk).count() <= 1

    @invariant()
    def no_order_has_two_jobs(self) -> None:
        for order in self.waiting:
            assert order.jobs.standing().count() <= 1
        assert not ListJob.objects.filter(user=self.user, state=ListJobState.RUNNING).exists()


def test_any_order_of_everything() -> None:
    use(service_settings, user_quota_bytes=None)
    run_state_machine_as_test(
        ListMachine,
        settings=settings(
            max_examples=battery.rounds(12, 300),
            stateful_step_count=battery.rounds(25, 60),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
