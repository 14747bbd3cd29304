"""A Redis in memory for tests in virtual time: the commands of the backplane, delays, and all that may go wrong.

``test_redis_model.py`` compares it with a real Redis.
"""

from __future__ import annotations

import asyncio
import copy
import random
from contextlib import asynccontextmanager

import redis

from ecgframe.protocol import LARGEST_TEMPLATE, TEMPLATES_KEPT, MessageType
from ecgframe.server.redis.script import (
    DENIED,
    KEPT_ENDED,
    LATEST,
    LEASE,
    LEAVE,
    NOT_NEXT,
    NUMBERS,
    OPEN,
    OTHER_CLASS,
    STALE,
    WRITE,
)


class Data:
    """What a Redis keeps."""

    def __init__(self):
        self.streams = {}
        self.marks = {}
        self.numbers = {}
        self.templates = {}


class ModelRedis:
    """One Redis.

    Args:
        seed: for the delays of the network, and for what is lost with a connection.
        epoch_us: its time at the start of the loop's clock, in microseconds since 1970.
    """

    def __init__(self, seed=0, epoch_us=1_705_314_660_000_000):
        self.data = Data()
        self.log = []
        """Everything that was ever written: stream, epoch, number, origin, number on its server."""
        self.random = random.Random(seed)
        self.run = 0
        self.is_up = True
        self.cut_off = set()
        """Names of the servers that cannot reach it."""
        self._epoch_us = epoch_us
        self._changed = asyncio.Event()

    def now(self):
        return self._epoch_us + round(asyncio.get_running_loop().time() * 1_000_000)

    # --- what may go wrong ---

    def kill(self):
        """End it; what it keeps is lost unless ``start`` brings it back."""
        self.is_up = False
        self._wake()

    def start(self, data=None):
        """Start it, empty or with what it had at some time."""
        self.data = data or Data()
        self.run += 1
        self.is_up = True

    def snapshot(self):
        return copy.deepcopy(self.data)

    def cut(self, name):
        """Cut a server off."""
        self.cut_off.add(name)
        self._wake()

    def join(self, name):
        self.cut_off.discard(name)

    def _wake(self):
        self._changed.set()
        self._changed = asyncio.Event()

    # --- connections ---

    @asynccontextmanager
    async def clients(self, name):
        """Two clients, as ``commands.two_clients`` opens them."""
        clients = [Client(self, name, self.run) for _ in range(2)]
        await clients[0].ping()
        yield clients


class Client:
    """A connection of a server."""

    def __init__(self, model, name, run):
        self._model = model
        self._name = name
        self._run = run
        self._busy = asyncio.Lock()

    def _check(self):
        model = self._model
        if not model.is_up or self._run != model.run:
            raise redis.ConnectionError("the connection is closed")

    async def _travel(self):
        model = self._model
        await asyncio.sleep(model.random.uniform(0.0001, 0.002))
        self._check()
        if self._name in model.cut_off:
            await asyncio.sleep(3600)  # nothing is ever answered

    async def _ask(self, answer, *arguments):
        async with self._busy:
            await self._travel()
            found = answer(*arguments)
            await self._travel()
            return found

    async def ping(self):
        return await self._ask(lambda: True)

    async def time(self):
        return await self._ask(lambda: divmod(self._model.now(), 1_000_000))

    async def info(self, section):
        return await self._ask(lambda: {"run_id": f"run {self._model.run}"})

    async def mget(self, keys):
        return await self._ask(lambda: [self._model.data.marks.get(key) for key in keys])

    async def hmget(self, key, fields):
        def answer():
            found = self._model.data.numbers.get(key)
            if found is None:
                return [None, None]
            latest = found["signed"].get(fields[1].removeprefix(b"signed:").decode())
            shown = None if latest is None else " ".join(map(str, latest)).encode()
            return [b"%d" % found["epoch"], shown]

        return await self._ask(answer)

    async def lrange(self, key, first, last):
        return await self._ask(lambda: list(self._model.data.templates.get(key, ())))

    async def xrevrange(self, key, count):
        return await self._ask(lambda: self._stream(key)[-1:])

    async def xinfo_stream(self, key):
        def answer():
            entries = self._stream(key)
            if not entries:
                raise redis.ResponseError("no such key")
            return {
                "first-entry": entries[0],
                "last-generated-id": entries[-1][0],
                "entries-added": len(entries),
                "length": len(entries),
            }

        return await self._ask(answer)

    async def xadd(self, key, fields, maxlen, approximate):
        def answer():
            entries = self._stream(key)
            entries[:] = [(b"%d-0" % (self._time_of(entries) + 1), dict(fields))]
            self._model._wake()

        return await self._ask(answer)

    async def pexpire(self, key, milliseconds):
        return await self._ask(lambda: True)

    async def xread(self, positions, count, block):
        def answer():
            found = []
            for key, after in positions.items():
                entries = [entry for entry in self._stream(key) if _numbers(entry[0]) > _numbers(after)]
                if entries:
                    found.append((key, entries[:count]))
            return found

        async with self._busy:
            await self._travel()
            give_up = asyncio.get_running_loop().time() + (block or 0) / 1000
            while not (found := answer()) and block and asyncio.get_running_loop().time() < give_up:
                changed = self._model._changed
                try:
                    async with asyncio.timeout_at(give_up):
                        await changed.wait()
                except TimeoutError:
                    pass
                self._check()
            await self._travel()
            return found

    async def xrange(self, key, first, last, count=None):
        async with self._busy:
            await self._travel()
            found = [entry for entry in self._stream(key) if _numbers(first) <= _numbers(entry[0]) <= _numbers(last)]
            await self._travel()
            return found[:count]

    def register_script(self, text):
        scripts = {WRITE: self._write, NUMBERS: self._numbers, OPEN: self._open, LEAVE: self._leave}

        async def call(keys, args):
            return await self._ask(scripts[text], [*keys], [*args])

        return call

    # --- scripts ---

    def _stream(self, key):
        return self._model.data.streams.setdefault(key, [])

    def _time_of(self, entries):
        return _numbers(entries[-1][0])[0] if entries else 0

    def _begin(self, numbers, epoch, last, token="", state=b""):
        before = self._model.data.numbers.get(numbers)
        over, order = ([], 0) if before is None else (before["over"], before["order"])
        if before is not None and before["owner"] and before["epoch"] != epoch:
            over = [*over, before["epoch"]][-KEPT_ENDED:]
        found = {"epoch": epoch, "last": last, "template": 0, "owner": token, "state": state, "bulk": "", "over": over}
        found |= {"signed": {}, "order": _order_of(token) or order, "until": self._model.now() + LEASE}
        self._model.data.numbers[numbers] = found
        return found

    def _numbered(self, numbers, fresh, known):
        (epoch, last), token, state = known
        found = self._model.data.numbers.get(numbers)
        if token and _order_of(token) > (0 if found is None else found["order"]):
            return self._begin(numbers, epoch, last, token, state)
        if found is None or (not found["owner"] and found["epoch"] == epoch and found["last"] < last):
            return self._begin(numbers, fresh, 0)
        return found

    def _open(self, keys, args):
        _, epoch, name = args
        found = self._model.data.numbers.get(keys[0])
        token = f"{max(self._model.now(), 0 if found is None else found['order'] + 1)}:{name}"
        if found is not None and found["epoch"] == epoch and found["owner"]:
            found |= {"owner": token, "order": _order_of(token), "until": self._model.now() + LEASE}
        elif found is not None and epoch in found["over"]:
            return [b"", b""]
        else:
            found = self._begin(keys[0], epoch, 0, token)
        return [token.encode(), found["state"]]

    def _leave(self, keys, args):
        found = self._model.data.numbers.get(keys[0])
        if found is not None and found["owner"] == args[0]:
            found["until"] = self._model.now() + args[1]

    def _numbers(self, keys, args):
        fresh = args[1]
        return [self._numbers_of(keys[2 * at], fresh, *args[2 + 5 * at : 7 + 5 * at]) for at in range(len(keys) // 2)]

    def _numbers_of(self, numbers, fresh, epoch, last, takes, token, state):
        found = self._numbered(numbers, fresh, ((epoch, last), token, state))
        template = 0
        if takes and found["epoch"] == epoch and not found["owner"]:
            found["template"] += 1
            template = found["template"] if found["template"] <= LARGEST_TEMPLATE else 0
        owner, bulk = found["owner"].encode(), found["bulk"].encode()
        return [found["epoch"], found["last"], template, owner, found["state"], bulk]

    def _next_place(self, numbers, found, fresh, made_for, bulk, link, lost):
        """The epoch and number of a message that Redis numbers, and its class; or why it is not written."""
        if found["owner"]:
            if self._model.now() >= found["until"]:
                found = self._begin(numbers, fresh, 0)
            elif not made_for:
                return found["epoch"], 0, ""
        if made_for not in (0, found["epoch"]):
            return STALE
        if bulk and found["bulk"] and found["bulk"] != bulk:
            return OTHER_CLASS
        if link:
            signer, attested, own = link.split()
            if found["signed"].get(signer, (0,))[0] != int(attested) - 1:
                return NOT_NEXT
            found["signed"][signer] = int(attested), own, found["last"] + 1 + lost
        found["bulk"] = found["bulk"] or bulk
        found["last"] += 1 + lost
        return found["epoch"], found["last"], found["bulk"]

    def _write(self, keys, args):
        fresh = args[5]
        answers = [self._model.now()]
        for at in range(len(keys) // 4):
            if STALE in answers:
                answers.append(STALE)
            else:
                answers.append(self._write_one(args[:5], fresh, keys[4 * at : 4 * at + 4], args[6 + 13 * at :]))
        self._model._wake()
        return answers

    def _write_one(self, limits, fresh, keys, args):
        origin, kept, *_ = limits
        stream, mark, numbers, templates = keys
        number, time, frame, epoch, last, made_for, token, state, own, bulk, proof, link, lost = args[:13]
        if int(self._model.data.marks.get(mark, 0)) >= number:
            return 0
        found, place, fields = None, None, {}
        if numbers != stream:
            found = self._numbered(numbers, fresh, ((epoch, last), token, state))
            if not own:
                answer = self._next_place(numbers, found, fresh, made_for, bulk, link, lost)
                if isinstance(answer, int):
                    return answer
                *place, bulk = answer
            elif found["owner"] != token:
                return DENIED
            else:
                place = epoch, own
                found |= {"last": max(found["last"], own), "state": state, "until": self._model.now() + LEASE}
                fields = {b"w": token.encode()}
            fields |= {b"c": b"1"} if bulk == "1" else {}
            fields = {b"p": b"%d-%d" % tuple(place), **fields}
        entries = self._stream(stream)
        time = max(time, self._time_of(entries) + 1)
        assert time <= LATEST
        entries[:] = [entry for entry in entries if _numbers(entry[0])[0] >= time - kept]
        entries.append(
            (
                b"%d-0" % time,
                {b"o": origin, b"n": b"%d" % number, **fields, **({b"m": proof} if proof else {}), b"f": frame},
            )
        )
        self._model.data.marks[mark] = b"%d" % number
        if place is None:
            return time
        if place[1]:
            self._model.log.append((stream, *place, origin, number))
        if (made_for or own) and frame[1] == MessageType.STREAM_TEMPLATE:
            some = self._model.data.templates.setdefault(templates + b"%d" % place[0], [])
            some.append(b"%d:" % place[1] + frame)
            del some[:-TEMPLATES_KEPT]
        return b"%d %d %d" % (time, *place)


def _order_of(token):
    return int(token.partition(":")[0] or 0)


def _numbers(entry_id):
    time, _, sequence = entry_id.partition(b"-")
    return int(time), int(sequence)
