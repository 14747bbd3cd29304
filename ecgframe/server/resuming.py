"""Where a viewer starts in a stream: after the last message that it has, at a time, or now.

A viewer names the last message that it has by its number (version 4) or by its timestamp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..session import Binding, SubscribeRequested
    from .stream import Stream
    from .streams import StreamClock
    from .viewers import Viewer


class Beginning(NamedTuple):
    """Where a viewer starts in a stream, as the answer to its SUBSCRIBE states it.

    Attributes:
        start: the time from which messages follow, in microseconds since 1970, as ``answer_subscription`` takes it.
        binding: id and numbers of the stream; None before version 4.
        is_known: whether the last message of the viewer is known here; None if it named none.
    """

    start: int | None
    binding: Binding | None
    is_known: bool | None


class _Start(NamedTuple):
    """Where a viewer was added.

    Attributes:
        start: the time from which messages follow, in microseconds since 1970; None if no message is missing.
        after: the number after which they follow; 0 if it is not that of the viewer.
        is_known: as in ``Beginning``.
    """

    start: int | None
    after: int = 0
    is_known: bool | None = None


def begin_to_watch(stream: Stream, viewer: Viewer, request: SubscribeRequested, clock: StreamClock) -> Beginning:
    """Add a viewer to a stream, starting where its request says.

    Args:
        stream: the stream, held.
        viewer: the connection.
        request: what it has asked for.
        clock: the clock of the stream's timestamps.
    """
    viewers, since = stream.viewers, request.since
    start, after, is_known = _add(stream, viewer, request, clock)
    if request.catch_up is not None:
        skipped = viewers.skip(viewer, clock.now - round(1_000_000 * request.catch_up))
        start = start if skipped is None else skipped + 1
    binding = viewers.binding(viewer, request.epoch, after)
    if binding is not None:
        if since is None:
            start = None  # the numbers of its messages show it
        elif start is None and binding.epoch == request.epoch and binding.next > after + 1:
            start = _kept_from(stream, since)
        binding = stream.announcer.sealed_binding(binding, viewer.session)
    return Beginning(start, binding, is_known)


def _add(stream: Stream, viewer: Viewer, request: SubscribeRequested, clock: StreamClock) -> _Start:
    since = request.since
    if _add_after_number(stream, viewer, request, clock):
        return _Start(None, request.after or 0, is_known=True)
    if _add_after_epoch(stream, viewer, request):
        return _Start(None, is_known=True)
    if since is None:
        return _Start(_follow(stream, viewer, clock), is_known=None if request.after is None else False)
    if request.is_moment or not viewer.session.timed:
        start = _add_after_moment(stream, viewer, since, clock.now)
    elif clock.is_shared:
        start = _add_after_shared_timestamp(stream, viewer, since, clock)
    else:
        start = _add_after_timestamp(stream, viewer, since)
    return _Start(start, is_known=start is None)


def _kept_from(stream: Stream, since: int) -> int | None:
    """The time in microseconds since 1970 from which all messages are kept; None if it is not after ``since``."""
    return stream.ring.floor + 1 if stream.ring.floor >= since else None


def _follow(stream: Stream, viewer: Viewer, clock: StreamClock) -> int | None:
    """Add a viewer that gets messages from now on.

    Returns:
        The position that SUBSCRIPTION_ACK gives, in microseconds since 1970: the timestamp from which the peer can
        resume, or the time if its frames have no timestamps. None if it cannot resume, or can resume from the time of
        the answer.
    """
    stream.viewers.add(viewer)
    start = stream.ring.latest + 1
    if not viewer.session.negotiated:
        return None
    if not viewer.session.timed:
        return max(start, clock.now)
    # With an empty ring, other servers may not know that timestamp; they all know the time of this answer.
    return None if clock.is_shared and not stream.ring else start


# --- by number ---


def _add_after_number(stream: Stream, viewer: Viewer, request: SubscribeRequested, clock: StreamClock) -> bool:
    """Add a viewer that has named a number of an epoch that is known here. Returns whether it has."""
    numbering = stream.numbering
    if numbering is None or viewer.session.version < 4:
        return False
    stream.note_reader(viewer)
    if request.after is None or request.epoch is None:
        return False
    ids = numbering.ids_of(request.epoch)
    if numbering.id in ids and request.after >= numbering.next and numbering.publisher is None:
        if clock.is_whole or not numbering.is_shared:
            return False  # no message has that number
        stream.viewers.add_waiting_by_number(viewer, request.after)
        return True
    # A publisher may send again what the viewer has, to a server that has forgotten it.
    return _add_within(stream, viewer, ids, request.after)


def _add_after_epoch(stream: Stream, viewer: Viewer, request: SubscribeRequested) -> bool:
    """Add a viewer from the beginning of the present epoch on, if it named the one before, whose end is known.

    Returns:
        True if it did.
    """
    numbering = stream.numbering
    if numbering is None or viewer.session.version < 4 or request.after is None:
        return False
    if numbering.present.ends_before != request.epoch:
        return False
    return _add_within(stream, viewer, {numbering.id}, 0)


def _add_within(stream: Stream, viewer: Viewer, ids: set[int], after: int) -> bool:
    """Add a viewer of version 4 that gets the messages after the one with a number in an epoch.

    Args:
        stream: the stream.
        viewer: the connection.
        ids: those of the epoch.
        after: number of a message of it.

    Returns:
        True if that place is known: the epoch is the present one, or one of its messages is in the ring. If not, the
        viewer is not added.
    """
    numbering, ring = stream.numbering, stream.ring
    assert numbering is not None
    last, number = ring.floor, ring.first
    opened = {one.id for one in map(numbering.find, ids) if one is not None and one.publisher is not None}
    is_known = numbering.id in ids
    has_begun = False
    overtaken: tuple[int, int] | None = None  # position of an urgent message that the viewer may not have
    for publication in ring.start_from(ring.first):
        position = publication.position
        if position is None:
            continue
        if position.id in ids:
            is_known = has_begun = True
            if publication.urgent and position.id in opened:  # it overtook; servers number in order
                if position.number > after and overtaken is None:
                    overtaken = last, publication.number
                continue
            if position.number > after:
                break
        elif has_begun:
            break
        last, number = publication.timestamp, publication.number + 1
    if not is_known:
        return False
    if overtaken is not None and numbering.is_shared:
        last, number = overtaken  # another server may order them otherwise; messages that follow in order are repeated
    stream.viewers.add_at(viewer, number, last)
    return True


# --- by timestamp or time ---


def _add_after_timestamp(stream: Stream, viewer: Viewer, since: int) -> int | None:
    """Add a viewer that gets messages after the one with timestamp ``since``.

    If the stream has no message with that timestamp, it may come from a server with another clock and says nothing
    about what the viewer has. Then the viewer is sent the whole ring.

    Args:
        stream: the stream.
        viewer: the connection.
        since: timestamp of its last message, in microseconds since 1970.

    Returns:
        None if the message is known, so that nothing is missing. Otherwise the time from which nothing is missing, in
        microseconds since 1970.
    """
    ring = stream.ring
    if ring.knows(since):
        stream.viewers.add_at(viewer, ring.number_after(since), since)
        return None
    stream.viewers.add_at(viewer, ring.first, ring.floor)
    return ring.floor + 1


def _add_after_shared_timestamp(stream: Stream, viewer: Viewer, since: int, clock: StreamClock) -> int | None:
    """Add a viewer that gets messages after ``since``, when all servers take their timestamps from one clock.

    Then ``since`` is valid even if the stream has no message with exactly that timestamp. Arguments and result are
    those of ``_add_after_timestamp``.
    """
    ring = stream.ring
    if not clock.is_whole and ring.latest < since <= clock.now:
        stream.viewers.add_waiting(viewer, since)
        return None
    if (
        ring.floor <= since < (ring.oldest or clock.now)
    ):  # before the oldest in the ring, and none in between is missing
        stream.viewers.add_at(viewer, ring.first, since)
        return None
    return _add_after_timestamp(stream, viewer, since)


def _add_after_moment(stream: Stream, viewer: Viewer, moment: int, now: int) -> int | None:
    """Add a viewer that gets messages after a time, which need not be the timestamp of a message.

    Args:
        stream: the stream.
        viewer: a connection without timestamps, or one that asks for a time.
        moment: in microseconds since 1970, by the clock of the stream's timestamps.
        now: the current time by that clock.

    Returns:
        None if every message after that time is in the ring. Otherwise the time from which nothing is missing.
    """
    ring = stream.ring
    if ring.floor <= moment <= max(now, ring.latest):
        stream.viewers.add_at(viewer, ring.number_after(moment), moment)
        return None
    stream.viewers.add_at(viewer, ring.first, ring.floor)
    return ring.floor + 1
