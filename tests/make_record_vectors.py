"""Write vectors/v4-records.json: templates and records of version 4, accepted and refused, from ``record_oracle.py``.

    python tests/make_record_vectors.py

An object of four lists, ``accepted``, ``refused``, ``refused_templates`` and ``exact``; vectors/README.md says what is
in them, and how values are written.
"""

import hashlib
import json
import struct

import numpy as np
import oracle
import record_oracle
from record_oracle import DELTA
from rendering import VECTORS, to_json

from ecgframe.records import shipped_ecg

PATH = VECTORS / "v4-records.json"
TIME = 1_705_314_645_250_000
LEADS = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
FIELDS = {"sampling_rate": 500, "leads": LEADS, "units": "mV", "gain": 800.0, "baseline": 0}
WORKED = np.array([[100, 104, 110, 118], [-3, -3, -2, 0]], "i2")
FOUR_LEADS = np.array(
    [
        [100, 104, 110, 118, 130, 129, 121, 112],
        [60, 61, 65, 72, 85, 83, 70, 61],
        [-40, -43, -45, -46, -45, -46, -51, -51],
        [100, 300, 800, 200, 0, -100, 0, 100],
    ],
    "i2",
)


def template_of(dtype="int16", rows=2, fields=None, **more):
    return {"template": 1, "stream": "ecg/1", "dtype": dtype, "rows": rows, "fields": fields or {}, **more}


# --- accepted ---------------------------------------------------------------------------------------------------


def accepted(name, about, template, record, *, written):
    payload = record_oracle.pack_template(template)
    read = record_oracle.read_template(payload)
    time, _, counts = record_oracle.read_counts(record, read, payload)
    return {
        "name": name,
        "about": about,
        "template": to_json(template),
        "template_payload": payload.hex(),
        "record": record.hex(),
        "message": to_json(record_oracle.read_record(record, payload)),
        "counts": to_json(counts),
        "time": str(time),
        "written": written,
    }


def sent(name, about, counts, template=None, *, time=TIME, sequence=None, bound=False, delta=True):
    """Return the case of a record that a writer makes of the samples."""
    counts = np.asarray(counts)
    template = template or template_of(str(counts.dtype), len(counts) if counts.ndim == 2 else 0)
    digest = hashlib.sha256(record_oracle.pack_template(template)).digest()[:8] if bound else None
    record = record_oracle.write_record(template, time, sequence, counts, delta=delta, digest=digest)
    return accepted(name, about, template, record, written=delta)


def foreign(name, about, template, samples, count, *, filter=DELTA, time=TIME):
    """Return the case of a valid record that another writer may send."""
    return accepted(name, about, template, head(filter, count, time=time) + samples, written=False)


def head(filter, count, *, template=1, options=0, time=TIME):
    return struct.pack(">HBBIq", template, filter, options, count, time)


def headers():
    two = template_of(rows=2)
    yield sent("worked: two leads", "the example of the header's section", WORKED, two)
    yield sent(
        "worked: four leads",
        "predictions, steps, orders",
        FOUR_LEADS,
        template_of(rows=4, fields={"leads": ["I", "II", "III", "V1"]}),
    )
    yield sent("numbered", "the message's own sequence", WORKED, two, sequence=57)
    yield sent("numbered 0", "", WORKED, two, sequence=0)
    yield sent("numbered 2^64 - 1", "", WORKED, two, sequence=2**64 - 1)
    yield sent("bound", "bound to its template", WORKED, two, bound=True)
    yield sent("numbered and bound", "", WORKED, two, sequence=7, bound=True)
    yield sent("filter 0", "what who lacks delta gets", WORKED, two, delta=False)
    yield sent("filter 0, numbered and bound", "", WORKED, two, sequence=7, bound=True, delta=False)
    for time in (0, -1, 1, -(2**63), 2**63 - 1, 1_705_314_645_123_457):
        yield sent(f"time {time}", "signed microseconds", WORKED, two, time=time)
    yield sent("template 65535", "", WORKED, {**two, "template": 65535})
    fields = {**FIELDS, "leads": ["I", "II"], "device_id": "monitor 7", "place": {"bed": 7, "ward": ["a", None, True]}}
    yield sent("fields of every kind", "what is constant is said once", WORKED, template_of(fields=fields))
    arrays = {"sampling_rate": 250, "gain": np.array([200.0, 100.0]), "baseline": np.array([0, 5], "i2")}
    yield sent("arrays in fields", "", WORKED, template_of(fields=arrays))
    yield sent(
        "a missing count in fields",
        "a field of the map: the integers stay",
        WORKED,
        template_of(fields={"missing": -3}),
    )
    yield sent("fields unknown to the template", "are ignored", WORKED, template_of(more=None))
    yield sent(
        "missing, scale and epoch of nil",
        "count as left out",
        WORKED,
        template_of(missing=None, scale=None, epoch=None),
    )
    yield sent("a gain of nil", "no sample is missing", WORKED, template_of(fields={"gain": None}))


def shapes_and_dtypes():
    for dtype, (least, most) in record_oracle.INTEGERS.items():
        for count in (0, 1, 2, 3, 4, 31, 32, 33, 34, 35, 36, 64, 65, 66, 67, 68, 100):
            wave = np.round(40 * np.sin(np.arange(count) / 5)) + (64 if least == 0 else 0)
            yield sent(f"{dtype}, {count} samples", "", wave.astype(dtype))
        yield sent(f"{dtype}, constant", "no residual differs", np.full((2, 70), most, dtype))
        edges = np.array([least, most] * 20, dtype)
        yield sent(f"{dtype}, from edge to edge", "", edges)
        yield sent(f"{dtype}, a ramp at the edge", "", np.arange(most - 80, most + 1).astype(dtype))
        yield sent(f"{dtype}, no samples of two leads", "", np.zeros((2, 0), dtype))
        noise = np.random.default_rng(4).integers(least, most, (3, 50), endpoint=True, dtype=np.int64)
        yield sent(f"{dtype}, noise", "filter 0: filter 1 is no shorter", noise.astype(dtype))
    for dtype in ("float32", "float64"):
        yield sent(
            f"{dtype}", "floats travel with filter 0", np.array([[0.5, -0.0, np.nan], [1e-3, np.inf, -np.inf]], dtype)
        )
        yield sent(f"{dtype}, one dimension", "", np.array([0.5, 1.5], dtype))
    yield sent("one row of two dimensions", "", WORKED[:1])
    yield sent("300 leads", "rows beyond 255", np.arange(600, dtype="i2").reshape(300, 2) // 2)


def predictions():
    record = shipped_ecg()
    ecg = record.signal
    template = template_of(rows=12, fields=FIELDS)
    for every, count in ((2, 25), (1, 50), (2, 125)):
        for at in (0, 1000, 3010):
            cut = ecg[:, at : at + every * count : every]
            yield sent(
                f"12 leads, {count} samples, every {every} from {at}", "the shipped ECG", cut, template, sequence=at
            )
    yield sent(
        "lead names in capitals",
        "letter case is ignored",
        ecg[:, :25],
        template_of(rows=12, fields={"leads": [n.upper() for n in LEADS]}),
    )
    yield sent("without names", "no prediction", ecg[:, :25], template_of(rows=12))
    yield sent(
        "limb leads first",
        "both rows of a prediction stand before",
        ecg[[2, 0, 1, 3], :25],
        template_of(rows=4, fields={"leads": ["III", "I", "II", "aVR"]}),
    )
    yield sent(
        "a name twice",
        "the first row of that name",
        ecg[[0, 6, 1, 2], :25],
        template_of(rows=4, fields={"leads": ["I", "I", "II", "III"]}),
    )
    yield sent("fewer names than rows", "", ecg[:4, :25], template_of(rows=4, fields={"leads": ["I", "II", "III"]}))
    yield sent("names that are none", "", ecg[:3, :25], template_of(rows=3, fields={"leads": ["I", "II", 3]}))
    for dtype, (least, most) in record_oracle.INTEGERS.items():
        one, two = np.array([least, most, least, most, 5, 6], dtype), np.array([most, least, least, most, 7, 9], dtype)
        rows = np.stack([one, two, *[one] * 4])
        yield sent(f"{dtype}, predictions at the edges", "", rows, template_of(dtype, 6, {"leads": LEADS[:6]}))


def steps():
    for step in (2, 3, 5, 100, 255, 256, 257):
        yield sent(
            f"step {step}", "", (np.array([0, 3, 1, -2, 5, 0, 7, 1, 2, 3, 1, 0, -4, 3, 2, 1]) * step).astype("i2")
        )
    yield sent("step 65535", "the largest", (np.array([0, 65535] * 20)).astype("u2"))
    yield sent("step above 65535", "none is told", (np.array([0, 1, 3, 0, 2, 9, 4] * 3) * 65536).astype("i4"))
    yield sent("a step of some of the rows", "", np.array([[0, 5, 10, 25] * 4, [0, 1, 2, 4] * 4], "i2"))
    yield sent("a residual of 25 bits", "filter 0: int32 only", np.array([0, 2**24, -(2**24), 77, 2**30, 1], "i4"))
    yield sent("residuals of 24 bits", "", np.array([0, 2**23 - 1, -(2**23), 77, 0, 1, 2, 3, 4, 5, 6, 7, 8], "i4"))


def other_writers():
    one = template_of("int16", 0)
    three = template_of("int16", 3)
    yield foreign("wider than need be", "a reader takes any width up to 24", one, bytes.fromhex("18") + bytes(3 * 4), 4)
    yield foreign("order 3 of three samples", "no residuals", one, bytes.fromhex("60 0100 0200 0300"), 3)
    yield foreign("options with a step and no residuals", "", one, bytes.fromhex("80 01 0200"), 0)
    yield foreign("step and prediction", "", three, bytes.fromhex("00 00 81 03 0500 00 01 24 01"), 1)
    yield foreign("row a and row b are one", "", template_of(), bytes.fromhex("03 06 80 02 00 00 24"), 1)


def missing():
    counts = np.array([[100, -200, -32768, 0], [-32768, 50, 20, -32768]], "i2")
    fields = {"sampling_rate": 250, "gain": [200, 100.0], "baseline": [0, 50], "units": "mV"}
    yield sent("missing", "floats, NaN where the count is that", counts, template_of(fields=fields, missing=-32768))
    yield sent("missing, gain a number", "", counts, template_of(fields={"gain": 800}, missing=-32768))
    yield sent("missing, no gain", "gain 1, baseline 0", counts, template_of(missing=-32768))
    arrays = {"gain": np.array([200, 0.3]), "baseline": np.array([1, 2], "i4")}
    yield sent("missing, gain an array", "", counts, template_of(fields=arrays, missing=-32768))
    both = {"missing": -32768, "gain": 2}
    yield sent(
        "missing in the fields as well", "goes with gain and baseline", counts, template_of(fields=both, missing=-32768)
    )
    yield sent(
        "a missing count that no sample has", "the integers stay", counts, template_of(missing=5, fields={"gain": -0.5})
    )
    yield sent("missing of one dimension", "", counts[0], template_of("int16", 0, {"gain": [2]}, missing=0))
    yield sent("a missing count and no samples", "no sample has it", counts[:, :0], template_of(missing=0))
    yield sent("missing of uint16", "", np.array([0, 65535, 7], "u2"), template_of("uint16", 0, missing=65535))
    yield sent(
        "missing of int32",
        "",
        np.array([[0, 2**31 - 1], [7, -(2**31)]], "i4"),
        template_of("int32", 2, missing=2**31 - 1),
    )


def scaled():
    counts = np.array([[100, -200, -32768, 0], [-32768, 50, 20, 32767]], "i2")
    fields = {"sampling_rate": 250, "units": "mV"}
    for mul, div in (
        (1.0, 200.0),
        (4.88, 1000.0),
        (0.00488, 1.0),
        (1.0, 204.8),
        (1e-100, 1e100),
        (1e100, 1e-100),
        (1, 1000),
    ):
        scale = {"mul": mul, "div": div}
        yield sent(
            f"scale {mul} / {div}",
            "(k * mul) / div, NaN where missing",
            counts,
            template_of(fields=fields, missing=-32768, scale=scale),
        )
    yield sent("scale without missing", "", counts, template_of(scale={"mul": 1.0, "div": 200.0}))
    kept = {"gain": 2.0, "baseline": 1}
    yield sent(
        "scale with a gain",
        "which speaks of the floats and stays",
        counts,
        template_of(fields=kept, missing=-32768, scale={"mul": 1.0, "div": 2.0}),
    )


# --- refused ----------------------------------------------------------------------------------------------------


def refused(name, template, record, max_payload=None):
    payload = record_oracle.pack_template(template)
    limit = {} if max_payload is None else {"max_payload": max_payload}
    try:
        record_oracle.read_record(record, payload, max_payload or oracle.MAX_PAYLOAD)
    except oracle.Refused as verdict:
        reason = {"reason": "template"} if str(verdict).endswith(": template") else {}
        return {
            "name": name,
            "template": to_json(template),
            "template_payload": payload.hex(),
            "record": record.hex(),
            **limit,
            "code": f"0x{verdict.code:03x}",
            "check": verdict.check,
            **reason,
        }
    raise AssertionError(f"accepted: {name}")


def bad_records():
    two, one = template_of(), template_of("int16", 0)
    good = record_oracle.write_record(two, TIME, 7, WORKED, digest=hashlib.sha256(oracle.pack(two)).digest()[:8])
    for size in range(len(good)):
        yield refused(f"cut to {size} bytes", two, good[:size])
    yield refused("a byte left over", two, good + b"\0")
    for bit in range(2, 8):
        yield refused(f"option bit {bit}", two, good[:3] + bytes([good[3] | 1 << bit]) + good[4:])
    yield refused("another template", two, good[:1] + b"\2" + good[2:])
    yield refused("template 0", two, bytes(2) + good[2:])
    yield refused("another template's binding", two, good[:31] + bytes([good[31] ^ 1]) + good[32:])
    for filter in (2, 3, 128, 255):
        yield refused(f"filter {filter}", two, good[:2] + bytes([filter]) + good[3:])
    for dtype in ("float32", "float64"):
        yield refused(f"filter 1 of {dtype}", template_of(dtype, 0), head(DELTA, 1) + b"\0")
    raw = record_oracle.write_record(two, TIME, None, WORKED, delta=False)
    yield refused("filter 0, a byte too few", two, raw[:-1])
    yield refused("filter 0, a byte too many", two, raw + b"\0")
    yield refused("filter 0, a sample too few", two, raw[:-2])
    yield refused("filter 0, no samples", two, raw[:16])
    for name, template, data, count in (
        ("a width of 25", one, "19" + "00" * 13, 4),
        ("a width of 31", one, "1f" + "00" * 16, 4),
        ("a width where no residuals are", one, "21 0100", 1),
        ("a width of no samples", one, "01", 0),
        ("order 1 of no samples", one, "20", 0),
        ("order 3 of two samples", one, "60 0100 0200", 2),
        ("options of 0", one, "80 00 00", 1),
        ("option bit 2 of a lead", one, "80 04", 1),
        ("option bit 7 of a lead", one, "80 81 0200", 1),
        ("a step of 0", one, "81 01 0000 00", 1),
        ("a step of 1", one, "81 01 0100 00", 1),
        ("a prediction in the first row", two, "80 02 00 00 24 00", 1),
        ("a prediction by its own row", two, "00 80 02 00 01 24", 1),
        ("a prediction by its own row as a", two, "00 80 02 01 00 24", 1),
        ("na of 3", two, "00 80 02 00 00 25", 1),
        ("nb of 3", two, "00 80 02 00 00 2a", 1),
        ("na of 5", two, "00 80 02 00 00 27", 1),
        ("rule bit 7", two, "00 80 02 00 00 a4", 1),
        ("spare bits of the last block", one, "03 08", 1),
        ("a spare bit at the top", one, "03 80", 1),
        ("a block's width of 25", one, "00" + "19" + "00" * 13, 36),
        ("a block's width with bit 5", one, "00" + "20", 36),
        ("a block's width with bit 7", one, "00" + "80", 36),
        ("a sample above int16", one, "11 000001", 1),
        ("a sample below int16", one, "11 010001", 1),
        ("a sample above int16 by order 1", one, "22 ff7f 02", 2),
        ("a sample below int16 by order 2", one, "43 0080 0080 01", 3),
        ("a sample above int16 by order 3", one, "61 0000 0000 ff7f 00", 4),
        ("a sample above int16 by a step", one, "82 01 ffff 02", 1),
        ("a sample outside by a prediction", two, "10 feff 80 02 00 00 24", 1),
        ("cut within the step", one, "81 01 02", 1),
        ("cut within a prediction", two, "00 80 02 00", 1),
        ("cut within the first samples", one, "40 0100 02", 2),
        ("cut within a block", one, "18 000000 0000", 2),
        ("cut before a block's width", one, "00", 33),
        ("nothing of the second lead", two, "00", 1),
        ("bytes behind the last lead", two, "00 00 00", 1),
    ):
        yield refused(name, template, head(DELTA, count) + bytes.fromhex(data))
    yield refused("a width where order took all", one, head(DELTA, 3) + bytes.fromhex("61 0100 0200 0300"))
    for dtype, data in (
        ("int8", "09 0001"),
        ("uint8", "0a 0002"),
        ("uint8", "01 01"),
        ("uint16", "01 01"),
        ("int32", "22 ffffff7f 02"),
    ):
        count = 2 if dtype == "int32" else 1
        yield refused(
            f"{dtype}: a sample outside: {data}", template_of(dtype, 0), head(DELTA, count) + bytes.fromhex(data)
        )
    yield from too_large(two, one)


def too_large(two, one):
    yield refused("2^32 - 1 samples", two, head(DELTA, 2**32 - 1) + bytes(100))
    yield refused("2^32 - 1 samples, filter 0", two, head(0, 2**32 - 1) + bytes(100))
    yield refused("beyond the limit", two, head(DELTA, 26) + bytes(2), max_payload=103)
    yield refused("beyond the limit, filter 0", two, head(0, 26) + bytes(104), max_payload=103)
    floats = template_of(missing=0)
    yield refused("floats beyond the limit", floats, head(DELTA, 26) + bytes(2), max_payload=26 * 16 - 1)
    scale = template_of(scale={"mul": 1.0, "div": 2.0})
    yield refused("scaled beyond the limit", scale, head(DELTA, 26) + bytes(2), max_payload=26 * 16 - 1)
    yield refused("more samples than bytes can hold", one, head(DELTA, 36 + 32) + bytes(1))
    yield refused("a million samples in two bytes", one, head(DELTA, 10**6) + bytes(2))


def bad_templates():
    good = template_of(fields={"leads": ["I", "II"]})
    changes = {
        "template 0": {"template": 0},
        "template 65536": {"template": 65536},
        "template -1": {"template": -1},
        "template of text": {"template": "1"},
        "template a float": {"template": 1.0},
        "template a boolean": {"template": True},
        "no stream": {"stream": ""},
        "a stream of 257 letters": {"stream": "x" * 257},
        "stream a number": {"stream": 1},
        "dtype int64": {"dtype": "int64"},
        "dtype uint32": {"dtype": "uint32"},
        "dtype float16": {"dtype": "float16"},
        "dtype bool": {"dtype": "bool"},
        "dtype >i2": {"dtype": ">i2"},
        "dtype <i2": {"dtype": "<i2"},
        "dtype i2": {"dtype": "i2"},
        "dtype a number": {"dtype": 2},
        "rows -1": {"rows": -1},
        "rows 4097": {"rows": 4097},
        "rows a float": {"rows": 2.0},
        "rows nil": {"rows": None},
        "fields a list": {"fields": []},
        "fields nil": {"fields": None},
        **{f"{name} in fields": {"fields": {name: 1}} for name in record_oracle.OWN},
        "missing beyond int16": {"missing": 32768},
        "missing below int16": {"missing": -32769},
        "missing a float": {"missing": 1.0},
        "missing a boolean": {"missing": True},
        "missing of floats": {"dtype": "float32", "missing": 0},
        "scale of floats": {"dtype": "float64", "scale": {"mul": 1.0, "div": 1.0}},
        "scale a number": {"scale": 1.0},
        "scale without div": {"scale": {"mul": 1.0}},
        "scale without mul": {"scale": {"div": 1.0}},
        **{
            f"scale, {name} {value!r}": {"scale": {"mul": 1.0, "div": 1.0, name: value}}
            for name in ("mul", "div")
            for value in (0.0, -1.0, float("inf"), float("nan"), 1e101, 1e-101, "1", True, None)
        },
        **{
            f"missing, {name} {value!r}": {"missing": 0, "fields": {name: value}}
            for name in ("gain", "baseline")
            for value in ("1", True, float("inf"), float("nan"), [1], [1, 2, 3], [1, None], [1, True], [], {})
        },
        "an epoch": {"epoch": 5},
        "an integer key in fields": {"fields": {"leads": ["I", "II"], 1: 2}},
        "an integer key in fields alone": {"fields": {1: 2}},
        "scale with another key": {"scale": {"mul": 1.0, "div": 1.0, "add": 0.0}},
        "scale with an integer key": {"scale": {"mul": 1.0, "div": 1.0, 1: 0.0}},
        "missing, gain nil": {"missing": 0, "fields": {"gain": None}},
        "missing, baseline nil": {"missing": 0, "fields": {"baseline": None}},
        "scale and missing, gain nil": {"missing": 0, "scale": {"mul": 1, "div": 1}, "fields": {"gain": None}},
        "missing, gain an array of three": {"missing": 0, "fields": {"gain": np.ones(3)}},
        "missing, gain 0": {"missing": 0, "fields": {"gain": 0}},
        "missing, gain -0.0 among others": {"missing": 0, "fields": {"gain": [1, -0.0]}},
        "missing, gain an array with 0": {"missing": 0, "fields": {"gain": np.array([1.0, 0.0])}},
        "missing, gain an array of two dimensions": {"missing": 0, "fields": {"gain": np.ones((1, 2))}},
        "missing, gain an array of booleans": {"missing": 0, "fields": {"gain": np.array([True, True])}},
        "more than 4,096 bytes": {"fields": {"note": "x" * 4096}},
        "more than 256 values": {"fields": {"leads": ["I"] * 256}},
    }
    for name, change in changes.items():
        yield refused_template(name, oracle.pack(good | change))
    for name in ("template", "stream", "dtype", "rows", "fields"):
        yield refused_template(
            f"without {name}", oracle.pack({key: value for key, value in good.items() if key != name})
        )
    yield refused_template("nothing", b"")
    yield refused_template("a list", oracle.pack([1]))
    yield refused_template("cut short", oracle.pack(good)[:-1])
    yield refused_template("bytes left over", oracle.pack(good) + b"\0")


def refused_template(name, payload):
    try:
        record_oracle.read_template(payload)
    except oracle.Refused as verdict:
        path = {} if verdict.path is None else {"path": verdict.path}
        found = {"code": f"0x{verdict.code:03x}", "check": verdict.check}
        return {"name": name, "payload": payload.hex(), **found, **path}
    raise AssertionError(f"accepted: {name}")


# --- floats that are counts ---------------------------------------------------------------------------------------


def exact():
    """Counts, scale and how the floats came about: worked out the other way round, from counts to floats."""
    counts = shipped_ecg().signal[:2, 100:140]
    whole = counts.astype("f8")
    nan = np.where(np.arange(40) % 7 == 0, np.nan, whole / 800)
    yield exact_vector("divided by 800", whole / 800, 1.0, 800.0, counts)
    yield exact_vector("times 1.25, by 1000", whole * 1.25 / 1000, 1.0, 800.0, counts)
    every = np.arange(-2000, 2000, 7, dtype="i2")
    yield exact_vector("times 4.88, by 1000", every.astype("f8") * 4.88 / 1000, 4.88, 1000.0, every)
    yield exact_vector("times 0.00488", whole * 0.00488, 0.00488, 1.0, counts)
    yield exact_vector("divided by 1000 / 4.88", whole / (1000 / 4.88), 1.0, 1000 / 4.88, counts)
    yield exact_vector("rounded to 5 decimals", np.round(whole * 4.88 / 1000, 5), 122.0, 25000.0, counts)
    yield exact_vector("NaN", nan, 1.0, 800.0, np.where(np.isnan(nan), -(2**15), counts).astype("i2"))
    yield exact_vector("zeros", np.array([0.0, -0.0]), 1.0, 1.0, np.zeros(2, "i2"))
    yield exact_vector("all NaN", np.full(2, np.nan), 1.0, 1.0, np.full(2, -(2**15), "i2"))
    yield exact_vector("a divisor in common", np.array([500.0, 1500.0]), 500.0, 1.0, np.array([1, 3], "i2"))
    yield exact_vector("more than 32 bits", np.array([0.5, 2.0**30]), 1.0, 2.0, np.array([1, 2**31], "i8"), fits=False)
    yield exact_vector("int32", np.array([0.5, 2.0**20]), 1.0, 2.0, np.array([1, 2**21], "i4"))
    yield exact_vector("a list", [0.5, 1, 2.25], 1.0, 4.0, np.array([2, 4, 9], "i2"))
    yield exact_vector("a list of lists", [[0.5], [-1.5]], 1.0, 2.0, np.array([[1], [-3]], "i2"))
    for name, signal in (
        ("an infinity", np.array([0.5, np.inf])),
        ("a boolean in a list", [0.5, True]),
        ("an integer beyond 2^53 in a list", [0.5, 2**53 + 1]),
        ("random floats", np.random.default_rng(1).normal(size=20)),
    ):
        yield {"name": name, "signal": to_json(signal), "scale": None, "counts": None}


def exact_vector(name, signal, mul, div, counts, *, fits=True):
    floats = np.array(signal, "f8")
    back = counts.astype("f8") * mul / div
    least = -(2 ** (8 * counts.itemsize - 1))
    assert np.array_equal(back[counts != least], floats[counts != least]), name
    told = {"mul": to_json(float(mul)), "div": to_json(float(div))}
    found = {"scale": told, "counts": to_json(counts)} if fits else {"scale": None, "counts": None}
    return {"name": name, "signal": to_json(signal), **found}


def make():
    parts = (headers, shapes_and_dtypes, predictions, steps, other_writers, missing, scaled)
    lists = {
        "accepted": [vector for part in parts for vector in part()],
        "refused": list(bad_records()),
        "refused_templates": list(bad_templates()),
        "exact": list(exact()),
    }
    for vectors in lists.values():
        names = [vector["name"] for vector in vectors]
        assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    return lists


def main():
    parts = [
        f'"{name}": [\n' + ",\n".join(json.dumps(vector, ensure_ascii=False) for vector in vectors) + "\n]"
        for name, vectors in make().items()
    ]
    PATH.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
