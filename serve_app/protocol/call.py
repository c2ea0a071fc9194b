"""What a request's URL and headers say beside its body, the same for every body format."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl

from serve_app.config.base import NAME_PATTERN
from serve_app.errors import InvalidInput

TIMEOUT_FIELD, TENANT_FIELD, EXPLAIN_FIELD = "x-request-timeout-seconds", "x-tenant-id", "x-explain"
VERSION_FIELD = "x-model-version"
MAX_TENANT = MAX_NAME = 128
_SECONDS = re.compile(r"[0-9]{0,15}\.?[0-9]{1,15}")
_FLAGS = {"1": True, "true": True, "0": False, "false": False}
_TENANT = re.compile(r"[\x20-\x7e]+")
_NAME = re.compile(NAME_PATTERN)


class Call(NamedTuple):  # not a dataclass: one is made for every request, and a frozen one takes three times as long
    """One call of an infer route.

    Attributes:
        model_name: From the URL.
        model_version: A version tag or label from the URL or a header, or empty.
        request_id: Identity in logs; may be empty.
        timeout_s: Seconds from now until the answer is of no more use; None if the headers do not say.
        tenant: Whose request it is; may be empty.
        explain: Whether the answer is to be explained.
        user: Who is kept at one version, where a header or cookie says it; may be empty.
    """

    model_name: str
    model_version: str = ""
    request_id: str = ""
    timeout_s: float | None = None
    tenant: str = ""
    explain: bool = False
    user: str = ""


def timeout_s_of(field: str) -> float | None:
    """The seconds in an `x-request-timeout-seconds` field; None where it is empty.

    Raises:
        InvalidInput: It is not a decimal number over 0.
    """
    if not field:
        return None
    timeout_s = float(field) if _SECONDS.fullmatch(field) else 0.0
    if timeout_s <= 0:
        raise InvalidInput(
            f"header {TIMEOUT_FIELD!r}", f"is {field[:40]!a}, must be a decimal number of seconds over 0"
        )
    return timeout_s


def tenant_of(field: str) -> str:
    """The tenant in an `x-tenant-id` field; empty where it is.

    Raises:
        InvalidInput: It is too long, or has characters that cannot be logged.
    """
    if not field:
        return ""
    if len(field) > MAX_TENANT:
        raise InvalidInput(f"header {TENANT_FIELD!r}", f"has {len(field)} characters, the limit is {MAX_TENANT}")
    if not _TENANT.fullmatch(field):
        raise InvalidInput(f"header {TENANT_FIELD!r}", f"is {field[:40]!a}, must be printable ASCII")
    return field


def version_of(field: str, told: str) -> str:
    """The version tag or label that a request asks for; empty if it leaves that to the split.

    Args:
        field: `x-model-version`; may be empty.
        told: What its URL or message says, or empty.

    Raises:
        InvalidInput: The field is no name, or another one than the request says itself.
    """
    if not field:
        return told
    if len(field) > MAX_NAME or not _NAME.fullmatch(field):
        reason = f"is {field[:40]!a}, must be a version tag or label of at most {MAX_NAME} characters"
        raise InvalidInput(f"header {VERSION_FIELD!r}", reason)
    if told and told != field:
        raise InvalidInput(f"header {VERSION_FIELD!r}", f"is {field!r}, the request itself says {told[:MAX_NAME]!a}")
    return field


def flag_of(text: str, subject: str) -> bool:
    """What 1, true, 0 or false says.

    Raises:
        InvalidInput: It is none of them.
    """
    flag = _FLAGS.get(text)
    if flag is None:
        raise InvalidInput(subject, f"is {text[:40]!a}, must be 1, true, 0 or false")
    return flag


def explain_of(query: str, field: str) -> bool:
    """Whether a URL's `?explain=1` or an `x-explain` field says that the answer is to be explained.

    Args:
        query: What is behind the question mark; may be empty, and other parameters are not read.
        field: May be empty.

    Raises:
        InvalidInput: One of them is neither true nor false.
    """
    if not (query or field):
        return False
    told = [flag_of(field, f"header {EXPLAIN_FIELD!r}")] if field else []
    if query:
        given = parse_qsl(query, keep_blank_values=True, errors="replace")
        told += [flag_of(value, "query parameter 'explain'") for name, value in given if name == "explain"]
    return any(told)
