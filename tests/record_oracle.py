"""The records of version 4 as slow, plain code: templates and records, one rule after another.

As ``oracle.py``, it takes nothing from ecgframe, not even the numbers. Samples are Python's integers, one by one.
"""

import hashlib
import itertools
import math
import struct

import numpy as np
import oracle
from oracle import BAD_FORMAT, TOO_LARGE, Refused

PAYLOAD = 11
INTEGERS = {
    "int8": (-(2**7), 2**7 - 1),
    "uint8": (0, 2**8 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1),
}
SIZES = {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "float32": 4, "float64": 8}
NONE, DELTA = 0, 1
NUMBERED, BOUND = 1, 2
MAX_TEMPLATE_VALUES = 256
STEP, PREDICTION = 1, 2
BLOCK, WIDEST, LARGEST_STEP = 32, 24, 65535
OWN = ("signal", "stream", "timestamp", "sequence")
RULES = {
    "iii": [(-2, 2, 0)],
    "avr": [(-1, -1, 0), (-1, -1, 1)],
    "avl": [(2, -1, 0), (2, -1, 1)],
    "avf": [(-1, 2, 0), (-1, 2, 1)],
}


# --- templates --------------------------------------------------------------------------------------------------


def pack_template(template):
    return oracle.pack(template)


def read_template(payload):
    """The fields of a STREAM_TEMPLATE that names a template."""
    return oracle.read_template(payload, may_open=False)


def one_a_lead(fields, name, leads):
    """A number for each lead, as floats; None where the template has none."""
    if name not in fields:
        return None
    value = fields[name]
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [float(number) for number in (value if isinstance(value, list) else [value] * leads)]


# --- records ----------------------------------------------------------------------------------------------------


def read_record(payload, template_payload, limit=oracle.MAX_PAYLOAD):
    """The ECG_DATA map that a record under a template stands for."""
    template = read_template(template_payload)
    time, sequence, counts = read_counts(payload, template, template_payload, limit)
    message = {**template["fields"], "stream": template["stream"]}
    signal = counts
    if "scale" in template:
        scale = template["scale"]
        signal = counts.astype("f8") * float(scale["mul"]) / float(scale["div"])
    elif "missing" in template and np.any(counts == template["missing"]):
        rows = template["rows"] or 1
        baseline = one_a_lead(template["fields"], "baseline", rows) or [0.0] * rows
        gain = one_a_lead(template["fields"], "gain", rows) or [1.0] * rows
        with np.errstate(all="ignore"):
            values = counts.reshape(rows, -1).astype("f8") if counts.size else np.zeros((rows, 0))
            signal = ((values - np.array(baseline)[:, None]) / np.array(gain)[:, None]).reshape(counts.shape)
        for name in ("gain", "baseline", "missing"):
            message.pop(name, None)
    if "missing" in template and signal is not counts:
        signal = np.where(counts == template["missing"], np.nan, signal)
    message |= {"signal": signal, "timestamp": time / 1e6}
    return message if sequence is None else message | {"sequence": sequence}


def read_counts(payload, template, template_payload, limit=oracle.MAX_PAYLOAD):
    """Time, the message's own sequence or None, and the samples as they travelled."""
    if len(payload) < 16:
        raise Refused(BAD_FORMAT, PAYLOAD, "shorter than a record")
    number, filter, options, count, time = struct.unpack(">HBBIq", payload[:16])
    if options & ~(NUMBERED | BOUND):
        raise Refused(BAD_FORMAT, PAYLOAD, "options")
    start = 16 + 8 * bool(options & NUMBERED) + 8 * bool(options & BOUND)
    if len(payload) < start:
        raise Refused(BAD_FORMAT, PAYLOAD, "shorter than a record")
    sequence = struct.unpack(">Q", payload[16:24])[0] if options & NUMBERED else None
    if number != template["template"]:
        raise Refused(BAD_FORMAT, PAYLOAD, "template")
    if options & BOUND and payload[start - 8 : start] != hashlib.sha256(template_payload).digest()[:8]:
        raise Refused(BAD_FORMAT, PAYLOAD, "template")
    dtype, rows = template["dtype"], template["rows"]
    if filter not in (NONE, DELTA) or (filter == DELTA and dtype not in INTEGERS):
        raise Refused(BAD_FORMAT, PAYLOAD, "filter")
    samples = payload[start:]
    becomes_floats = "missing" in template or "scale" in template
    size = SIZES[dtype]
    if (rows or 1) * count * (8 if becomes_floats else size) > limit:
        raise Refused(TOO_LARGE, PAYLOAD, "more samples than the limit")
    shape = (rows, count) if rows else (count,)
    if filter == NONE:
        if len(samples) != (rows or 1) * count * size:
            raise Refused(BAD_FORMAT, PAYLOAD, "bytes and samples disagree")
        counts = np.frombuffer(samples, np.dtype(dtype).newbyteorder("<")).astype(dtype)
    else:
        if len(samples) < (rows or 1) * (1 + max(0, math.ceil((count - 3) / BLOCK) - 1)):
            raise Refused(BAD_FORMAT, PAYLOAD, "more samples than the bytes can hold")
        counts = np.array(unfilter(samples, dtype, rows or 1, count), dtype)
    return time, sequence, counts.reshape(shape)


def write_record(template, time, sequence, counts, *, delta=True, digest=None):
    """The payload of a record of these samples, [leads, samples] or [samples]."""
    dtype = template["dtype"]
    rows = counts.reshape(template["rows"] or 1, -1).tolist() if counts.size else [[]] * (template["rows"] or 1)
    raw = counts.astype(np.dtype(dtype).newbyteorder("<")).tobytes()
    filtered = write_delta(rows, dtype, names_of(template)) if delta and dtype in INTEGERS else None
    shorter = filtered is not None and len(filtered) < len(raw)
    options = (sequence is not None) * NUMBERED + (digest is not None) * BOUND
    head = struct.pack(">HBBIq", template["template"], DELTA if shorter else NONE, options, counts.shape[-1], time)
    number = b"" if sequence is None else struct.pack(">Q", sequence)
    return head + number + (digest or b"") + (filtered if shorter else raw)


def names_of(template):
    """The lead's name of each row, as far as the fields tell: a list of texts."""
    names = template["fields"].get("leads")
    rows = template["rows"]
    if not rows or not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        return [""] * (rows or 1)
    return [names[row].lower() if row < len(names) else "" for row in range(rows)]


# --- filter 1 ---------------------------------------------------------------------------------------------------


def unfilter(data, dtype, row_count, count):
    """The samples of all rows, row by row, from the bytes of filter 1."""
    at = 0
    rows = []
    for _ in range(row_count):
        row, at = read_row(data, at, dtype, rows, count)
        rows.append(row)
    if at != len(data):
        raise Refused(BAD_FORMAT, PAYLOAD, "bytes left over")
    return rows


def take(data, at, nbytes):
    if at + nbytes > len(data):
        raise Refused(BAD_FORMAT, PAYLOAD, "cut short")
    return data[at : at + nbytes], at + nbytes


def read_row(data, at, dtype, before, count):  # noqa: PLR0912 - one for each rule
    size = SIZES[dtype]
    (first,), at = take(data, at, 1)
    width, order = first & 31, first >> 5 & 3
    if order > count:
        raise Refused(BAD_FORMAT, PAYLOAD, "order")
    left = count - order
    if width > WIDEST or (width and not left):
        raise Refused(BAD_FORMAT, PAYLOAD, "width")
    step, prediction = 1, None
    if first & 128:
        (options,), at = take(data, at, 1)
        if not options or options & ~(STEP | PREDICTION):
            raise Refused(BAD_FORMAT, PAYLOAD, "options of a lead")
        if options & STEP:
            found, at = take(data, at, 2)
            step = int.from_bytes(found, "little")
            if step < 2:
                raise Refused(BAD_FORMAT, PAYLOAD, "step")
        if options & PREDICTION:
            (a, b, rule), at = take(data, at, 3)
            na, nb, c = (rule & 7) - 2, (rule >> 3 & 7) - 2, rule >> 6 & 1
            if a >= len(before) or b >= len(before) or rule & 128 or na > 2 or nb > 2:
                raise Refused(BAD_FORMAT, PAYLOAD, "prediction")
            prediction = (before[a], before[b], na, nb, c)
    predicted = predict(prediction, count)
    found, at = take(data, at, order * size)
    signed = not dtype.startswith("u")
    row = [int.from_bytes(found[i * size : (i + 1) * size], "little", signed=signed) for i in range(order)]
    d = [row[i] - predicted[i] for i in range(order)]
    least, most = INTEGERS[dtype]
    is_first = True
    while left:
        if not is_first:
            (width,), at = take(data, at, 1)
            if width > WIDEST:
                raise Refused(BAD_FORMAT, PAYLOAD, "width")
        is_first = False
        n = min(left, BLOCK)
        found, at = take(data, at, (n * width + 7) // 8)
        bits = int.from_bytes(found, "little")
        if bits >> n * width:
            raise Refused(BAD_FORMAT, PAYLOAD, "spare bits")
        for i in range(n):
            zigzag = bits >> i * width & ((1 << width) - 1)
            residual = zigzag // 2 if zigzag % 2 == 0 else -(zigzag + 1) // 2
            expected = (0, lambda: d[-1], lambda: 2 * d[-1] - d[-2], lambda: 3 * d[-1] - 3 * d[-2] + d[-3])[order]
            d.append(residual * step + (expected() if order else 0))
            row.append(d[-1] + predicted[len(row)])
            if not least <= row[-1] <= most:
                raise Refused(BAD_FORMAT, PAYLOAD, "a sample outside the dtype")
        left -= n
    return row, at


def predict(prediction, count):
    if prediction is None:
        return [0] * count
    a, b, na, nb, c = prediction
    return [(na * a[i] + nb * b[i] + c) >> 1 for i in range(count)]


def write_delta(rows, dtype, names):
    """The bytes of filter 1, or None where a row has no form."""
    out = b""
    for at in range(len(rows)):
        best = None
        for form in forms(rows, at, dtype, names):
            if best is None or len(form) < len(best):
                best = form
        if best is None:
            return None
        out += best
    return out


def forms(rows, at, dtype, names):
    """The forms of a row that a writer tries, in this order."""
    predictions = [None]
    if names[at] in RULES and "i" in names[:at] and "ii" in names[:at]:
        a, b = names.index("i"), names.index("ii")
        if a < 256 and b < 256:
            predictions += [(a, b, na, nb, c) for na, nb, c in RULES[names[at]]]
    row = rows[at]
    for prediction in predictions:
        known = None if prediction is None else (rows[prediction[0]], rows[prediction[1]], *prediction[2:])
        predicted = predict(known, len(row))
        residuals = [x - p for x, p in zip(row, predicted, strict=True)]
        for order in range(min(3, len(row)) + 1):
            if order:
                residuals = [y - x for x, y in itertools.pairwise(residuals)]
            for step in (1, math.gcd(*residuals)):
                if step == 1 or (2 <= step <= LARGEST_STEP and any(residuals)):
                    form = write_row(row, dtype, prediction, order, step, [r // step for r in residuals])
                    if form is not None:
                        yield form


def write_row(row, dtype, prediction, order, step, residuals):
    """One form of a row, or None where a residual is too wide for it."""
    options = (step > 1) * STEP + (prediction is not None) * PREDICTION
    out = bytes([options]) if options else b""
    out += step.to_bytes(2, "little") if step > 1 else b""
    if prediction is not None:
        a, b, na, nb, c = prediction
        out += bytes([a, b, na + 2 + 8 * (nb + 2) + 64 * c])
    signed = not dtype.startswith("u")
    out += b"".join(x.to_bytes(SIZES[dtype], "little", signed=signed) for x in row[:order])
    first = 0
    for start in range(0, len(residuals), BLOCK):
        block = [2 * r if r >= 0 else -2 * r - 1 for r in residuals[start : start + BLOCK]]
        width = max(block).bit_length()
        if width > WIDEST:
            return None
        if start:
            out += bytes([width])
        else:
            first = width
        bits = sum(zigzag << i * width for i, zigzag in enumerate(block))
        out += bits.to_bytes((len(block) * width + 7) // 8, "little")
    return bytes([first | order << 5 | (128 if options else 0)]) + out
