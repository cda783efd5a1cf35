"""Initiate, send, send again, cut, complete, abort and kill in any order: the service has what a small model has."""

from __future__ import annotations

import itertools
import json
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ClassVar

import hypothesis.strategies as st
import pytest
import requests
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests import battery
from tests.chaos import Ending
from tests.e2e.carryon import Carryon
from tests.e2e.test_upload_kills import kill_web
from tests.e2e.uploads import Answer, Uploads, at_the_same_time, md5, md5s, part_form, told_of

STEPS = battery.rounds(25, 60)
EXAMPLES = battery.rounds(15, 150)
_seeds = itertools.count(1)

numbers = st.integers(1, 4)
sizes = st.sampled_from([0, 1, 700, 1000, 1000, 1000, 90_000, 1_200_000])
ways = st.sampled_from(["part", "put"])


def fresh_bytes(size: int) -> bytes:
    return random.Random(next(_seeds)).randbytes(size)


@dataclass
class Model:
    """What one upload is: its parts, and what was told of the file once there was one."""

    id: int
    size: int | None
    parts: dict[int, bytes] = field(default_factory=dict)
    told: dict[str, object] | None = None
    gone: bool = False

    @property
    def content(self) -> bytes:
        return b"".join(self.parts[number] for number in sorted(self.parts))

    @property
    def ready(self) -> bool:
        """Whether it can be completed of what it has."""
        whole = sorted(self.parts) == [*range(1, len(self.parts) + 1)] != []
        return whole and self.size in (None, len(self.content))

    def fits(self, content: bytes) -> bool:
        return self.size is None or len(content) <= self.size


class UploadMachine(RuleBasedStateMachine):
    """A few uploads of one user, each held against its model."""

    carryon: ClassVar[Carryon]
    client: ClassVar[Uploads]
    stranger: ClassVar[Uploads]

    uploads = Bundle("uploads")

    def __init__(self) -> None:
        super().__init__()
        self.models: list[Model] = []
        self.kills = 0

    @initialize(kills=st.sampled_from([0, 0, 1]))
    def allow_kills(self, kills: int) -> None:
        """Most runs have none, which take their time."""
        self.kills = kills

    @rule(target=uploads, size=st.sampled_from([None, None, 2000, 3000]))
    def initiate(self, size: int | None) -> Model:
        """Begin one, telling its size or not."""
        upload = self.client.begin("machine.bin", "machine", **({} if size is None else {"fileSize": size}))
        self.models.append(Model(upload, size))
        return self.models[-1]

    def expect(self, answer: Answer, model: Model, content: bytes = b"") -> bool:
        """Whether a part is taken now; AssertionError when the answer says otherwise."""
        if model.gone:
            answer.problem(404, "no_such_upload")
        elif model.told is not None:
            answer.problem(409, "upload_ended")
        elif not model.fits(content):
            answer.problem(413, "too_large")
        else:
            assert answer.data["md5string"] == md5(content)
            return True
        return False

    @rule(model=uploads, number=numbers, size=sizes, way=ways)
    def send(self, model: Model, number: int, size: int, way: str) -> None:
        """Send a part, for the first time or anew."""
        content = fresh_bytes(size)
        if self.expect(getattr(self.client, way)(model.id, number, content), model, content):
            model.parts[number] = content

    @rule(model=uploads, way=ways)
    def send_again(self, model: Model, way: str) -> None:
        """Send what is there already, as a client does whose answers got lost."""
        for number, content in list(model.parts.items())[:2]:
            self.expect(getattr(self.client, way)(model.id, number, content), model, content)

    @rule(model=uploads, number=numbers, size=sizes)
    def send_at_once(self, model: Model, number: int, size: int) -> None:
        """Three send one part with different bytes: one of the three is there."""
        contents = [fresh_bytes(size) for _ in range(3)]
        calls = [lambda content=content: self.client.part(model.id, number, content) for content in contents]  # type: ignore[misc]
        answers = at_the_same_time(calls)
        if all(self.expect(each, model, content) for each, content in zip(answers, contents, strict=True)):
            stored = self.client.stored(model.id)[number]
            (model.parts[number],) = {content for content in contents if md5(content) == stored}

    @rule(
        model=uploads, number=numbers, size=st.sampled_from([50, 1000, 1_200_000]), cut=st.floats(0, 1), data=st.data()
    )
    def send_and_be_cut(self, model: Model, number: int, size: int, cut: float, data: st.DataObject) -> None:
        """The connection ends somewhere before the part does."""
        content = fresh_bytes(size)
        request = b"".join(self.client.request(part_form(model.id, number, content)))
        whole = request.index(content) + size
        with self.client.wire() as wire:
            with suppress(ConnectionError):  # a refusal may have come first
                wire.send(request[: int(cut * whole)])
            wire.cut(data.draw(st.sampled_from([Ending.FIN, Ending.RESET])))

    @rule(model=uploads, number=numbers, way=ways)
    def send_with_a_wrong_md5(self, model: Model, number: int, way: str) -> None:
        """Nothing changes."""
        content, wrong = fresh_bytes(500), md5(b"wrong")
        told = {"md5": wrong} if way == "part" else {"content_md5": wrong}
        answer = getattr(self.client, way)(model.id, number, content, **told)
        if not model.gone and model.told is None:
            answer.problem(422, "md5_mismatch")
        else:
            self.expect(answer, model)

    @rule(model=uploads)
    def complete(self, model: Model) -> None:
        """Complete it of what it has, once or again."""
        answer = self.client.complete(model.id, md5s(model.parts))
        if model.gone:
            answer.problem(404, "no_such_upload")
        elif model.told is not None:
            assert told_of(answer) == model.told
        elif model.ready:
            model.told = told_of(answer)
            assert model.told["size"] == len(model.content)
        else:
            assert answer.status == 409
            assert answer.body["code"] in ("parts_differ", "size_differs")

    @rule(model=uploads, wrong=st.sampled_from(["one more", "one less", "another", "none", "words"]))
    def complete_wrongly(self, model: Model, wrong: str) -> None:
        """Nothing changes."""
        parts = md5s(model.parts)
        last = max(parts, default=0)
        if wrong == "one more":
            parts[last + 1] = md5(b"never sent")
        elif wrong == "one less":
            parts.pop(last, None)
        elif wrong == "another":
            parts[last or 1] = md5(b"another")
        answer = self.client.complete(model.id, {"none": "{}", "words": "words"}.get(wrong, json.dumps(parts)))
        if wrong == "words":
            answer.problem(400, "invalid_input")
        elif model.gone:
            answer.problem(404, "no_such_upload")
        else:
            answer.problem(409, "parts_differ")

    @rule(model=uploads)
    def resume(self, model: Model) -> None:
        """Ask what is there."""
        answer = self.client.resume(model.id)
        if model.gone:
            answer.problem(404, "no_such_upload")
            return
        assert {int(number): each for number, each in answer.data["parts"].items()} == md5s(model.parts)
        assert answer.data.get("completed", False) == (model.told is not None)

    @rule(model=uploads)
    def abort(self, model: Model) -> None:
        """End it, unless it is a file already."""
        answer = self.client.abort(model.id)
        if model.gone:
            answer.problem(404, "no_such_upload")
        elif model.told is not None:
            answer.problem(409, "upload_ended")
        else:
            assert answer.data == {"fileId": model.id, "aborted": True}
            model.gone = True

    @rule(model=uploads)
    def meddle(self, model: Model) -> None:
        """Somebody else gets nowhere."""
        for answer in (self.stranger.part(model.id, 1, b"x"), self.stranger.abort(model.id)):
            answer.problem(404, "no_such_upload")

    @precondition(lambda self: self.kills > 0)
    @rule(model=uploads, number=numbers)
    def kill(self, model: Model, number: int) -> None:
        """`kill -9` of the web process while a part is on its way."""
        self.kills -= 1
        request = b"".join(self.client.request(part_form(model.id, number, fresh_bytes(1_200_000))))
        with self.client.wire() as wire:
            with suppress(ConnectionError):
                wire.send(request[:600_000])
            kill_web(self.carryon)

    @invariant()
    def what_is_stored_is_what_was_sent(self) -> None:
        """Each upload has its parts, and each file its bytes."""
        for model in self.models[-2:]:
            self.check(model)

    def check(self, model: Model) -> None:
        """Hold one upload against its model."""
        answer = self.client.state(model.id)
        if model.gone:
            answer.problem(404, "no_such_upload")
            return
        state = answer.data
        assert {int(number): each for number, each in state["parts"].items()} == md5s(model.parts)
        assert state["completed"] == (model.told is not None)
        if model.told is not None:
            assert self.client.content(model.told) == model.content

    def teardown(self) -> None:
        """All of them, a last time; then nothing is left of them."""
        for model in self.models:
            self.check(model)
            if model.told is not None:
                url = str(model.told["url"]).removesuffix("/content")
                requests.delete(url, headers=self.client.headers, timeout=20)
            elif not model.gone:
                self.client.abort(model.id)
                model.gone = True


@pytest.mark.timeout(battery.rounds(300, 3600))
def test_the_upload_machine(carryon: Carryon) -> None:
    carryon.wait_until_back()
    UploadMachine.carryon = carryon
    UploadMachine.client, UploadMachine.stranger = (
        Uploads(carryon.service.url, carryon.user(name).token) for name in ("machine", "stranger")
    )
    few = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=not battery.LONG,
        database=None,
        phases=[Phase.generate],  # a failure that hangs on the moment does not get smaller
    )
    run_state_machine_as_test(UploadMachine, settings=few)
    left = [path for path in (carryon.data_dir / "files").rglob("machine*.bin") if path.is_file()]
    print(f"{len(left)} files left for the worker to remove")
    carryon.wait_until_back()
