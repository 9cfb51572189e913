"""Writes the golden batches of kafka-python's encoder; see ../README.md for how to run it."""

import sys
from pathlib import Path

from kafka.record.default_records import DefaultRecordBatchBuilder

BASE = 1700000000000
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def utf8(text):
    return text.encode()


def batch(codec):
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    records = [
        (BASE, utf8("k"), utf8("v"), []),
        (BASE + 1, None, utf8("only a value"), []),
        (BASE + 1000, utf8("tombstone"), None, []),
        (BASE + 70_000, b"", b"", [("h", utf8("x")), ("h", None), ("é", utf8("ü"))]),
        (BASE - 5, utf8("earlier"), utf8("a" * 300), []),
        (BASE + 5_000_000_000, utf8("much later"), utf8("b" * 70), []),
    ]
    for index in range(6, 300):
        key = None if index % 3 == 0 else utf8(f"key-{index % 10}")
        records.append((BASE + index * 10, key, utf8(f"line {index} of some text that repeats itself"), []))
    for offset, (timestamp, key, value, headers) in enumerate(records):
        assert builder.append(offset, timestamp, key, value, headers)
    return bytes(builder.build())


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for number, name in enumerate(CODECS):
        (folder / f"kafka-python-{name}.batch").write_bytes(batch(number))
