"""Addresses of one Redis, of Sentinels and of a cluster."""

import pytest
from recordings import optional
from running import run

redis = optional("redis.asyncio")

from ecgframe.server.redis import RedisBackplane, RedisClusterBackplane, backplane_of  # noqa: E402


def of_sentinels(url):
    """What a connection to the master has, and one to each Sentinel."""
    backplane = backplane_of(url)
    assert isinstance(backplane, RedisBackplane)
    pool = backplane._pool
    [master, *sentinels] = [
        pool.make_connection(),
        *(one.connection_pool.make_connection() for one in backplane._sentinel.sentinels),
    ]
    return pool.service_name, master, sentinels


def places(connections):
    return [(connection.host, connection.port) for connection in connections]


def test_one_redis():
    for scheme in ("redis://h:7/3", "rediss://h:7/3", "unix:///run/redis.sock"):
        assert type(backplane_of(scheme)) is RedisBackplane
    assert backplane_of("redis://h", version=4).version == 4


def test_sentinels_and_the_name_of_the_master():
    service, master, sentinels = of_sentinels("redis+sentinel://a,b:7,[::1]:8,[::2]/my%20ecg")
    assert (service, master.db, master.password) == ("my ecg", 0, None)
    assert places(sentinels) == [("a", 26379), ("b", 7), ("::1", 8), ("::2", 26379)]
    assert all(sentinel.socket_timeout == sentinel.socket_connect_timeout == 0.5 for sentinel in sentinels)


def test_credentials_of_redis_are_not_those_of_the_sentinels():
    url = "redis+sentinel://ward:a%2Fb%40c@a:1,b:2/ecg/3?sentinel_username=watch&sentinel_password=d%26e"
    _, master, sentinels = of_sentinels(url)
    assert (master.db, master.username, master.password) == (3, "ward", "a/b@c")
    assert [(one.username, one.password) for one in sentinels] == [("watch", "d&e")] * 2
    _, master, sentinels = of_sentinels("redis+sentinel://:secret@a:1/ecg")
    assert (master.username, master.password) == (None, "secret")
    assert [(one.username, one.password) for one in sentinels] == [(None, None)]


def test_sentinels_over_tls():
    _, master, sentinels = of_sentinels("rediss+sentinel://a,b/ecg?ssl_ca_certs=/etc/ca.pem&ssl_check_hostname=false")
    for connection in (master, *sentinels):
        assert isinstance(connection, redis.SSLConnection)
        assert connection.ssl_context.ca_certs == "/etc/ca.pem"
        assert connection.ssl_context.check_hostname is False


@pytest.mark.parametrize(
    ("url", "lanes"), [("redis+cluster://:a%2Cb@x,y:7,[::1]", 12), ("redis+cluster://:a%2Cb@x,y:7,[::1]/0?lanes=3", 3)]
)
def test_a_cluster(url, lanes):
    backplane = backplane_of(url, version=4)
    assert isinstance(backplane, RedisClusterBackplane)
    assert backplane.version == 4
    assert backplane.stats()["lanes"] == lanes
    assert places(backplane._map._first) == [("x", 6379), ("y", 7), ("::1", 6379)]
    assert backplane._map._settings["password"] == "a,b"
    assert "lanes" not in backplane._map._settings


def test_a_cluster_over_tls():
    backplane = backplane_of("rediss+cluster://x?ssl_ca_certs=/etc/ca.pem")
    connection = backplane._map._pool(backplane._map._first[0]).make_connection()
    assert isinstance(connection, redis.SSLConnection)
    assert connection.ssl_context.ca_certs == "/etc/ca.pem"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost", "begins with redis://"),
        ("http://localhost", "begins with redis://"),
        ("redis+other://localhost", "begins with redis://"),
        ("unix+cluster:///x", "begins with redis://"),
        ("redis+sentinel://a", "name of the master"),
        ("redis+sentinel://a/", "name of the master"),
        ("redis+sentinel://a/ecg/x", "name of the master"),
        ("redis+sentinel:///ecg", "separated by single commas"),
        ("redis+sentinel://a,,b/ecg", "separated by single commas"),
        ("redis+sentinel://a:b/ecg", "a port is a number"),
        ("redis+cluster://a:99999", "a port is a number"),
        ("redis://:pass/word@a", "percent-encoded"),
        ("redis+cluster://a/1", "only the database 0"),
        ("redis+cluster://a?lanes=many", "lanes is a number"),
        ("redis+cluster://a?lanes=257", "lanes is a number from 1 to 256"),
    ],
)
def test_addresses_that_are_none(url, words):
    with pytest.raises(ValueError, match=words) as caught:
        backplane_of(url)
    assert "word" not in str(caught.value) or "password" in str(caught.value)
    assert "'pass'" not in str(caught.value)


def test_the_clients_of_sentinels_are_closed_with_the_backplane():
    async def main():
        backplane = backplane_of("redis+sentinel://127.0.0.1:1,127.0.0.1:2/ecg", patience=0.1)
        await backplane.open(lambda *arguments: None)
        assert backplane.stats()["up"] is False
        await backplane.close()
        for sentinel in backplane._sentinel.sentinels:
            assert not sentinel.connection_pool._in_use_connections

    run(main())
