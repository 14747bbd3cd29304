"""The payloads of control messages that a session sends: answers to SUBSCRIBE, keys, errors, and answers to checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .timestamps import seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..messages import SubscriptionStatus
    from ..protocol import ErrorCode
    from ..seal import Key
    from .outgoing import Binding, HistoryPart

LONGEST_TEXT: Final = 500
"""Maximum number of characters, and of bytes, of an error's text that are sent. The text may quote the peer."""


def subscription_answer(
    stream: str,
    status: SubscriptionStatus,
    *,
    code: ErrorCode | None = None,
    start: int | None = None,
    binding: Binding | None = None,
    keys: Sequence[Key] = (),
    reason: str | None = None,
    history: int | None = None,
    part: HistoryPart | None = None,
) -> dict[str, Any]:
    """Return the payload of SUBSCRIPTION_ACK. The arguments are those of ``Session.answer_subscription``."""
    answer: dict[str, Any] = {"stream": stream}
    if keys:  # not last, since libraries for WebSockets log the end of a message
        answer["keys"] = [_handed_out(key) for key in keys]
    else:
        answer["status"] = status
    if code is not None:
        answer["code"] = int(code)
    if start is not None:
        answer["from"] = seconds(start)
    if binding is not None:
        answer |= {"id": binding.id, "epoch": binding.epoch, "next": binding.next}
        answer["templates"] = list(binding.templates)
        if binding.ended is not None:
            answer["ended"] = binding.ended
    if history is not None:
        answer["history"] = history
    if part is not None:
        first = part.binding
        answer |= {"id": first.id, "epoch": first.epoch, "next": first.next, "end": part.end}
        answer["templates"] = list(first.templates)
        if part.more is not None:
            answer["more"] = seconds(part.more)
    if keys:
        answer["status"] = status
    if reason is not None:
        answer["reason"] = shortened(reason)
    return answer


def new_keys(stream: str, keys: Sequence[Key]) -> dict[str, Any]:
    """Return the payload of a SUBSCRIPTION_ACK that nobody asked for: new keys of a stream."""
    return {"stream": stream, "keys": [_handed_out(key) for key in keys], "rotation": True, "status": "subscribed"}


def error_body(code: ErrorCode, message: str, details: Any = None) -> dict[str, Any]:
    """Return the payload of ERROR."""
    body: dict[str, Any] = {"code": int(code), "message": shortened(message)}
    if details is not None:
        body["details"] = details
    return body


def version_answer(version: int, versions: Iterable[int]) -> dict[str, Any]:
    """Return the payload of VERSION_CHECK that answers whether this side speaks a version."""
    spoken = sorted(versions)
    return {"version": version, "compatible": version in spoken, "versions": spoken}


def shortened(text: str) -> str:
    """Return at most ``LONGEST_TEXT`` characters and bytes of a text."""
    return text[:LONGEST_TEXT].encode("utf-8", "replace")[:LONGEST_TEXT].decode("utf-8", "ignore")


def _handed_out(key: Key) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": key.id, "key": key.secret}
    for name, moment in (("begins", key.begins), ("ends", key.ends)):
        if moment is not None:
            entry[name] = float(moment)
    return entry
