"""Two sides of a conversation without a network, and a clock that is moved by hand.

A ``Side`` is a session with its ear and mouth: ``hears`` gives it WebSocket messages, ``says`` takes what it sends.
A ``Conversation`` is a server and a client that hear each other at once; its ``wait`` lets time pass for both.
"""

from collections.abc import Callable
from itertools import count

import oracle

from ecgframe.protocol import SESSION_VERSIONS
from ecgframe.session import ClientSession, ServerSession, Settings

spoken = SESSION_VERSIONS
"""Versions of the sides that are told none; ``each_version`` sets others."""

EPOCH = 1_705_314_645_000_000
"""Microseconds since 1970 at the beginning of a conversation."""


class Clock:
    """A monotonic clock in seconds, and clocks of microseconds since 1970 that advance with it."""

    def __init__(self) -> None:
        self.now = 0.0

    def wall_clock_us(self, ahead: float = 0.0) -> Callable[[], int]:
        """Return a clock of rising microseconds since 1970, which is ``ahead`` of the others by seconds."""
        last = 0

        def read() -> int:
            nonlocal last
            last = max(last + 1, EPOCH + round((self.now + ahead) * 1_000_000))
            return last

        return read


class Side:
    """One session, with the events and frames that it has returned."""

    def __init__(self, session, clock):
        self.session = session
        self.clock = clock
        self.events = []

    def starts(self):
        self.session.start(self.clock.now)
        return self

    def hears(self, *messages):
        """Give it WebSocket messages; a ``str`` is a text message. Returns the events."""
        events = []
        for message in messages:
            if isinstance(message, str):
                events += self.session.receive_text(self.clock.now)
            else:
                events += self.session.receive(message, self.clock.now)
        return self._told(events)

    def says(self):
        """All WebSocket messages that it has to send."""
        return list(iter(lambda: self.session.next_message(self.clock.now), None))

    def tells(self):
        """The same as frames, read by another reader than ours."""
        return [frame for message in self.says() for frame in oracle.decode_frames(message)]

    def ticks(self):
        return self._told(self.session.tick(self.clock.now))

    def waits(self, seconds):
        """Let time pass, and call ``tick`` whenever it is due. Returns the messages that it sends meanwhile."""
        end, said = self.clock.now + seconds, self.says()
        for _ in busy():
            deadline = self.session.deadline()
            if deadline is None or deadline > end:
                break
            self.clock.now = max(self.clock.now, deadline)
            self.ticks()
            said += self.says()
        self.clock.now = max(self.clock.now, end)
        return said

    def loses(self):
        return self._told(self.session.lost())

    def told(self, kind):
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def _told(self, events):
        self.events += events
        return events


def busy(limit=10_000):
    """Counts rounds, of which there are never so many unless somebody turns in circles."""
    for n in count():
        assert n < limit, "this never ends"
        yield n


def server(clock=None, **settings):
    clock = clock or Clock()
    return Side(ServerSession(Settings(**{"versions": spoken, **settings}), clock.wall_clock_us()), clock)


def client(clock=None, ahead=0.0, **settings):
    clock = clock or Clock()
    return Side(ClientSession(Settings(**{"versions": spoken, **settings}), clock.wall_clock_us(ahead)), clock)


class Conversation:
    """A server and a client; what one says, the other hears at once."""

    def __init__(self, server_settings=None, client_settings=None, ahead=0.0):
        self.clock = Clock()
        self.server = server(self.clock, **(server_settings or {}))
        self.client = client(self.clock, ahead, **(client_settings or {}))
        self.server.starts()
        self.client.starts()
        self.talk()

    def talk(self):
        """Exchange messages until neither has anything to say."""
        for _ in busy():
            to_client, to_server = self.server.says(), self.client.says()
            if not to_client and not to_server:
                return
            self.client.hears(*to_client)
            self.server.hears(*to_server)

    def wait(self, seconds):
        """Let time pass for both."""
        end = self.clock.now + seconds
        for _ in busy():
            times = [side.session.deadline() for side in (self.server, self.client)]
            due = min((time for time in times if time is not None), default=end)
            if due > end:
                break
            self.clock.now = max(self.clock.now, due)
            self.server.ticks()
            self.client.ticks()
            self.talk()
            if due == end and all(time is None for time in times):
                break
        self.clock.now = end
