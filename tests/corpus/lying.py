"""Parquet files whose footers and pages say other things than they hold, written by hand.

Thrift's compact protocol, as far as Parquet needs it: a struct is a list of (field, value).
"""

import struct
from typing import Any

I64, BINARY, LIST, STRUCT = 6, 8, 9, 12


def _number(value: int) -> bytes:
    """Variable length, seven bits at a time."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _kind(value: Any) -> int:
    return {int: I64, bytes: BINARY, list: LIST, dict: STRUCT}[type(value)]


def _value(value: Any) -> bytes:
    if isinstance(value, int):
        return _number(value * 2)  # zigzag
    if isinstance(value, bytes):
        return _number(len(value)) + value
    if isinstance(value, list):
        head = bytes([len(value) << 4 | _kind(value[0])])
        assert len(value) < 15
        return head + b"".join(map(_value, value))
    return fields(value)


def fields(values: dict[int, Any], types: dict[int, int] | None = None) -> bytes:
    """A struct; whole numbers are 32 or 64 bits long, which is written the same."""
    out, last = b"", 0
    for number, value in sorted(values.items()):
        kind = (types or {}).get(number, 5 if isinstance(value, int) else _kind(value))
        out += bytes([(number - last) << 4 | kind]) + _value(value)
        last = number
    return out + b"\0"


def _file(footer: bytes, pages: bytes = b"") -> bytes:
    return b"PAR1" + pages + footer + struct.pack("<I", len(footer)) + b"PAR1"


SCHEMA = [{4: b"schema", 5: 1}, {1: 2, 3: 0, 4: b"prompt"}]  # one column of 64-bit numbers


def chunks_without_end(groups: int = 5, chunks: int = 1_000_000) -> bytes:
    """A footer of 15 MB whose five million columns take a few bytes each, and far more read."""
    chunk = bytes([2 << 4 | I64, 0, 0])  # its place in the file, and nothing more
    columns = bytes([15 << 4 | STRUCT]) + _number(chunks) + chunk * chunks
    group = (
        bytes([1 << 4 | LIST]) + columns + bytes([1 << 4 | I64, 2]) + bytes([1 << 4 | I64, 2, 0])
    )
    head = fields({1: 1, 2: SCHEMA}).removesuffix(b"\0")
    rest = bytes([1 << 4 | I64, 2, 1 << 4 | LIST, groups << 4 | STRUCT])
    return _file(head + rest + group * groups + b"\0")


def page_of(size: int) -> bytes:
    """A page of zeros that zstd holds in a few kilobytes, of which the footer tells nothing."""
    block = 1 << 17  # each as one byte to be repeated
    blocks = size // block
    packed = struct.pack("<IB", 0xFD2FB528, 0b11100000) + struct.pack("<Q", blocks * block)
    for number in range(blocks):
        head = (number == blocks - 1) | 1 << 1 | block << 3
        packed += head.to_bytes(3, "little") + b"\0"
    header = fields({1: 0, 2: blocks * block, 3: len(packed), 5: {1: 1, 2: 0, 3: 3, 4: 3}})
    pages = header + packed
    column = {1: 2, 2: [0], 3: [b"prompt"], 4: 6, 5: 1, 6: 100, 7: len(pages), 9: 4}
    types = {5: I64, 6: I64, 7: I64, 9: I64}
    meta = fields(column, types).replace(bytes([1 << 4 | LIST, 1 << 4 | I64]), b"\x19\x15", 1)
    chunk = bytes([2 << 4 | I64, 8, 1 << 4 | STRUCT]) + meta + b"\0"
    group = (
        bytes([1 << 4 | LIST, 1 << 4 | STRUCT])
        + chunk
        + bytes([1 << 4 | I64, 200, 1])
        + bytes([1 << 4 | I64, 2, 0])
    )
    head = fields({1: 1, 2: SCHEMA}).removesuffix(b"\0")
    footer = head + bytes([1 << 4 | I64, 2, 1 << 4 | LIST, 1 << 4 | STRUCT]) + group + b"\0"
    return _file(footer, pages)
