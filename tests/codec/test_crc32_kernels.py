"""Each kernel of the CRC-32 that this processor can run, against zlib; and its constants against their definition."""

import random
import zlib

import pytest

import ecgframe

if not ecgframe.accelerated:
    pytest.skip("the plain core has zlib's CRC-32", allow_module_level=True)

from ecgframe._core import checksum as _checksum

KERNELS = ["slices", "pclmul", "vpclmul-avx2", "vpclmul-avx512", "crc", "pmull"]
HERE = _checksum.kernel_names()
BYTES = random.Random(7).randbytes(1 << 20)
POLYNOMIAL = 0x104C11DB7  # as the specification of CRC-32 writes it: bit i is the coefficient of x^i

each_kernel = pytest.mark.parametrize(
    "kernel",
    [
        pytest.param(name, marks=pytest.mark.skipif(name not in HERE, reason="not on this processor"))
        for name in KERNELS
    ],
)


def test_the_kernels_are_known_and_the_last_runs_everywhere():
    assert set(HERE) <= set(KERNELS)
    assert HERE[-1] == "slices"
    with pytest.raises(ValueError, match="'abacus' is none of"):
        _checksum.crc32_by("abacus", b"")


@each_kernel
def test_every_length(kernel):
    for size in range(1101):
        assert _checksum.crc32_by(kernel, BYTES[:size]) == zlib.crc32(BYTES[:size]), size


@each_kernel
def test_every_alignment(kernel):
    view = memoryview(BYTES)
    for start in range(64):
        for size in (*range(70), 255, 256, 257, 1023, 1024, 1025, 16_384, 20_001):
            octets = view[start : start + size]
            assert _checksum.crc32_by(kernel, octets) == zlib.crc32(octets), (start, size)


@each_kernel
def test_pieces_of_any_size_one_after_another(kernel):
    chance = random.Random(3)
    for _ in range(300):
        total = chance.choice([20, 300, 3000, 40_000])
        end, checksum = 0, 0
        while end < total:
            begin, end = end, min(end + chance.randint(0, total // 3), total)
            checksum = _checksum.crc32_by(kernel, BYTES[begin:end], checksum)
        assert checksum == zlib.crc32(BYTES[:total])


@each_kernel
def test_any_checksum_is_continued(kernel):
    chance = random.Random(4)
    for size in (*range(80), 300, 1500):
        checksum = chance.choice([0, 1, 2**31, 2**32 - 1, chance.getrandbits(32)])
        assert _checksum.crc32_by(kernel, BYTES[:size], checksum) == zlib.crc32(BYTES[:size], checksum)


@each_kernel
def test_a_megabyte(kernel):
    for start in (0, 1, 63):
        assert _checksum.crc32_by(kernel, memoryview(BYTES)[start:]) == zlib.crc32(memoryview(BYTES)[start:])


# --- the constants: polynomials over GF(2) are integers, bit i being the coefficient of x^i ---


def product(a, b):
    return sum_of(a << i for i in range(b.bit_length()) if b >> i & 1)


def sum_of(polynomials):
    total = 0
    for one in polynomials:
        total ^= one
    return total


def remainder(a):
    while a.bit_length() > 32:
        a ^= POLYNOMIAL << a.bit_length() - 33
    return a


def power_of_x(exponent):
    """Mod the polynomial, by which x has an inverse: it divides x^(2^32 - 1) - 1."""
    result, base = 1, 2
    for bit in bin(exponent % (2**32 - 1))[:1:-1]:
        if bit == "1":
            result = remainder(product(result, base))
        base = remainder(product(base, base))
    return result


def reflected(a, width):
    return int(f"{a:0{width}b}"[::-1], 2)


def test_the_powers_of_x():
    assert power_of_x(2**32 - 1) == 1
    assert remainder(product(power_of_x(-1), 2)) == 1
    powers, _, _ = _checksum.constants()
    assert min(powers) == -64
    assert max(powers) >= 512
    for distance, power in powers.items():
        assert power == reflected(power_of_x(8 * distance + 31), 32), distance


def test_the_divisor_and_its_inverse():
    _, inverse, divisor = _checksum.constants()
    assert divisor == reflected(POLYNOMIAL, 33)
    assert product(inverse, divisor) % (1 << 64) == 1


def test_a_checksum_is_a_remainder():
    """The definition: the bits of the first byte are the highest coefficients, the first and last 32 are inverted."""
    for size in range(4, 40):
        octets = BYTES[:size]
        message = reflected(int.from_bytes(octets, "little"), 8 * size)
        checksum = remainder((message ^ 0xFFFFFFFF << 8 * size - 32) << 32) ^ 0xFFFFFFFF
        assert ecgframe.crc32(octets) == reflected(checksum, 32)
