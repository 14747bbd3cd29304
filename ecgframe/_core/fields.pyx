"""Fast check of the fields of a message: most valid messages pass it, and need no other.

The rules of the fields come from ``ecgframe.messages``. A rule of a known kind is checked here for the usual types; its
Python function decides about all others, so that both give the same answer.
"""

cimport cython
from cpython.dict cimport PyDict_Contains
from libc.math cimport isfinite

from .message cimport Message
from .ndarrays cimport kind_of, length_of, ndim_of

__all__ = ["FieldTable", "accepts_fields"]

cdef extern from "Python.h":
    bint PyFloat_CheckExact(object value)
    bint PyLong_CheckExact(object value)
    bint PyUnicode_CheckExact(object value)
    double PyFloat_AS_DOUBLE(object value)

cdef enum Kind:
    OTHER
    TEXT
    ONE_OF
    INTEGER
    TIME
    POSITIVE
    SHARE
    NONZERO_OR_LEADS
    FINITE_OR_LEADS
    NAMES
    SHARES
    FEATURES
    SIGNAL

cdef dict KINDS = {
    "": <int>OTHER,
    "feature": <int>OTHER,           # only its maps are known
    "text": <int>TEXT,
    "one of": <int>ONE_OF,
    "integer": <int>INTEGER,
    "time": <int>TIME,
    "positive": <int>POSITIVE,
    "share": <int>SHARE,
    "nonzero or one a lead": <int>NONZERO_OR_LEADS,
    "finite or one a lead": <int>FINITE_OR_LEADS,
    "names": <int>NAMES,
    "shares": <int>SHARES,
    "features": <int>FEATURES,
    "signal": <int>SIGNAL,
}


@cython.final
cdef class Field:
    cdef int kind
    cdef object accepts          # the function that decides
    cdef frozenset values        # of ONE_OF


@cython.final
cdef class FieldTable:
    """The rules of a message type.

    Args:
        fields: by name: the kind of the rule, or ""; its predicate; and the values of a rule of kind "one of".
        needs: alternative sets of required fields.
        one_a_lead: fields that, if they are lists, must have one entry for each lead of the signal.
        anything: True if the payload may be anything.
    """

    cdef dict fields
    cdef tuple needs
    cdef tuple one_a_lead
    cdef bint anything

    def __init__(self, fields, needs, one_a_lead, bint anything=False):
        cdef Field field
        self.fields = {}
        for name, (kind, accepts, values) in fields.items():
            field = Field.__new__(Field)
            field.kind = KINDS[kind]
            field.accepts = accepts
            field.values = values
            self.fields[name] = field
        self.needs = tuple([tuple(need) for need in needs])
        self.one_a_lead = tuple(one_a_lead)
        self.anything = anything

    cpdef bint accepts(self, data) except -1:
        """Return True if all fields are valid as they are. False says nothing."""
        cdef Field field
        if self.anything:
            return True
        if type(data) is not dict:
            return False
        for name, value in (<dict>data).items():
            field = <Field>self.fields.get(name)
            if field is not None and not is_valid(field, value):
                return False
        for need in self.needs:
            if has_all(<dict>data, <tuple>need):
                return not self.one_a_lead or fits_leads(self.one_a_lead, <dict>data)
        return False


cpdef bint accepts_fields(list tables, Message message) except -1:
    """Return True if the table of the message's type accepts its data; False if not, or if there is no table yet."""
    known = tables[message.type_number]
    cdef FieldTable table = None if known is None else <FieldTable?>known
    return table is not None and table.accepts(message.data)


cdef bint has_all(dict data, tuple names) except -1:
    for name in names:
        if not PyDict_Contains(data, name):
            return False
    return True


cdef inline bint is_finite_float(object value) noexcept:
    return PyFloat_CheckExact(value) and isfinite(PyFloat_AS_DOUBLE(value))


cdef inline bint is_share(object value) noexcept:
    return PyFloat_CheckExact(value) and 0 <= PyFloat_AS_DOUBLE(value) <= 1


cdef bint is_valid(Field field, object value) except -1:
    """Return whether a value is valid: at once for the usual types, otherwise by the predicate."""
    cdef int kind = field.kind
    cdef bint known = False
    if kind == TEXT:
        known = PyUnicode_CheckExact(value)
    elif kind == TIME:
        known = is_finite_float(value) or PyLong_CheckExact(value)
    elif kind == SHARE:
        known = is_share(value)
    elif kind == ONE_OF:
        known = PyUnicode_CheckExact(value) and value in field.values
    elif kind == INTEGER:
        known = PyLong_CheckExact(value)
    elif kind == POSITIVE:
        known = is_finite_float(value) and PyFloat_AS_DOUBLE(value) > 0
    elif kind == FINITE_OR_LEADS:
        known = is_finite_float(value) or PyLong_CheckExact(value)
    elif kind == NONZERO_OR_LEADS:
        known = is_finite_float(value) and PyFloat_AS_DOUBLE(value) != 0
    elif kind == NAMES:
        known = type(value) is list and are_texts(<list>value)
    elif kind == SHARES:
        known = type(value) is dict and are_shares(<dict>value)
    elif kind == FEATURES:
        known = type(value) is dict and are_features(<dict>value)
    elif kind == SIGNAL:
        known = 1 <= ndim_of(value) <= 2 and kind_of(value) in (c"i", c"u", c"f")
    return known or bool(field.accepts(value))


cdef bint are_texts(list values) noexcept:
    for value in values:
        if not PyUnicode_CheckExact(value):
            return False
    return True


cdef bint are_shares(dict entries) noexcept:
    for key, value in entries.items():
        if not PyUnicode_CheckExact(key) or not is_share(value):
            return False
    return True


cdef bint are_features(dict entries) noexcept:
    for key, value in entries.items():
        if not PyUnicode_CheckExact(key):
            return False
        if PyFloat_CheckExact(value) or PyLong_CheckExact(value):
            continue
        if type(value) is list:
            if not are_numbers(<list>value):
                return False
        elif ndim_of(value) < 0 or kind_of(value) not in (c"b", c"i", c"u", c"f"):
            return False
    return True


cdef bint are_numbers(list values) noexcept:
    for value in values:
        if not PyFloat_CheckExact(value) and not PyLong_CheckExact(value):
            return False
    return True


cdef bint fits_leads(tuple names, dict data) except -1:
    """Return whether the fields that may have an entry for each lead have as many as the signal."""
    cdef Py_ssize_t leads
    cdef int ndim
    signal = data["signal"]
    ndim = ndim_of(signal)
    if ndim == 2:
        leads = length_of(signal)
    elif ndim >= 0:
        return True
    elif type(signal) is not list:
        return False                       # the general way counts
    elif not signal or not isinstance((<list>signal)[0], (list, tuple)):
        return True
    else:
        leads = len(<list>signal)
    for name in names:
        value = data.get(name)
        if value is None or PyFloat_CheckExact(value) or PyLong_CheckExact(value):
            continue
        if type(value) is list:
            if len(<list>value) != leads:
                return False
        elif ndim_of(value) != 1 or length_of(value) != leads:
            return False
    return True
