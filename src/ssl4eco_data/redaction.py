"""Secrets taken out of texts that people, logs and files will see; only here is known what they look like."""

from __future__ import annotations

import logging
import re
from typing import Any

HIDDEN = "***"
_RULES = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        HIDDEN,
    ),
    (re.compile(r"(?i)([a-z][a-z0-9+.-]*://)[^/\s'\"?#@]+(?::[^/\s'\"?#]*)?@"), rf"\1{HIDDEN}@"),
    (re.compile(r"((?:/vsi\w+/|https?://|s3://|gs://|/)[^\s'\"?<>]*)\?[^\s'\"<>]+"), r"\1?..."),
    (
        re.compile(
            r"(?i)(\b(?:private_key(?:_id)?|client_secret|refresh_token|access_token|id_token|password|passwd|"
            r"secret(?:_access_key)?|api[_-]?key|account[_-]?key|subscription[_-]?key|x-api-key|assertion|token|"
            r"signature|sig)['\"]?\s*[:=]\s*['\"]?)(?!\*\*\*)[^\s'\",;&}]+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\bya29\.[\w.-]+"), HIDDEN),
)
"""Keys in PEM, user and password in links, queries of links (they carry signatures), named fields, headers,
and tokens that are known by their beginning (JSON Web Tokens, Google's access tokens)."""


def redacted(text: str) -> str:
    """``text`` without keys, passwords, tokens and the queries of links."""
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return text


def without_userinfo(text: str) -> str:
    """A link without user and password, ``https://***@host/``; other texts as they are."""
    return _RULES[1][0].sub(_RULES[1][1], text)


def redact_logs() -> None:
    """From now on every log record of this process is made without secrets, tracebacks included.

    Calling it again changes nothing. Whatever handler comes later gets the clean record.
    """
    made = logging.getLogRecordFactory()
    if not isinstance(made, _CleanRecords):
        logging.setLogRecordFactory(_CleanRecords(made))


class _CleanRecords:
    """A log record factory around another one."""

    def __init__(self, make: Any) -> None:
        self._make = make

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = self._make(*args, **kwargs)
        message = record.getMessage()
        clean = redacted(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info:
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return record
