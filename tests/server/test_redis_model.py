"""The model of Redis answers the backplane's commands as a real Redis does."""

from __future__ import annotations

import random

import pytest
from recordings import optional
from running import run
from server.redis_server import redis_server

from ecgframe import Codec, MessageType

pytestmark = pytest.mark.slow

optional("redis.asyncio")
pytest.importorskip("cryptography")

from server.redis_model import ModelRedis  # noqa: E402

from ecgframe.server.redis.clock import RedisClock  # noqa: E402
from ecgframe.server.redis.commands import Commands, Keys, own_pool, two_clients  # noqa: E402
from ecgframe.server.redis.outbox import Message  # noqa: E402
from ecgframe.server.redis.positions import NOTHING, Known, OwnPlace, Position, Refusal  # noqa: E402
from ecgframe.server.redis.proofs import Proofs  # noqa: E402
from ecgframe.server.redis.stream import check_frame  # noqa: E402
from ecgframe.signing import SigningKey  # noqa: E402

START = 1_705_314_660_000_000
NAMES = ("ecg/1", "ecg/µ 2", "")
_codec = Codec(version=4, compression=None)
PLAIN = Codec(ndarray="binary").encode(MessageType.FEATURE_DATA, {"features": {}})
TEMPLATE = _codec.encode_frame(
    MessageType.STREAM_TEMPLATE,
    {"template": 1, "stream": "ecg/1", "dtype": "int16", "rows": 0, "fields": {}},
    timestamp=START,
    stream_id=1,
    sequence=1,
).frame


class Epochs:
    """Names the random epochs in the order in which they come."""

    def __init__(self):
        self.names = {0: 0}

    def of(self, position):
        return None if position is None else (self.names.setdefault(position.epoch, len(self.names)), position.number)


class RandomCommands:
    """The same random commands for each Redis, and what it answered."""

    def __init__(self, commands, seed):
        self.commands = commands
        self.random = random.Random(seed)
        self.epochs = Epochs()
        self.known = {name: [NOTHING] for name in NAMES}
        self.tokens = {}
        self.names = {}
        self.told = []
        self.number = 0
        self.time = START

    async def run(self, steps):
        for _ in range(steps):
            some = [self.write, self.numbers, self.reserve, self.templates, self.read, self.open, self.leave]
            some.append(self.attested)
            await self.random.choice([*some, self.write, self.write])()
        return self.told

    def some_position(self, name):
        position = self.random.choice(self.known[name][-4:])
        return position._replace(number=max(0, position.number + self.random.choice([0, 0, 0, 0, 0, 0, 3])))

    def some_known(self, name):
        """What a server may know: with the token of an opening at times."""
        token, epoch = self.random.choice([("", 0), *self.tokens.get(name, [])[-2:]])
        if not token or self.random.random() < 0.3:
            return Known(self.some_position(name))
        return Known(Position(epoch, self.random.randint(1, 50)), token, b"%d" % self.random.randint(1, 9))

    def token_name(self, token):
        """A name for a token that both Redis give alike."""
        return self.names.setdefault(token, len(self.names))

    async def open(self):
        name, epoch = self.random.choice(NAMES[:2]), self.random.randint(1, 6)
        self.epochs.of(Position(epoch, 0))
        token, state = await self.commands.open_stream(name, epoch)
        self.told.append(("opened", self.token_name(token), state))
        if token:
            self.tokens.setdefault(name, []).append((token, epoch))

    async def leave(self):
        name = self.random.choice(NAMES[:2])
        if name in self.tokens:
            await self.commands.leave_stream(name, self.random.choice(self.tokens[name])[0])

    def note(self, name, position):
        if position is not None:
            self.known[name].append(position)
        return self.epochs.of(position)

    async def write(self):
        messages, times, known = [], [], []
        for _ in range(self.random.randint(1, 4)):
            name = self.random.choice(NAMES)
            self.number += 1
            self.time += self.random.choice([1, 1000, -5000])
            made_for = self.random.choice(self.known[name]).epoch if name and self.random.random() < 0.3 else 0
            frame = TEMPLATE if made_for else PLAIN
            encoded = None if made_for else check_frame(PLAIN)
            own, is_bulk = None, self.random.choice([None, None, False, True]) if name else None
            found = self.some_known(name) if name else Known()
            if name in self.tokens and self.random.random() < 0.4:
                token, epoch = self.random.choice(self.tokens[name][-2:])
                own = OwnPlace(epoch, self.random.randint(1, 99), token, b"%d" % self.number)
                found, made_for, link = Known(Position(epoch, own.number), token, own.state), 0, ""
            link = ""
            if made_for and self.random.random() < 0.5:
                link = f"{self.random.choice(['0a', '0b'])} {self.random.randint(1, 2)} {self.number:064x}"
            record = frame if frame is TEMPLATE else None
            messages.append(
                Message(
                    self.number, name, self.time, encoded, PLAIN, record, made_for, own=own, is_bulk=is_bulk, link=link
                )
            )
            times.append(self.time)
            known.append(found)
        for message, written in zip(messages, await self.commands.write(messages, times, known), strict=True):
            place = None if written.position is None else self.note(message.stream, written.position)
            self.told.append(("written", written.time, place, written.refusal))

    async def numbers(self):
        name = self.random.choice(NAMES[:2])
        self.tell(name, await self.commands.numbers(name, self.some_known(name)))
        asked = [(name, self.some_known(name)) for name in NAMES[:2] for _ in range(2)]
        for (name, _), standing in zip(asked, await self.commands.all_numbers(asked), strict=True):
            self.tell(name, standing)

    def tell(self, name, standing):
        place, token = self.note(name, standing.position), self.token_name(standing.token)
        self.told.append(("numbers", place, token, standing.state, standing.is_bulk))

    async def reserve(self):
        name = self.random.choice(NAMES[:2])
        self.told.append(("reserved", await self.commands.reserve_template(name, self.some_position(name))))

    async def attested(self):
        name = self.random.choice(NAMES[:2])
        epoch, signer = self.random.choice(self.known[name]).epoch, bytes((self.random.choice([10, 11]),))
        self.told.append(("attested", await self.commands.last_attestation(name, epoch, signer)))

    async def templates(self):
        name = self.random.choice(NAMES[:2])
        found = await self.commands.templates(name, self.random.choice(self.known[name]).epoch)
        self.told.append(("templates", found))

    async def read(self):
        keys = self.commands._keys
        found = await self.commands.read({keys.stream(name): b"0-0" for name in NAMES}, 1000, None)
        for key, entries in found.items():
            for id, fields in entries:
                epoch, _, number = fields.get(b"p", b"0-0").partition(b"-")
                place = Position(int(epoch), int(number))
                token = self.token_name(fields.get(b"w", b"").decode())
                self.told.append(("read", key, id, fields[b"n"], fields[b"f"], self.epochs.of(place), token))
                self.told.append(("class and proof", fields.get(b"c"), fields.get(b"m")))
        for name in NAMES:
            self.told.append(("last", await self.commands.last_id(name)))
        self.told.append(("marks", await self.commands.marks(NAMES)))


def test_the_model_answers_as_redis_does(tmp_path):
    met = {"refusals": set(), "attested": set()}
    for seed in range(8):
        (tmp_path / str(seed)).mkdir()
        compare(tmp_path / str(seed), seed, met)
    assert met["refusals"] >= {None, Refusal.NOT_NEXT}
    assert met["attested"] == {True, False}


def compare(tmp_path, seed, met):
    """Give both the same random commands."""

    async def conversation(clients):
        async with clients as (writing, reading):
            clock = RedisClock(lambda: START)
            keys = Keys("ecgframe:", b"me")
            proofs = Proofs(SigningKey(bytes(32)))
            options = {"kept": 10**15, "max_bytes": 2**30, "clock": clock, "proofs": proofs}
            commands = Commands(writing, reading, keys=keys, origin=b"me", **options)
            return await RandomCommands(commands, seed).run(120)

    async def both(url):
        real = await conversation(two_clients(own_pool(url)))
        assert real == await conversation(ModelRedis(seed).clients("a"))
        refusals = {one[3] for one in real if one[0] == "written"}
        assert refusals >= {None, Refusal.STALE, Refusal.DENIED}
        met["refusals"] |= refusals
        met["attested"] |= {one[1] is not None for one in real if one[0] == "attested"}

    with redis_server(tmp_path) as server:
        run(both(server.url))
