"""Fourth stage: records to array_record files, and the metadata that tfds reads them by."""

import itertools
from pathlib import Path

import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tqdm import tqdm

from pretrainjax.prepare.stages.journal import Journal
from pretrainjax.prepare.text.encode import Counts, read_records, records_file
from pretrainjax.prepare.text.form import Layout

STAGE = "shards"
VERSION = "1.0.0"
_SHARD_BYTES = 1 << 28


def shard_lengths(counts: Counts, *, num_shards: int | None) -> list[int]:
  """How many records each file has: as even as can be, in none fewer than one.

  Args:
    counts: of the split, see `encode`.
    num_shards: None takes as many as make files of 256 MiB.
  """
  wanted = num_shards or -(-counts["size"] // _SHARD_BYTES)
  number = max(min(wanted, counts["examples"]), 1)
  every, rest = divmod(counts["examples"], number)
  return [every + (place < rest) for place in range(number)]


def write_shards(
  split: str, *, name: str, lengths: list[int], journal: Journal, folder: Path, target: Path
) -> None:
  """Writes the files of a split, but those that the journal knows to be whole.

  Args:
    split: of which the records were encoded.
    name: of the dataset.
    lengths: records in each file.
    journal: of this run.
    folder: of the records.
    target: where the files go.
  """
  state = journal.get(f"{STAGE} {split}", {"done": 0, "offset": 0})
  offset = state["offset"]
  records = read_records(records_file(folder, split), offset=offset)
  done = sum(lengths[: state["done"]])
  with tqdm(total=sum(lengths), initial=done, desc=f"write {split}", unit=" records") as bar:
    for place in range(state["done"], len(lengths)):
      file = f"{name}-{split}.array_record-{place:05d}-of-{len(lengths):05d}"
      writer = ArrayRecordWriter(str(target / file), "group_size:1")  # as tfds: random access
      for record in itertools.islice(records, lengths[place]):
        writer.write(record)
        offset += 4 + len(record)
        bar.update()
      writer.close()
      journal.put(f"{STAGE} {split}", {"done": place + 1, "offset": offset})
      journal.commit()


def write_metadata(
  layout: Layout,
  *,
  name: str,
  counts: dict[str, Counts],
  lengths: dict[str, list[int]],
  target: Path,
) -> None:
  """Writes what `tfds.builder_from_directory` needs.

  Args:
    layout: of the records.
    name: of the dataset.
    counts: by split.
    lengths: records in each file, by split.
    target: where the files are.
  """
  splits = [
    tfds.core.SplitInfo(
      name=split,
      shard_lengths=lengths[split],
      num_bytes=counts[split]["size"] - 4 * counts[split]["examples"],
      filename_template=tfds.core.ShardedFileTemplate(
        data_dir=target, dataset_name=name, split=split, filetype_suffix="array_record"
      ),
    )
    for split in counts
  ]
  tfds.folder_dataset.write_metadata(
    data_dir=target,
    features=layout.features(),
    split_infos=splits,
    version=VERSION,
    check_data=False,  # it would read by TensorFlow
    description="Text as tokens, written by pretrainjax; prepared.json says from what.",
  )
