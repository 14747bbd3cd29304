"""Write vectors/invalid-deflate.json: streams that are not valid deflate, and that libdeflate inflates all the same.

    python tests/make_deflate_vectors.py

Each is written bit by bit, with the names of RFC 1951. ``codec/test_invalid_deflate.py`` and the TypeScript client read
the file.
"""

import json
import random
import zlib
from pathlib import Path

import oracle

VECTORS = Path(__file__).parent / "vectors" / "invalid-deflate.json"
END = 256
MATCH_OF_3, MATCH_OF_258 = 257, 285
FIXED = [8] * 144 + [9] * 112 + [7] * 24 + [8] * 8
FIXED_DISTANCES = [5] * 32
ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]


def huffman(lengths):
    """Return the codeword of each symbol, and its length; RFC 1951, 3.2.2."""
    codes, code = {}, 0
    for length in range(1, 16):
        for symbol in [symbol for symbol, one in enumerate(lengths) if one == length]:
            codes[symbol] = (code, length)
            code += 1
        code <<= 1
    return codes


class DeflateWriter:
    """Writes a deflate stream, valid or not. Blocks are begun and never closed: write ``END``."""

    def __init__(self):
        self._bits = []
        self._literals = self._distances = None

    def number(self, value, size):
        """Write an integer, its least significant bit first."""
        self._bits += [value >> place & 1 for place in range(size)]

    def codeword(self, code, length):
        """Write a codeword, its most significant bit first."""
        self._bits += [code >> place & 1 for place in reversed(range(length))]

    def stored(self, octets, *, is_last=False):
        """Write a block of bytes as they are."""
        self.number(is_last, 3)
        self._bits += [0] * (-len(self._bits) % 8)
        self.number(len(octets), 16)
        self.number(len(octets) ^ 0xFFFF, 16)
        for octet in octets:
            self.number(octet, 8)

    def fixed(self):
        """Begin the last block, with the fixed codes."""
        self.number(1 | 1 << 1, 3)
        self._literals, self._distances = huffman(FIXED), huffman(FIXED_DISTANCES)

    def dynamic(self, literals, distances):
        """Begin the last block, with codes of these lengths by symbol."""
        self.number(1 | 2 << 1, 3)
        literals, distances = ([of.get(symbol, 0) for symbol in range(most)] for of, most in (literals, distances))
        for count, least, size in ((len(literals), 257, 5), (len(distances), 1, 5), (len(ORDER), 4, 4)):
            self.number(count - least, size)
        of_lengths = huffman([4] * 16)
        for symbol in ORDER:
            self.number(4 if symbol in of_lengths else 0, 3)
        for length in literals + distances:
            self.codeword(*of_lengths[length])
        self._literals, self._distances = huffman(literals), huffman(distances)

    def literal(self, symbol):
        """Write a literal, a length without extra bits, or ``END``."""
        self.codeword(*self._literals[symbol])

    def distance(self, symbol, extra=0):
        """Write a distance, and the extra bits of it, all 0."""
        self.codeword(*self._distances[symbol])
        self.number(0, extra)

    def stream(self, content):
        """Return the zlib stream of these bits, for this content."""
        bits = self._bits + [0] * (-len(self._bits) % 8)
        number = sum(bit << place for place, bit in enumerate(bits))
        return b"\x78\x9c" + number.to_bytes(len(bits) // 8, "little") + zlib.adler32(content).to_bytes(4, "big")


TEXT = oracle.pack("aaaa")
LITERALS = {TEXT[0]: 2, ord("a"): 2, END: 2, MATCH_OF_3: 2}


def of_a_text(literals, distances, distance=(0, 1)):
    """Return a stream of ``TEXT``: two literals, a match of 3 with the codeword of a distance, and the end."""
    writer = DeflateWriter()
    writer.dynamic(literals, distances)
    for symbol in (TEXT[0], ord("a"), MATCH_OF_3):
        writer.literal(symbol)
    writer.codeword(*distance)
    writer.literal(END)
    return TEXT, writer.stream(TEXT)


def with_another_end():
    """Return a stream whose second block has a code for its end alone, and ends with the other codeword."""
    writer = DeflateWriter()
    writer.stored(TEXT)
    writer.dynamic(({END: 1}, 257), ({}, 1))
    writer.codeword(1, 1)
    return TEXT, writer.stream(TEXT)


def with_a_length(symbol):
    """Return a stream with a match of that length symbol, of 258 zeros."""
    content = oracle.pack(random.Random(1).randbytes(60) + bytes(259))
    writer = DeflateWriter()
    writer.stored(content[:-258])
    writer.fixed()
    writer.literal(symbol)
    writer.distance(0)
    writer.literal(END)
    return content, writer.stream(content)


def with_a_distance(symbol):
    """Return a stream with a match of three zeros, 24,577 bytes back: the smallest distance with 13 extra bits."""
    content = oracle.pack(random.Random(1).randbytes(4000) + bytes(25_000))
    writer = DeflateWriter()
    writer.stored(content[: -3 - 96 * 258])
    writer.fixed()
    for _ in range(96):
        writer.literal(MATCH_OF_258)
        writer.distance(0)
    writer.literal(MATCH_OF_3)
    writer.distance(symbol, 13)
    writer.literal(END)
    return content, writer.stream(content)


STREAMS = {
    "a code for the length 286, not used": lambda: of_a_text((LITERALS, 287), ({0: 1, 1: 1}, 2)),
    "a code for the distance 30, not used": lambda: of_a_text((LITERALS, 258), ({0: 1, 1: 1}, 31)),
    "length 286": lambda: with_a_length(286),
    "length 287": lambda: with_a_length(287),
    "distance 30": lambda: with_a_distance(30),
    "distance 31": lambda: with_a_distance(31),
    "the other codeword of a single distance": lambda: of_a_text((LITERALS, 258), ({0: 1}, 1), (1, 1)),
    "a match without a code for distances": lambda: of_a_text((LITERALS, 258), ({}, 1)),
    "the other codeword of a single literal": with_another_end,
}
"""Each gives the content, and its stream."""

VALID = {
    "length 285": lambda: with_a_length(285),
    "distance 29": lambda: with_a_distance(29),
    "a single distance": lambda: of_a_text((LITERALS, 258), ({0: 1}, 1)),
    "as many codes as there are": lambda: of_a_text((LITERALS, 286), ({0: 1, 1: 1}, 30)),
}
"""The nearest valid ones: what inflates them shows that the writer is right."""


def main():
    """Write the file."""
    vectors = [
        {"name": name, "stream": stream.hex(), "valid": zlib.compress(content, 9).hex()}
        for name, make in STREAMS.items()
        for content, stream in [make()]
    ]
    VECTORS.write_text(json.dumps(vectors, indent=1) + "\n")


if __name__ == "__main__":
    main()
