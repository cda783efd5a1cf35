"""What people read: names of states and texts of refusals, in the source's Chinese and in English.

Texts that the framework knows come from its own catalogues, so the language of a request is made Django's active one
while its view works; the texts here follow that.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.translation import get_language
from django.utils.translation.trans_real import parse_accept_lang_header

CHINESE = "zh-hans"
ENGLISH = "en"
_UNTOLD = "*"

STATUS_NAMES: Mapping[int, tuple[str, str]] = {
    0: ("未开始", "not started"),
    1: ("分块中", "splitting"),
    2: ("加密中", "encrypting"),
    3: ("上载中", "uploading"),
    4: ("下载中", "downloading"),
    5: ("等待授权中(等待私有块上传中)", "waiting for authorization (for the private block)"),
    6: ("下载密钥中", "downloading key"),
    7: ("合成中", "merging"),
    8: ("已完成", "completed"),
    9: ("出现错误", "error"),
}

REFUSALS: Mapping[str, str] = {
    "authentication_failed": "登录信息无效、已过期或已被撤销。",
    "bad_request": "无法理解该请求。",
    "body_cut_off": "请求内容不完整。",
    "invalid_input": "提交的参数有误：",
    "method_not_allowed": "该接口不支持此请求方法。",
    "no_such_task": "没有找到该任务或母带文件。",
    "not_acceptable": "无法以所要求的格式应答，只支持 JSON。",
    "not_authenticated": "请先登录。",
    "not_found": "没有找到所请求的内容。",
    "not_granted": "您尚未获得该节目的下载授权。",
    "parse_error": "请求内容的格式有误。",
    "permission_denied": "您无权进行此操作。",
    "source_incomplete": "该节目的公有块尚未上传完成，暂时无法下载。",
    "task_behind": "任务已进入之后的状态，不能退回；只有出错的任务可以重新开始。",
    "task_completed": "任务已完成，不能再更改。",
    "task_superseded": "该节目已有另一个正在进行的下载任务。",
    "throttled": "请求过于频繁，请稍后再试。",
    "too_large": "请求内容过大。",
    "unavailable": "服务暂时不可用，请稍后再试。",
    "unexpected": "服务出现意外错误，已记录。",
    "unknown_host": "服务不使用此主机名。",
    "unsupported_media_type": "不支持此内容类型，请使用表单或 JSON。",
}
"""In Chinese, by the problem's code; in English a problem words itself."""

_TEXTS: Mapping[str, tuple[str, str]] = {
    "needed_to_complete": ("完成任务时必须提供。", "is needed to complete the task"),
    "no_cid": ("必须是有效的 CID（v0 或 v1）。", "must be a valid CID (v0 or v1)"),
    "no_moment": (
        "必须是 ISO 8601 格式的时间，例如 2018-05-06T12:00:00+08:00。",
        "must be a time in ISO 8601, such as 2018-05-06T12:00:00+08:00",
    ),
    "no_number": ("必须是整数。", "must be a whole number"),
    "no_text": ("不能包含控制字符。", "must not have control characters"),
    "out_of_range": ("必须在 {} 到 {} 之间。", "must be from {} to {}"),
    "percent_falls": ("状态不变时不能小于当前的 {}。", "may not fall below the present {} in the same state"),
    "required": ("必须提供。", "is required"),
    "status_of_other_kind": ("此类任务只能是 {}。", "must be one of {} for a task of this kind"),
    "too_long": ("不能超过 {} 个字符。", "may have {} characters at most"),
}


def say(text: str, *facts: object) -> str:
    """A text about a field, in the active language."""
    return _chosen(_TEXTS[text]).format(*facts)


def status_name(status: int) -> str:
    """The name of a state, in the active language."""
    return _chosen(STATUS_NAMES[status])


def refusal(code: str, detail: str, language: str | None = None) -> str:
    """What a person is told of a problem, in the active language unless it is named; `detail` is its own words."""
    if (language or get_language()) != CHINESE or code not in REFUSALS:
        return detail
    return REFUSALS[code] + (detail if code == "invalid_input" else "")


def language_for(accept_language: str) -> str:
    """The language that the header `Accept-Language` prefers of those there are: Chinese where it has no say."""
    try:
        wanted = parse_accept_lang_header(accept_language)
    except ValueError:  # longer than anybody's languages
        return CHINESE
    known = (tag.partition("-")[0] for tag, quality in wanted if quality > 0)
    first = next((tag for tag in known if tag in ("zh", ENGLISH, _UNTOLD)), _UNTOLD)
    return ENGLISH if first == ENGLISH else CHINESE


def _chosen(texts: tuple[str, str]) -> str:
    return texts[0] if get_language() == CHINESE else texts[1]
