"""Makes the parquet files that tests/train_data.rs reads. Versions: Python 3.11.7, pyarrow 26.0.1.

    python make_parquet.py        # writes *.parquet beside this file

Each file is of one kind of writer: small groups and missing values (pathvqa), lists of structures with the
second page version and zstd (verl), many small pages without dictionary (pages), delta encodings (deltas),
columns that mean nothing here (other).
"""

import struct
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent


def png(shade: int) -> bytes:
    """A grey picture of 4 x 3 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\0" + bytes([shade]) * 12) * 3
    head = struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def pathvqa() -> None:
    rows = [
        {
            "image": {"bytes": png(100 + n), "path": f"{n}.jpg" if n % 2 else None},
            "question": f"question {n}?",
            "answer": None if n == 5 else ["yes", "no", "liver"][n % 3],
        }
        for n in range(7)
    ]
    schema = pa.schema([("image", IMAGE), ("question", pa.string()), ("answer", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema), HERE / "pathvqa.parquet", row_group_size=3)


def verl() -> None:
    turn = pa.struct([("content", pa.string()), ("role", pa.string())])
    schema = pa.schema([
        ("data_source", pa.string()),
        ("prompt", pa.list_(turn)),
        ("images", pa.list_(IMAGE)),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("ground_truth", pa.string()), ("style", pa.string())])),
        ("extra_info", pa.struct([("index", pa.int64()), ("split", pa.string()), ("weight", pa.float64())])),
        ("empty", pa.list_(pa.int32())),
    ])
    rows = []
    for n in range(6):
        images = [{"bytes": png(10 * n + k), "path": None} for k in range(n % 3)]
        prompt = [{"role": "system", "content": "Be brief."}] if n % 2 else []
        prompt.append({"role": "user", "content": "<image>" * len(images) + f"question {n}"})
        rows.append({
            "data_source": "made",
            "prompt": prompt,
            "images": images if n != 3 else None,
            "ability": "pathology",
            "reward_model": {"style": "rule", "ground_truth": "ABCDEF"[n]},
            "extra_info": {"split": "train", "index": n, "weight": n / 4},
            "empty": [None, [], [1], [1, 2]][n % 4],
        })
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(table, HERE / "verl.parquet", compression="zstd", data_page_version="2.0", data_page_size=64)


def pages() -> None:
    rows = [
        {"image": png(n), "caption": f"caption {n} " + "x" * n, "magnification": n, "flag": n % 3 == 0, "list": [n] * (n % 4)}
        for n in range(60)
    ]
    schema = pa.schema([
        ("image", pa.binary()),
        pa.field("caption", pa.string(), nullable=False),
        ("magnification", pa.int32()),
        ("flag", pa.bool_()),
        ("list", pa.list_(pa.int64())),
    ])
    table = pa.Table.from_pylist(rows, schema)
    pq.write_table(
        table, HERE / "pages.parquet", compression="none", use_dictionary=False, data_page_size=256, write_batch_size=7
    )


def deltas() -> None:
    rows = [{"text": f"text {n}", "index": (n * n * 37) % 1000 - 500, "class": ["a", "b"][n % 2]} for n in range(300)]
    table = pa.Table.from_pylist(rows)
    encoding = {"text": "DELTA_LENGTH_BYTE_ARRAY", "index": "DELTA_BINARY_PACKED", "class": "PLAIN"}
    pq.write_table(table, HERE / "deltas.parquet", use_dictionary=False, column_encoding=encoding)


def other() -> None:
    pq.write_table(pa.table({"a": [1, 2], "b": ["x", "y"]}), HERE / "other.parquet")
    pq.write_table(pa.table({"text": ["x", "y"]}), HERE / "gzip.parquet", compression="gzip")


for make in (pathvqa, verl, pages, deltas, other):
    make()
