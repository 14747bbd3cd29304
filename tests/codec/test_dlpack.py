"""Tensors of other libraries: packed by DLPack if the CPU reads their memory, refused by name if not; in both cores."""

import numpy as np
import pytest

import ecgframe

PACKAGES = [pytest.param(ecgframe, id="this core")]
if ecgframe.accelerated:
    import twin

    PACKAGES.append(pytest.param(twin.load_plain(), id="plain core"))
each_core = pytest.mark.parametrize("package", PACKAGES)
each_form = pytest.mark.parametrize("form", ["list", "binary"])

CPU, CUDA, PINNED = 1, 2, 3


class Tensor:
    """No ndarray, but with the methods of DLPack."""

    def __init__(self, array, device=(CPU, 0)):
        self.array = array
        self.device = device

    def __dlpack_device__(self):
        return self.device

    def __dlpack__(self, **options):
        return self.array.__dlpack__()


class OldTensor(Tensor):
    """Before version 1 of DLPack, which has no such options."""

    def __dlpack__(self, stream=None):
        return self.array.__dlpack__()


@each_core
@each_form
@pytest.mark.parametrize("tensor", [Tensor, OldTensor])
@pytest.mark.parametrize("code", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
def test_a_tensor_is_packed_like_the_array_over_its_memory(package, form, tensor, code):
    array = np.arange(24).astype(code).reshape(2, 12)
    codec = package.Codec(ndarray=form)
    for part in (array, array[:, ::2], array[0], array[0, 0:0]):
        assert codec.encode(1, {"signal": tensor(part)}, timestamp=7) == codec.encode(1, {"signal": part}, timestamp=7)


@each_core
def test_a_decoded_array_is_read_by_dlpack(package):
    """The other direction: a writable array is handed out as it is."""
    codec = package.Codec(ndarray="binary", copy=True)
    signal = codec.decode(codec.encode(1, {"signal": np.arange(4.0)})).data["signal"]
    shared = np.from_dlpack(signal)
    assert np.shares_memory(shared, signal)
    assert (shared == np.arange(4)).all()


@each_core
def test_pinned_memory_is_that_of_the_cpu(package):
    class Pinned(Tensor):
        def __dlpack__(self, **options):
            return self.array.__dlpack__()

    assert package.pack(Pinned(np.arange(3), (PINNED, 0))) == package.pack(np.arange(3))


@each_core
def test_another_device_is_refused_by_name(package):
    tensor = Tensor(np.arange(3), (CUDA, 1))
    with pytest.raises(TypeError) as caught:
        package.pack({"a": [0, tensor]})
    named = f"{Tensor.__module__}.Tensor"
    assert str(caught.value) == f'data["a"][1]: a {named} on CUDA, number 1; copy it to the CPU first'
    with pytest.raises(TypeError, match="on device type 99, number 0"):
        package.pack(Tensor(np.arange(3), (99, 0)))


@each_core
def test_default_may_copy_a_tensor_from_another_device(package):
    codec = package.Codec(default=lambda tensor: tensor.array)
    assert codec.pack([Tensor(np.arange(3), (CUDA, 0))]) == package.pack([np.arange(3)])
    assert codec.pack([Tensor(np.arange(3))]) == package.pack([np.arange(3)])


@each_core
def test_default_may_return_a_tensor(package):
    codec = package.Codec(default=lambda value: Tensor(np.arange(3)))
    assert codec.pack([object()]) == package.pack([np.arange(3)])
    codec = package.Codec(default=lambda value: Tensor(np.arange(3), (CUDA, 0)))
    with pytest.raises(TypeError, match=r"^data\[0\]: cannot pack .*Tensor, which default returned$"):
        codec.pack([object()])


@each_core
@pytest.mark.parametrize("error", [BufferError("it requires a gradient"), RuntimeError("no such dtype")])
def test_a_library_that_does_not_hand_it_out_is_the_cause(package, error):
    class Refusing(Tensor):
        def __dlpack__(self, **options):
            raise error

    with pytest.raises(
        TypeError, match=rf'^data\["a"\]: a .*Refusing that cannot be read by DLPack: {error}$'
    ) as caught:
        package.pack({"a": Refusing(np.arange(3))})
    assert caught.value.__cause__.__cause__ is error


@each_core
@pytest.mark.parametrize("device", [None, 1, (1,), ("cpu", 0), (1, 2, 3)])
def test_a_device_that_is_no_pair_is_refused(package, device):
    with pytest.raises(TypeError, match=r"^data\[0\]: a .*Tensor whose __dlpack_device__ is no pair of integers$"):
        package.pack([Tensor(np.arange(3), device)])


@each_core
def test_dtypes_of_the_protocol_are_the_limit(package):
    with pytest.raises(TypeError, match=r"^data\[0\]: cannot pack an ndarray of dtype complex128"):
        package.pack([Tensor(np.arange(3) * 1j)])


@each_core
def test_a_class_that_answers_everything_is_refused_with_its_path(package):
    class Anything(type):
        def __getattr__(cls, name):
            raise OSError(name)

    class Lying(metaclass=Anything):
        pass

    with pytest.raises(OSError, match="__dlpack__") as caught:
        package.pack({"a": Lying()})
    assert any('data["a"]' in note for note in caught.value.__notes__)
