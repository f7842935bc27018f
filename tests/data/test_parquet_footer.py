"""Sizes of columns are those that pyarrow wrote; damage never ends the process."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pretrainjax.data.parquet_footer import Chunk, read_footer
from pretrainjax.data.records import Damaged, rows


def written(tmp_path, table, **options):
  path = tmp_path / "a.parquet"
  pq.write_table(pa.table(table), path, **options)
  return path


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_all_facts_are_those_of_pyarrow(tmp_path, compression, version):
  table = {
    "text": [f"words {i}" for i in range(700)],
    "nested": [[i, i + 1] for i in range(700)],
    "fact": [{"a": i, "b": "x"} for i in range(700)],
    "score": [i / 2 for i in range(700)],
    "flag": [True, None] * 350,
  }
  options = {"compression": compression, "row_group_size": 300, "data_page_version": version}
  path = written(tmp_path, table, **options, use_dictionary=["text"])
  count, groups = read_footer(path)
  facts = pq.ParquetFile(path).metadata
  assert count == facts.num_rows == 700 and len(groups) == facts.num_row_groups == 3
  for group, chunks in enumerate(groups):
    for place, chunk in enumerate(chunks):
      column = facts.row_group(group).column(place)
      assert chunk.name == column.path_in_schema.split(".")[0]
      assert chunk.unpacked == column.total_uncompressed_size
      assert chunk.packed == column.total_compressed_size
      assert (chunk.largest > 0) == column.has_dictionary_page


def test_the_size_of_a_dictionary_is_that_of_its_values(tmp_path):
  path = written(tmp_path, {"text": ["a" * 1000, "b" * 500] * 9}, compression="zstd")
  (chunk,) = read_footer(path)[1][0]
  assert chunk.largest == 1000 + 500 + 2 * 4 and isinstance(chunk, Chunk)


def test_flipped_bits_of_the_footer_never_end_the_process(tmp_path):
  """pyarrow's own way to the same facts does, within a few flips."""
  table = {"text": ["words"] * 20, "label": [1] * 20}
  path = written(tmp_path, table)
  whole, chance = path.read_bytes(), random.Random(0)
  length = int.from_bytes(whole[-8:-4], "little")
  refused = 0
  for _ in range(300):
    data = bytearray(whole)
    for _ in range(chance.randint(1, 3)):
      data[len(data) - 9 - chance.randrange(length)] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    try:
      for row in rows(path, ["text"]):
        assert row is None or set(row) == {"text"}
    except Damaged:
      refused += 1
  assert refused > 100


@pytest.mark.parametrize(
  "data",
  [
    b"",
    b"PAR1",
    b"PAR1" + bytes(4) + b"PAR1",
    b"PAR1\xff\xff\xff\x7fPAR1",
    b"\x1c" * 100 + b"\x64\0\0\0PAR1",  # a struct in a struct in a struct
    b"\x19\x99" + b"\x99" * 98 + b"\x64\0\0\0PAR1",  # likewise lists
    b"\x19\xfc\xff\xff\xff\xff\x0f" + b"\x07\0\0\0PAR1",  # a list of 2^32 structs
    b"\x16" + b"\xff" * 20 + b"\x15\0\0\0PAR1",  # a number without end
    b"\x00\x01\0\0\0PAR1",
  ],
)
def test_what_is_no_footer(tmp_path, data):
  path = tmp_path / "a.parquet"
  path.write_bytes(data)
  with pytest.raises(ValueError):
    read_footer(path)
  with pytest.raises(Damaged, match="not a whole parquet file"):
    list(rows(path, ["text"]))
