"""Last stage but one: records to array_record files, and the metadata that tfds reads them by."""

import hashlib
import itertools
from pathlib import Path

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tqdm import tqdm

from pretrainjax.prepare.contract import Encoded, Size
from pretrainjax.prepare.stages.journal import Journal

STAGE = "shards"
VERSION = "1.0.0"
_SHARD_BYTES = 1 << 28
_DIGEST_BYTES = 16


def shard_lengths(size: Size, *, num_shards: int | None) -> list[int]:
  """The number of records of each file: as even as can be, in none fewer than one.

  Args:
    size: the size of the split.
    num_shards: None takes as many as make files of 256 MiB.
  """
  wanted = num_shards or -(-size.bytes // _SHARD_BYTES)
  number = max(min(wanted, size.examples), 1)
  every, rest = divmod(size.examples, number)
  return [every + (place < rest) for place in range(number)]


def write_shards(
  split: str,
  encoded: Encoded,
  *,
  name: str,
  lengths: list[int],
  journal: Journal,
  target: Path,
) -> tuple[int, str | None]:
  """Writes the files of a split, but those that the journal knows to be whole.

  Args:
    split: one of the examples'.
    encoded: all examples of the dataset.
    name: the name of the dataset.
    lengths: records in each file.
    journal: the journal of this run.
    target: the folder that the files go to.

  Returns:
    The bytes of all its records, and a digest of them in their order, however they are packed into
    files; None where an earlier version, which took none, had begun the split.
  """
  state = journal.get(f"{STAGE} {split}", {"done": 0, "bytes": 0, "digest": 0})
  done, size, digest = sum(lengths[: state["done"]]), state["bytes"], state.get("digest")
  row = done
  records = encoded.records(split, done)
  with tqdm(total=sum(lengths), initial=done, desc=f"write {split}", unit=" records") as bar:
    for place in range(state["done"], len(lengths)):
      file = f"{name}-{split}.array_record-{place:05d}-of-{len(lengths):05d}"
      writer = ArrayRecordWriter(str(target / file), "group_size:1")  # as tfds: random access
      for record in itertools.islice(records, lengths[place]):
        writer.write(record)
        size += len(record)
        digest = None if digest is None else _with_record(digest, row, record)
        row += 1
        bar.update()
      writer.close()
      journal.put(f"{STAGE} {split}", {"done": place + 1, "bytes": size, "digest": digest})
      journal.commit()
  return size, None if digest is None else f"{digest:0{2 * _DIGEST_BYTES}x}"


def _with_record(digest: int, row: int, record: bytes) -> int:
  """The digest with one more record; a sum, so that a run that was stopped can go on with it."""
  salt = row.to_bytes(8, "little")
  one = hashlib.blake2b(record, digest_size=_DIGEST_BYTES, salt=salt).digest()
  return (digest + int.from_bytes(one, "little")) % (1 << 8 * _DIGEST_BYTES)


def write_metadata(
  encoded: Encoded,
  *,
  name: str,
  sizes: dict[str, int],
  lengths: dict[str, list[int]],
  target: Path,
) -> None:
  """Writes the metadata that `tfds.builder_from_directory` needs.

  Args:
    encoded: all examples of the dataset.
    name: the name of the dataset.
    sizes: bytes of all records, by split.
    lengths: records in each file, by split.
    target: the folder that the files are in.
  """
  splits = [
    tfds.core.SplitInfo(
      name=split,
      shard_lengths=lengths[split],
      num_bytes=sizes[split],
      filename_template=tfds.core.ShardedFileTemplate(
        data_dir=target, dataset_name=name, split=split, filetype_suffix="array_record"
      ),
    )
    for split in encoded.splits
  ]
  tfds.folder_dataset.write_metadata(
    data_dir=target,
    features=encoded.features,
    split_infos=splits,
    version=VERSION,
    check_data=False,  # it would read by TensorFlow
    **encoded.info,
  )
