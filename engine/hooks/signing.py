"""How a webhook's receiver knows that it was us, and when: HMAC-SHA-256 over timestamp and body."""

from __future__ import annotations

import hashlib
import hmac

TIMESTAMP = "X-Dozvon-Timestamp"
SIGNATURE = "X-Dozvon-Signature"
PATIENCE_SECONDS = 300
"""A receiver should refuse what is older: somebody may have kept a copy of it."""


def sign(secret: str, timestamp: int, body: bytes) -> str:
    """«sha256=…» over the timestamp's digits (seconds since 1970), a full stop and the body."""
    return "sha256=" + hmac.new(secret.encode(), b"%d." % timestamp + body, hashlib.sha256).hexdigest()


def headers(secret: str, timestamp: int, body: bytes, kind: str, id: str) -> dict[str, str]:
    """All that is sent with a body. `id` is the same at every retry, so that a receiver can tell a repetition."""
    return {
        "Content-Type": "application/json; charset=utf-8",
        "X-Dozvon-Event": kind,
        "X-Dozvon-Delivery": id,
        TIMESTAMP: str(timestamp),
        SIGNATURE: sign(secret, timestamp, body),
    }


def verify(secret: str, timestamp: str, body: bytes, signature: str, now: int) -> bool:
    """What a receiver does: is it ours, unchanged and fresh? Takes any text without raising."""
    if not (timestamp.isascii() and timestamp.isdigit()) or abs(now - int(timestamp)) > PATIENCE_SECONDS:
        return False
    return hmac.compare_digest(sign(secret, int(timestamp), body).encode(), signature.encode())
