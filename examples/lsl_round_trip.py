"""An LSL stream published on a server, and sent from there to LSL again, to see what the two bridges keep.

    pip install "ecgframe[lsl]"
    python lsl_round_trip.py [SECONDS]

The shipped ECG stands for the amplifier. The program prints how the samples and their timestamps differ on the two
sides. In use, the three parts are programs of their own: that of the amplifier, which sends to LSL;
``ecgframe serve --streams 0 --publish`` with ``ecgframe bridge lsl in``; and ``ecgframe bridge lsl out``.
"""

import asyncio
import sys
from itertools import count
from pathlib import PurePath

import numpy as np
import pylsl

from ecgframe.bridges.lsl import from_lsl, to_lsl
from ecgframe.records import shipped_ecg
from ecgframe.server import WebSocketBinaryHandler
from ecgframe.server.adapters.websockets import serve

NAME = f"amplifier of {PurePath(sys.argv[0]).stem}"
CHUNK = 40  # samples


def open_amplifier(record):
    """An LSL stream as an amplifier opens it, with the names and the unit of its channels."""
    info = pylsl.StreamInfo(NAME, "ECG", len(record.leads), record.sampling_rate, "float32", "serial number 7")
    channels = info.desc().append_child("channels")
    for lead in record.leads:
        channel = channels.append_child("channel")
        channel.append_child_value("label", lead)
        channel.append_child_value("unit", "millivolts")
    return pylsl.StreamOutlet(info)


async def measure(amplifier, record, sent):
    """Send the recording to LSL, at its own pace."""
    signal = record.physical().T.astype(np.float32)
    start = pylsl.local_clock()
    for first in count(0, CHUNK):
        last = start + (first + CHUNK - 1) / record.sampling_rate
        await asyncio.sleep(max(last - pylsl.local_clock(), 0))
        rows = np.arange(first, first + CHUNK) % len(signal)
        amplifier.push_chunk(signal[rows], last)
        sent.extend(zip(last + (np.arange(CHUNK) - CHUNK + 1) / record.sampling_rate, signal[rows], strict=True))


def receive(seconds):
    """What comes back: samples, [samples, channels], and timestamps."""
    [info] = pylsl.resolve_byprop("name", f"lsl/{NAME}", 1, 20) or sys.exit("nothing came back")
    inlet = pylsl.StreamInlet(info)
    inlet.open_stream(10)
    print("channels:", *inlet.info(10).get_channel_labels())
    return inlet.pull_chunk(seconds + 10, round(seconds * info.nominal_srate()))


async def anyone(*_):
    """Anyone may subscribe and publish."""
    return True


async def main(seconds):
    record, sent, stop = shipped_ecg(), [], asyncio.Event()
    amplifier = open_amplifier(record)
    handler = WebSocketBinaryHandler(authorize=anyone)
    async with handler, serve(handler, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"
        measuring = asyncio.create_task(measure(amplifier, record, sent))
        bridges = [
            asyncio.create_task(from_lsl(url, names=[NAME], stop=stop)),
            asyncio.create_task(to_lsl(url, f"lsl/{NAME}", stop=stop)),
        ]
        samples, stamps = await asyncio.to_thread(receive, seconds)
        stop.set()
        [published], [returned] = await asyncio.gather(*bridges)
        measuring.cancel()
    times = np.array([time for time, _ in sent])
    nearest = [int(np.argmin(np.abs(times - stamp))) for stamp in stamps]
    differing = sum(not np.array_equal(sent[at][1], sample) for at, sample in zip(nearest, samples, strict=True))
    error = np.array(stamps) - times[nearest]
    print(f"published: {published.samples} samples in {published.units}; sent back: {returned.samples}")
    print(f"{len(samples)} samples received, {differing} of them differ")
    print(f"timestamps: at most {np.abs(error).max() * 1000:.3f} ms from those of the amplifier")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 5))
