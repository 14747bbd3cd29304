"""Templates and records by each core that is here: the one in use, and the plain one where that is another."""

import importlib
from typing import Any, NamedTuple

import pytest

import ecgframe


class Core(NamedTuple):
    """The functions for records of one of the two packages."""

    Codec: Any
    Template: Any
    ProtocolError: Any
    record_content: Any
    template_number: Any
    template_key: Any
    write_record: Any
    read_record_head: Any
    read_record_samples: Any
    flatten: Any


def _core_of(package):
    templates = importlib.import_module(f"{package.__name__}.messages.templates")
    return Core(
        package.Codec,
        templates.Template,
        package.ProtocolError,
        templates.record_content,
        templates.template_number,
        templates.template_key,
        package._core.write_record,
        package._core.read_record_head,
        package._core.read_record_samples,
        package._core.flatten,
    )


def _cores():
    found = [pytest.param(_core_of(ecgframe), id="compiled" if ecgframe.accelerated else "plain")]
    if ecgframe.accelerated:
        import twin

        found.append(pytest.param(_core_of(twin.load_plain()), id="plain"))
    return found


CORES = _cores()
