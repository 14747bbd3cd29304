"""Editors and notebooks show the signature of all public functions and classes, and all names of the package."""

import copy
import inspect
import pickle

import pytest
import surface
import twin
from cases import each_case
from interpreter import python

import ecgframe
from ecgframe import Codec, Header, Message
from ecgframe.messages import EcgData, SubscriptionAck

for library in ("starlette", "aiohttp", "picows", "websockets", "redis", "nats"):
    pytest.importorskip(library)

PUBLIC = [
    (module, name)
    for module in map(surface.importlib.import_module, surface.MODULES)
    for name in surface._public_names(module)
]
CALLABLE = [(module, name) for module, name in PUBLIC if callable(getattr(module, name))]
# Aliases of types, which typing makes callable.
NO_CLASSES = {"Signal", "Numbers", "PredictionResult", "Publish", "MayAcknowledge"}


@each_case(("module", "name"), CALLABLE, ids=lambda part: getattr(part, "__name__", part))
def test_everything_public_has_a_signature(module, name):
    value = getattr(module, name)
    if name in NO_CLASSES and not isinstance(value, type):
        return  # an alias
    assert isinstance(inspect.signature(value), inspect.Signature)
    if isinstance(value, type):
        for key in vars(value):
            if inspect.isroutine(getattr(value, key)) and not key.startswith("_"):
                assert isinstance(inspect.signature(getattr(value, key)), inspect.Signature), key


def test_more_than_a_hundred_callables_are_checked():
    assert len(CALLABLE) > 100


@pytest.mark.parametrize("name", ["Codec", "Message", "Header"])
def test_a_compiled_class_has_the_signature_of_its_plain_twin(name):
    if not ecgframe.accelerated:
        pytest.skip("there is but one core here")
    plain = getattr(twin.load_plain(), name)
    mine, theirs = inspect.signature(getattr(ecgframe, name)), inspect.Signature.from_callable(plain.__init__)
    expected = list(theirs.parameters.values())[1:]
    for one, other in zip(mine.parameters.values(), expected, strict=True):
        assert (one.name, one.kind, str(one.annotation)) == (other.name, other.kind, str(other.annotation).strip("'"))
        assert str(one.default) == str(other.default)


def test_a_signature_is_true():
    for cls, args in (
        (Codec, {}),
        (Message, {"type": 1, "data": None, "version": 3, "flags": 0, "timestamp": 7}),
        (Header, {"version": 3, "type": 1, "flags": 0, "length": 0, "checksum": 0, "timestamp": 7}),
    ):
        bound = inspect.signature(cls).bind(**args)
        bound.apply_defaults()
        assert cls(*bound.args, **bound.kwargs)


def test_a_subclass_has_its_own():
    class Keyed(Codec):
        def __init__(self, key):
            super().__init__()

    class Same(Codec):
        pass

    assert list(inspect.signature(Keyed).parameters) == ["key"]
    assert inspect.signature(Same) == inspect.signature(Codec)
    with pytest.raises(AttributeError):
        _ = Keyed.__signature__


def test_a_typed_dict_shows_its_fields():
    parameters = inspect.signature(EcgData).parameters
    assert list(parameters) == [*EcgData.__annotations__, "others"]
    assert parameters["signal"].default is inspect.Parameter.empty
    assert parameters["leads"].default is ...
    assert list(inspect.signature(SubscriptionAck).parameters)[-1] == "others"
    assert EcgData(signal=[1], sampling_rate=250) == {"signal": [1], "sampling_rate": 250}


def test_tab_offers_what_is_loaded_when_asked_for():
    assert {"connect", "connect_sync", "Client", "SyncClient", "Codec", "encode", "__version__"} <= set(dir(ecgframe))
    assert all(hasattr(ecgframe, name) for name in dir(ecgframe))
    assert {"Any", "TYPE_CHECKING"}.isdisjoint(dir(ecgframe))
    done = python("-c", "import sys, ecgframe; dir(ecgframe); print('asyncio' in sys.modules)")
    assert (done.stdout.strip(), done.stderr) == ("False", "")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_signatures_do_not_get_in_the_way_of_copies(again):
    message = Message(1, {"a": [1]}, 3, 0, 7, 5)
    assert repr(again(message)) == repr(message)
    header = Header(3, 1, 0, 5, 7, 9)
    assert again(header) == header
