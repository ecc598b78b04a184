"""Refusals that say in their text what their status does not: object stores answer 400 and 403 for much."""

from __future__ import annotations

import re

_REASON = re.compile(r"<Code>\s*(\w{3,60})\s*</Code>|\"(?:code|reason|__type)\":\s*\"(\w{3,60})\"")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})")
_DETAIL = re.compile(r"<AuthenticationErrorDetail>([^<]{1,300})")
_MEANT = {
    429: (
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "rateLimitExceeded",
        "userRateLimitExceeded",
    ),
    408: ("RequestTimeout", "RequestTimeoutException", "OperationAborted"),
    401: ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidAuthenticationInfo"),
}
"""Of Amazon S3 (API reference, error responses), Azure Blob Storage (REST error codes), Google Cloud."""
_STATUS = {reason: status for status, reasons in _MEANT.items() for reason in reasons}


def meant(status: int, text: str) -> int:
    """The status that a refusal stands for: 429 throttled, 408 too slow, 401 expired; else ``status``."""
    if not 400 <= status < 500:
        return status
    found = _REASON.search(text)
    return _STATUS.get((found[1] or found[2]) if found else "", status)


def reason_of(body: bytes) -> str:
    """What the XML of an object store gives as its reason, without what it says of keys, or nothing."""
    text = body.decode("utf-8", "replace")
    found = _REASON.search(text)
    if not found:
        return ""
    texts = [part[1].strip() for part in (_MESSAGE.search(text), _DETAIL.search(text)) if part]
    said = " ".join(each.splitlines()[0] for each in texts if each)
    return f"<Code>{found[1] or found[2]}</Code> {said}".strip()
