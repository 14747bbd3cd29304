"""A short run of the fuzzer, and the proof that it would see a failure."""

import mmap
import random

import fuzz
import pytest

from ecgframe import ErrorCode

SEED = random.SystemRandom().getrandbits(32)


def test_twenty_thousand_mutated_frames():
    print("seed", SEED)
    run = fuzz.Run(SEED)
    run.read(20_000)
    assert not run.failures
    assert sum(run.outcomes.values()) == 20_000
    assert run.outcomes["accepted"] > 1000
    assert run.outcomes[ErrorCode.INVALID_DATA_FORMAT] > 1000
    assert run.outcomes[ErrorCode.CHECKSUM_MISMATCH] > 100


def test_a_run_can_be_repeated_from_its_seed():
    one, two = fuzz.Run(7), fuzz.Run(7)
    one.read(2000)
    two.read(2000)
    assert one.outcomes == two.outcomes


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_frames_of_one_version(version):
    run = fuzz.Run(7, version)
    assert {base[0] for base in run.bases} == {version}
    run.read(500)
    assert not run.failures


def test_another_exception_is_a_failure(capsys):
    run = fuzz.Run(7)

    def broken(frame):
        raise IndexError("out of the buffer")

    run.readers = [broken]
    with pytest.raises(SystemExit):
        run.read(2000)
    assert len(run.failures) == 10
    assert "with seed 7" in capsys.readouterr().err


def test_memory_that_grows_is_seen():
    run = fuzz.Run(7)
    if fuzz.resident() is None:
        pytest.skip("no telling on this system")
    while fuzz.resident() > fuzz.resident():  # what tests before this one held is still given back
        pass
    run.note_memory()
    # New pages for certain, where the heap might have old ones; many, as the system may take others back meanwhile.
    with mmap.mmap(-1, 16 * fuzz.ALLOWED_GROWTH) as hoard:
        hoard.write(b"x" * len(hoard))
        run.note_memory()
    assert run.growth() > fuzz.ALLOWED_GROWTH
