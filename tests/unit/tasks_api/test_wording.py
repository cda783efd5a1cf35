"""Which language is spoken, and that everything has words in both."""

from __future__ import annotations

import re

import pytest
from django.utils import translation

from config import exception_handler
from tasks_api import wording
from tasks_api.envelope import failure, failure_for
from tasks_api.models import Status
from transfers import errors

HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "zh-hans"),
        ("*", "zh-hans"),
        ("zh", "zh-hans"),
        ("zh-TW,zh;q=0.9,en;q=0.8", "zh-hans"),
        ("en", "en"),
        ("en-US,en;q=0.9,zh;q=0.1", "en"),
        ("en;q=0.3,zh;q=0.7", "zh-hans"),
        ("de,en;q=0.5", "en"),
        ("de,fr;q=0.5", "zh-hans"),
        ("de,*;q=0.5", "zh-hans"),
        ("*;q=0.5,en;q=0.4", "zh-hans"),
        ("en;q=0", "zh-hans"),
        ("EN", "en"),
        ("english", "zh-hans"),
        (";;;,,,q=", "zh-hans"),
        ("\0", "zh-hans"),
        ("en" * 10_000, "zh-hans"),
        ("en," * 10_000, "en"),
    ],
)
def test_the_language_that_is_preferred(header: str, language: str) -> None:
    assert wording.language_for(header) == language


def test_every_text_is_in_both_languages() -> None:
    pairs = [*wording._TEXTS.values(), *wording.STATUS_NAMES.values()]
    for chinese, english in pairs:
        assert HAN.search(chinese)
        assert not HAN.search(english)
        assert chinese.count("{}") == english.count("{}")
    assert set(wording.STATUS_NAMES) == set(Status.values)
    assert all(HAN.search(text) for text in wording.REFUSALS.values())


def test_every_refusal_that_can_come_of_these_paths_is_in_chinese() -> None:
    of_tasks = {
        errors.InvalidInputError, errors.NoSuchTaskError, errors.TaskCompletedError, errors.TaskBehindError,
        errors.TaskSupersededError, errors.SourceIncompleteError, errors.NotGrantedError,
    }  # fmt: skip
    foreign = {row[2] for row in exception_handler.FOREIGN}
    assert {error.code for error in of_tasks} | foreign <= set(wording.REFUSALS)


def test_a_problem_is_worded_in_the_active_language_or_in_the_one_that_is_named() -> None:
    problem = exception_handler.problem_of(errors.NotGrantedError("no grant"))
    chinese = {"data": None, "message": wording.REFUSALS["not_granted"], "errors": {}}
    english = {"data": None, "message": "no grant", "errors": {}}
    with translation.override("zh-hans"):
        assert failure(problem) == chinese
        assert failure(problem, "en") == english
    assert failure(problem) == english
    assert failure_for(problem, "en") == english
    assert failure_for(problem, "") == chinese


def test_what_nobody_has_words_for_words_itself() -> None:
    problem = exception_handler.problem_of(errors.OutOfSpaceError("full"))
    assert failure_for(problem, "zh")["message"] == "full"


def test_fields_are_named_in_the_message() -> None:
    problem = exception_handler.problem_of(errors.InvalidInputError({"percent": ["太小"]}))
    assert failure_for(problem, "zh") == {
        "data": None,
        "message": "提交的参数有误：percent: 太小",
        "errors": {"percent": ["太小"]},
    }
