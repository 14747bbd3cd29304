"""A path with a rate and a delay between a server and a client. It takes whatever the server says: the worst proxy."""

from collections import deque

from session.conversation import Conversation
from session.test_streams_by_number import V4

MBIT = 125_000
"""Bytes a second of 1 Mbit/s."""


class SlowPath:
    """A server and a client that have agreed on version 4.

    Args:
        rate: bytes a second from the server to the client.
        delay: seconds from either to the other.
        settings: of both sides.

    Attributes:
        came: for each message that the client has heard: the time, and the message.
        most: most bytes in transit to the client so far.
    """

    def __init__(self, rate=MBIT, delay=0.005, **settings):
        talk = Conversation({**V4, **settings}, {**V4, **settings})
        self.clock, self.server, self.client = talk.clock, talk.server, talk.client
        self.rate, self.delay = rate, delay
        self.came = []
        self.most = 0
        self._taken = deque()
        self._back = deque()
        self._free_at = 0.0

    def write(self):
        """Let both sides write all that they may."""
        for message in self.server.says():
            begins = max(self.clock.now, self._free_at)
            self._free_at = begins + len(message) / self.rate
            self._taken.append((self._free_at + self.delay, message))
        self.most = max(self.most, sum(len(message) for _, message in self._taken))
        self._back.extend((self.clock.now + self.delay, message) for message in self.client.says())

    def go_on(self, seconds, until=lambda: False):
        """Let time pass, or less if the condition becomes true."""
        end = self.clock.now + seconds
        self.write()
        while not until() and (moment := self._next_moment()) <= end:
            self.clock.now = max(self.clock.now, moment)
            while self._taken and self._taken[0][0] <= self.clock.now:
                _, message = self._taken.popleft()
                self.came.append((self.clock.now, message))
                self.client.hears(message)
            while self._back and self._back[0][0] <= self.clock.now:
                self.server.hears(self._back.popleft()[1])
            for side in (self.server, self.client):
                deadline = side.session.deadline()
                if deadline is not None and deadline <= self.clock.now:
                    side.ticks()
            self.write()
        if not until():
            self.clock.now = end

    def _next_moment(self):
        times = [queue[0][0] for queue in (self._taken, self._back) if queue]
        deadlines = (side.session.deadline() for side in (self.server, self.client))
        return min([*times, *(time for time in deadlines if time is not None)])
