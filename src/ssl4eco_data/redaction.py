"""Secrets taken out of texts that people, logs and files will see; only here is known what they look like."""

from __future__ import annotations

import logging
import re
from typing import Any

HIDDEN = "***"
_LONGEST_LINK = 4096
"""Nothing is looked for over a longer stretch, or a page of letters would take minutes."""
_NAMES = (
    r"private[_-]?key(?:[_-]?id)?|secret(?:[_-]?access)?(?:[_-]?key)?|access[_-]?key(?:[_-]?id)?|"
    r"(?:api|account|subscription|shared)[_-]?key|password|passwd|passphrase|token|signature|credential|"
    r"signatureprovided|assertion|(?:(?<![a-z0-9_])|(?<=%3F)|(?<=%26))(?:sig|pwd)"
)
"""How names of secret fields end, ``aws_secret_access_key`` and ``refreshToken`` among them."""
_QUOTE = r"\\?['\"]"
_USERINFO = re.compile(r"(:/{1,2})[^/\s'\"?#<>]{1,1024}@")
"""Up to the last @: a password may hold one. A link that was taken for a path has lost a slash."""
_RULES = (
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        HIDDEN,
    ),
    (_USERINFO, rf"\1{HIDDEN}@"),
    (re.compile(rf"(/[^\s'\"?<>/]{{0,{_LONGEST_LINK}}})\?[^\s'\"<>]+"), r"\1?..."),
    (
        re.compile(
            r"(?i)\b((?:proxy-)?authorization\W{1,6})?\b"
            r"(sharedkey(?:lite)?|aws4-hmac-sha256|digest|bearer|basic)\s+(?=\S{0,1024}(?:[0-9=+~]|\.\w|(?-i:[a-z][A-Z])))"
            r"(?:(?<=aws4-hmac-sha256 )[^'\"\r\n]+|(?<=digest )\w+=[^\r\n]+|[A-Za-z0-9._~+/=:-]{8,})"
        ),
        rf"\1\2 {HIDDEN}",
    ),
    (re.compile(rf"(?i)((?:{_NAMES})(?:{_QUOTE})?\s*(?:[:=]|%3D)\s*b?)(['\"])(?!\*\*\*).*?(?<!\\)\2"), None),
    (
        re.compile(
            rf"(?i)((?:{_NAMES})(?:{_QUOTE})?\s*(?:[:=]|%3D|(?<!\s)>)\s*(?:\\['\"])?)"
            r"(?!\*\*\*|b?['\"]|(?:none|null|true|false)\b)[^\s'\"\\,;&}<>]+"
        ),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            r"\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*|\bya29\.[\w.-]+|\b1//0[\w-]{8,}|\bGOCSPX-[\w-]+|"
            r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"
        ),
        HIDDEN,
    ),
)
"""Keys in PEM, user and password in links, queries of links (they carry signatures), headers, named fields,
and tokens that are known by their beginning (JSON Web Tokens, Google's and Amazon's)."""


def redacted(text: str) -> str:
    """``text`` without keys, passwords, tokens and the queries of links."""
    for pattern, instead in _RULES:
        text = pattern.sub(rf"\1\2{HIDDEN}\2" if instead is None else instead, text)
    return text


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
        message = _message(record)
        clean = redacted(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info:
            record.exc_text = redacted(logging.Formatter().formatException(record.exc_info))
        return record


def _message(record: logging.LogRecord) -> str:
    """The message; of a call whose arguments do not fit, which a log must survive, its parts."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError, IndexError):
        return f"{record.msg} {record.args}"
