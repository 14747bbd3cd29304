"""The client for programs without an event loop: notebooks, scripts, task queues.

It is the asynchronous client in a thread of its own. What concerns the application happens in the application's thread:
exceptions, and the reports of what is lost.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..background.loop_thread import LoopThread
from ..session.sealed_streams import STALE_AFTER
from ..session.stream_writer import MEMORY_BYTES, MEMORY_FRAMES
from .client import DEFAULT_TIMEOUT, WAITING, Client
from .cursor import Gap
from .errors import ConnectionLost
from .losses import warn_of
from .message_queue import MessageQueue
from .subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from websockets.datastructures import HeadersLike

    from ..codec import Message
    from ..errors import ProtocolError
    from ..protocol import Capability, Flag, MessageType
    from ..seal import Keyring
    from ..session import Settings
    from .access import Asked
    from .publisher import Lost, Publisher, Samples
    from .reconnecting import State
    from .subscription import Status

T = TypeVar("T")
Queue = TypeVar("Queue", bound=MessageQueue)


def connect_sync(
    url: Asked[str],
    *,
    token: Asked[str | None] = None,
    additional_headers: Asked[HeadersLike | None] = None,
    settings: Settings | None = None,
    reconnect: bool = True,
    on_state: Callable[[State], object] | None = None,
    on_error: Callable[[ProtocolError], object] | None = None,
    keys: Keyring | None = None,
    signers: Iterable[bytes] | None = None,
    **websockets_options: Any,
) -> SyncClient:
    """Connect to the server at a URL, and return a client for programs without an event loop.

    >>> with ecgframe.connect_sync("wss://monitor.example/ws") as client:
    ...     for message in client.subscribe("ecg/bed-7"):
    ...         show(message.data["signal"])

    It does what the client of ``connect`` does, and takes the same arguments. It runs in a thread of its own, so it
    answers heartbeats and reconnects while the program computes, and can be used beside a running event loop, as in a
    notebook. Functions that are passed as ``url``, ``token`` or ``additional_headers``, and the callbacks ``on_state``
    and ``on_error``, are called in that thread; they must be short, and cannot call methods of the client that wait.

    Raises:
        OSError, TimeoutError: the connection failed.
        websockets.exceptions.WebSocketException: the server refused the WebSocket handshake.
        ConnectionLost: the server closed the connection before the negotiation was complete; see ``error``.
        TypeError: an option is invalid.
    """
    return SyncClient(
        url,
        token=token,
        additional_headers=additional_headers,
        settings=settings,
        reconnect=reconnect,
        on_state=on_state,
        on_error=on_error,
        keys=keys,
        signers=signers,
        **websockets_options,
    )


class SyncClient:
    """A client of one server whose methods wait. ``connect_sync`` creates it, connected.

    It is a context manager that closes it. Its methods may be called from several threads, but not in a process that
    was forked since it was created. If a program forgets to close it, Python emits a ``ResourceWarning``.
    """

    def __init__(self, url: Asked[str], **options: Any) -> None:
        self._thread = LoopThread("client", ConnectionLost)
        try:
            self._client = self._thread.call(Client, url, **options)
            self._thread.run(self._client.open)
        except BaseException:
            self._thread.stop()
            raise

    def __repr__(self) -> str:
        return f"<Sync{repr(self._client)[1:]}"

    def __del__(self) -> None:
        thread = self.__dict__.get("_thread")
        if thread is not None and thread.is_running and not thread.is_elsewhere:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send what still waits, close the connection, end all iterators, and end the thread.

        Another thread that waits for a message gets the end of its iterator.
        """
        if not self._thread.is_running or self._thread.is_elsewhere:
            return
        try:
            self._thread.run(self._client.close)
        finally:
            self._thread.stop()

    # --- receiving ---

    def subscribe(
        self,
        stream: str,
        since: int | datetime | None = None,
        *,
        capacity: int = WAITING,
        on_gap: Callable[[Gap], object] | None = None,
        sealed: bool = False,
        stale_after: float = STALE_AFTER,
    ) -> SyncSubscription:
        """Subscribe to a stream. The result iterates over its messages, and is a context manager that unsubscribes.

        See ``Client.subscribe`` for the arguments, for what is raised, and for how a stream resumes.

        Args:
            stream: its name.
            since: where to resume.
            capacity: number of messages that may wait before the client stops reading.
            on_gap: called with each ``Gap``, in the thread that iterates, when it reaches the gap. Its exceptions are
                raised there; the messages after the gap are returned by the next call. Without it, a gap is a warning,
                ``DataLost``.
            sealed: whether to accept the stream only sealed.
            stale_after: age in seconds from which on a message of a sealed stream has ``Message.stale``.
        """
        return SyncSubscription(
            self._thread,
            lambda note: self._client.subscribe(
                stream, since, capacity=capacity, on_gap=note, sealed=sealed, stale_after=stale_after
            ),
            on_gap,
        )

    def unsubscribe(self, stream: str) -> None:
        """Unsubscribe, and wait until the server confirms it. The iterator returns what has arrived, then ends.

        Raises:
            ValueError: there is no such subscription.
        """
        self._thread.run(self._client.unsubscribe, stream)

    def messages(self, *, capacity: int = WAITING) -> SyncMessageQueue[MessageQueue]:
        """Receive the messages that belong to no subscription. See ``Client.messages``."""
        return SyncMessageQueue(self._thread, lambda note: self._client.messages(capacity=capacity))

    # --- sending ---

    def send_message(
        self,
        type: MessageType,
        data: Any,
        flags: Flag | int = 0,
        acknowledged: bool = False,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> int:
        """Send a data message; return its timestamp, in microseconds since 1970. See ``Client.send_message``."""
        return self._thread.run(self._client.send_message, type, data, flags, acknowledged, timeout=timeout)

    def publisher(
        self,
        stream: str,
        *,
        samples: Samples = "as given",
        memory_frames: int = MEMORY_FRAMES,
        memory_bytes: int = MEMORY_BYTES,
        on_lost: Callable[[Lost], object] | None = None,
    ) -> SyncPublisher:
        """Publish on a stream so that each message arrives once. The result is a context manager that waits for that.

        >>> with client.publisher("ecg/bed-7") as publisher:
        ...     publisher.send(MessageType.ECG_DATA, {"signal": samples, "sampling_rate": 500})

        See ``Client.publisher`` for the arguments. ``on_lost`` is called in the thread that uses the publisher, at the
        end of the next call of one of its methods, and its exceptions are raised there. Without it, a loss is a
        warning, ``DataLost``.
        """
        return SyncPublisher(
            self._thread,
            lambda note: self._client.publisher(
                stream, samples=samples, memory_frames=memory_frames, memory_bytes=memory_bytes, on_lost=note
            ),
            on_lost,
        )

    # --- measuring ---

    def ping(self, timeout: float = DEFAULT_TIMEOUT) -> float:
        """Send a PING, and return the round trip time in seconds. See ``Client.ping``."""
        return self._thread.run(self._client.ping, timeout)

    @property
    def state(self) -> State:
        """The state of the client."""
        return self._client.state

    @property
    def round_trip(self) -> float | None:
        """The latest round trip time in seconds; None before the first."""
        return self._client.round_trip

    @property
    def clock_offset(self) -> float | None:
        """The server's clock minus the local one, in seconds; None before V3."""
        return self._client.clock_offset

    @property
    def version(self) -> int | None:
        """The protocol version in use; None without a connection."""
        return self._read(lambda: self._client.version)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The capabilities that both sides have; empty without a connection."""
        return self._read(lambda: self._client.capabilities)

    def stats(self) -> dict[str, Any]:
        """Counters of all connections, and measurements, as plain values. See ``Client.stats``."""
        return self._read(self._client.stats)

    def _read(self, function: Callable[[], T]) -> T:
        """Read what the thread changes; at rest once it has ended."""
        return self._thread.call(function) if self._thread.is_running else function()


class _Late(Exception):
    """Nothing has arrived in time."""


class _Arrivals:
    """Items that were taken from a queue and not returned yet: the next message, and the gaps before it."""

    def __init__(self) -> None:
        self.items: deque[Message | Gap] = deque()
        self._limit: asyncio.Timeout | None = None

    def note(self, gap: Gap) -> None:
        """Add a gap, and end the wait for the message after it, so that the gap is reported at once."""
        self.items.append(gap)
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def fetch(self, queue: MessageQueue, timeout: float | None) -> bool:
        """Wait until something has arrived; return False if the queue has ended."""
        try:
            async with asyncio.timeout(timeout) as limit:
                self._limit = limit
                self.items.append(await anext(queue))
        except StopAsyncIteration:
            return False
        except TimeoutError:
            if not limit.expired():
                raise
            if not self.items:
                raise _Late from None
        finally:
            self._limit = None
        return True


class SyncMessageQueue(Generic[Queue]):
    """Messages for the application, in order of arrival. ``SyncClient.messages`` creates it.

    It is closed at the end of its ``with`` block, or when it is garbage collected. One thread at a time may wait for a
    message.
    """

    def __init__(self, thread: LoopThread, create: Callable[[Callable[[Gap], object]], Queue]) -> None:
        self._thread = thread
        self._arrivals = _Arrivals()
        self._waiting = Lock()
        self._queue = thread.call(create, self._arrivals.note)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._thread.is_running:
            self._thread.run(self._queue.__aexit__, kind, error, traceback)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        """Return the next message, without a time limit. Raises what the asynchronous iterator raises."""
        return self._next(None)

    def recv(self, timeout: float | None = None) -> Message:
        """Return the next message.

        Args:
            timeout: seconds to wait for it; None for any time. With 0, only a message that has arrived is returned.

        Raises:
            TimeoutError: none came in that time. None is lost by that.
            EOFError: the application has unsubscribed, or the client is closed.
            Exception: the error that ended the client or this subscription; see ``Client.subscribe``.
        """
        try:
            return self._next(timeout)
        except StopIteration:
            raise EOFError("there are no more messages: the client or the subscription is closed") from None

    def iterate(self, *, timeout: float | None = None, seconds: float | None = None) -> Iterator[Message]:
        """Iterate over the messages with time limits.

        Args:
            timeout: seconds to wait for each message; then ``TimeoutError`` is raised, and the iteration may begin
                again.
            seconds: seconds after which the iteration ends, counted from its first step.
        """
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            limit, is_last = timeout, False
            if end is not None:
                left = end - time.monotonic()
                if left <= 0:
                    return
                if timeout is None or left < timeout:
                    limit, is_last = left, True
            try:
                message = self._next(limit)
            except StopIteration:
                return
            except TimeoutError:
                if is_last:
                    return
                raise
            yield message

    @property
    def received(self) -> int:
        """Number of messages that were taken."""
        return self._queue.received

    @property
    def waiting(self) -> int:
        """Number of messages that have arrived and were not taken."""
        return self._queue.waiting

    def _next(self, timeout: float | None) -> Message:
        if not self._waiting.acquire(blocking=False):
            raise RuntimeError("another thread waits for a message of the same subscription")
        end = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                failure = None if self._arrivals.items else self._wait(end, timeout)
                while self._arrivals.items:
                    item = self._arrivals.items.popleft()
                    if not isinstance(item, Gap):
                        return item
                    self._tell(item)
                if failure is not None:
                    raise failure
        finally:
            self._waiting.release()

    def _wait(self, end: float | None, timeout: float | None) -> Exception | None:
        """Wait until something has arrived. Returns the error to raise instead, after the gaps were reported."""
        left = None if end is None else max(end - time.monotonic(), 0.0)
        if not self._thread.is_running:
            return StopIteration()
        try:
            return None if self._thread.run(self._arrivals.fetch, self._queue, left) else StopIteration()
        except _Late:
            return TimeoutError(f"no message within {timeout:g} s")
        except Exception as error:
            return error

    def _tell(self, gap: Gap) -> None:
        """Only streams have gaps."""


class SyncSubscription(SyncMessageQueue[Subscription]):
    """The messages of one stream, each once and in order, over any number of connections.

    >>> with client.subscribe("ecg/bed-7") as subscription:
    ...     for message in subscription.iterate(seconds=10):
    ...         show(message.data["signal"])

    ``SyncClient.subscribe`` creates it. What is lost is a ``Gap``: after the message before it, and before the message
    after it, ``on_gap`` is called, or the warning ``DataLost`` is emitted.

    Attributes:
        stream: its name.
    """

    def __init__(
        self,
        thread: LoopThread,
        create: Callable[[Callable[[Gap], object]], Subscription],
        on_gap: Callable[[Gap], object] | None,
    ) -> None:
        super().__init__(thread, create)
        self.stream = self._queue.stream
        self._on_gap = on_gap or warn_of

    def __repr__(self) -> str:
        return f"<Sync{repr(self._queue)[1:]}"

    def __enter__(self) -> Self:
        """Wait for the server's answer; see ``Subscription``. Raises what the iterator raises."""
        self._thread.run(self._queue.__aenter__)
        return self

    @property
    def status(self) -> Status:
        """The state: "asked", "subscribed", "unsubscribed", "denied" or "closed"; see ``Subscription``."""
        return self._queue.status

    @property
    def gaps(self) -> list[Gap]:
        """The last gaps, oldest first."""
        return list(self._queue.gaps)

    def stats(self) -> dict[str, Any]:
        """Counters, as plain values. See ``Subscription.stats``."""
        return self._queue.stats()

    def _tell(self, gap: Gap) -> None:
        self._on_gap(gap)


class SyncPublisher:
    """What a client publishes on one stream. ``SyncClient.publisher`` creates it.

    It is a context manager that waits until the server has all messages.

    Attributes:
        stream: name of the stream.
    """

    def __init__(
        self,
        thread: LoopThread,
        create: Callable[[Callable[[Lost], object]], Publisher],
        on_lost: Callable[[Lost], object] | None,
    ) -> None:
        self._thread = thread
        self._on_lost = on_lost or warn_of
        self._losses: deque[Lost] = deque()
        self._publisher = thread.call(create, self._losses.append)
        self.stream = self._publisher.stream

    def __repr__(self) -> str:
        return f"<Sync{repr(self._publisher)[1:]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._thread.run(self._publisher.__aexit__, kind, error, traceback)
        finally:
            self._tell_losses()

    def send(
        self,
        type: MessageType,
        data: Any,
        flags: Flag | int = 0,
        acknowledged: bool = False,
        *,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> int:
        """Publish a message; return its timestamp, in microseconds since 1970. See ``Publisher.send``."""
        try:
            return self._thread.run(self._publisher.send, type, data, flags, acknowledged, timeout=timeout)
        finally:
            self._tell_losses()

    def flush(self, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Wait until the server has all messages, or knows that they are lost. See ``Publisher.flush``."""
        try:
            self._thread.run(self._publisher.flush, timeout=timeout)
        finally:
            self._tell_losses()

    def close(self, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Wait until the server has all messages, then stop publishing. See ``Publisher.close``."""
        try:
            self._thread.run(self._publisher.close, timeout=timeout)
        finally:
            self._tell_losses()

    @property
    def status(self) -> str:
        """The state: "open", "waiting" or "over"; see ``Publisher.status``."""
        return self._publisher.status

    @property
    def lost(self) -> int:
        """Messages that the server has reported as lost; templates are counted, too."""
        return self._publisher.lost

    def stats(self) -> dict[str, Any]:
        """Counters, as plain values. See ``Publisher.stats``."""
        return self._publisher.stats()

    def _tell_losses(self) -> None:
        while self._losses:
            self._on_lost(self._losses.popleft())
