"""The handler's numbers as metrics of OpenTelemetry, read by the reader in memory of its SDK."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading

import pytest
from recordings import optional, uninstall
from running import run

optional("prometheus_client")
optional("opentelemetry.metrics")
sdk = optional("opentelemetry.sdk.metrics")

from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader, Sum  # noqa: E402
from server.test_prometheus import StubHandler, parsed  # noqa: E402

import ecgframe.server.opentelemetry as module  # noqa: E402
from ecgframe import MessageType  # noqa: E402
from ecgframe.server import WebSocketBinaryHandler  # noqa: E402
from ecgframe.server.opentelemetry import observe  # noqa: E402


@pytest.fixture
def reader():
    """A reader, whose provider has the instruments."""
    reader = InMemoryMetricReader()
    provider = sdk.MeterProvider([reader])
    reader.meter = provider.get_meter("test")
    yield reader
    provider.shutdown()


def found(reader):
    """Values by name and attributes, and each metric by its name."""
    data = reader.get_metrics_data()
    every = [
        metric
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    values = {
        (metric.name, *point.attributes.values()): point.value for metric in every for point in metric.data.data_points
    }
    return values, {metric.name: metric for metric in every}


def test_names_and_values_are_those_for_prometheus(reader):
    async def main():
        handler = StubHandler()
        observe(handler, reader.meter)
        return parsed(handler), *found(reader)

    expected, values, metrics = run(main())
    prometheus = {
        (name.removesuffix("_total"), *sorted(labels)): value
        for (name, *labels), value in expected.items()
        if name.startswith("ecgframe")
    }
    assert len(prometheus) > 150
    assert {(name, *sorted(labels)): value for (name, *labels), value in values.items()} == prometheus
    assert {type(metric.data) for metric in metrics.values()} == {Sum, Gauge}
    sent = metrics["ecgframe_messages_sent"]
    assert sent.data.is_monotonic
    assert sent.description == "Messages sent, by type."
    assert dict(next(iter(sent.data.data_points)).attributes).keys() == {"type"}
    assert type(metrics["ecgframe_backplane_lag_seconds"].data) is Gauge
    assert metrics["ecgframe_processing_seconds_bucket"].data.is_monotonic


def test_the_numbers_are_those_of_now_and_are_read_once_for_all_instruments(reader, monkeypatch):
    monkeypatch.setattr(module, "FRESH", 0.0)

    async def main():
        async with WebSocketBinaryHandler() as handler:
            observe(handler, reader.meter)
            for count in (1, 2):
                await handler.publish("ecg/1", MessageType.ECG_DATA, {"signal": [1], "sampling_rate": 250})
                values, _ = found(reader)
                assert values["ecgframe_processing_seconds_count", "publish"] == count
                assert values["ecgframe_streams",] == 1
        monkeypatch.setattr(module, "FRESH", 60.0)
        asked = []
        handler = StubHandler()
        stats, handler.stats = handler.stats, lambda: asked.append(None) or stats()
        other = InMemoryMetricReader()
        provider = sdk.MeterProvider([other])
        observe(handler, provider.get_meter("other"))
        asked.clear()
        found(other)
        assert len(asked) == 1
        provider.shutdown()

    run(main())


def test_another_thread_asks_in_the_one_of_the_event_loop(reader):
    class Watching(StubHandler):
        def stats(self):
            threads.add(threading.get_ident())
            return super().stats()

    threads = set()

    async def main():
        handler = Watching()
        observe(handler, reader.meter)
        values, _ = await asyncio.to_thread(found, reader)
        assert values["ecgframe_connections_accepted",] == 7
        assert threads == {threading.get_ident()}

    run(main())


def test_an_event_loop_that_does_not_answer_delays_one_collection_once(reader, monkeypatch, caplog):
    monkeypatch.setattr(module, "ANSWER", 0.05)
    collected = []

    async def main():
        handler = StubHandler()
        observe(handler, reader.meter)
        thread = threading.Thread(target=lambda: collected.append(found(reader)[0]))
        thread.start()
        thread.join()  # the event loop is busy meanwhile
        await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        run(main())
    assert collected == [{}]
    assert len([record for record in caplog.records if "the event loop did not answer" in record.message]) == 1


def test_after_the_event_loop_has_ended_there_are_still_the_last_numbers(reader):
    async def main():
        handler = StubHandler()
        observe(handler, reader.meter)
        return handler

    handler = run(main())
    assert found(reader)[0]["ecgframe_connections_accepted",] == 7
    del handler
    gc.collect()


def test_a_handler_that_is_gone_has_no_values_any_more(reader):
    async def main():
        observe(StubHandler(), reader.meter)
        gc.collect()
        return found(reader)

    assert run(main()) == ({}, {})


def test_it_belongs_to_an_event_loop():
    with pytest.raises(RuntimeError, match="no running event loop"):
        observe(StubHandler())


def test_without_a_provider_nothing_happens():
    async def main():
        observe(StubHandler())

    run(main())


def test_without_the_library_it_says_what_to_install(monkeypatch):
    import sys

    from ecgframe.libraries import MissingLibrary

    uninstall(monkeypatch, "opentelemetry")
    monkeypatch.delitem(sys.modules, "ecgframe.server.opentelemetry")
    with pytest.raises(MissingLibrary, match=r"ecgframe\[opentelemetry\]"):
        __import__("ecgframe.server.opentelemetry")
