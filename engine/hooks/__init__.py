"""Webhooks: what happens here, told to other programs, signed."""

from engine.hooks.post import WebHooks
from engine.hooks.signing import SIGNATURE, TIMESTAMP, headers, sign, verify

__all__ = ["SIGNATURE", "TIMESTAMP", "WebHooks", "headers", "sign", "verify"]
