"""Prepared datasets of text, written by hand, for tests: nothing of `prepare` is needed."""

import functools
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
import tokenizers
from array_record.python.array_record_module import ArrayRecordWriter
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from pretrainjax.data.tokenizer import Tokenizer, sentinel

PAD, UNKNOWN, BEGIN, END, MASK = range(5)
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(sentinel(i) for i in range(100))]
FIRST_ID = len(SPECIALS)  # of text
NO_TAG = 65535
_TEXTS = ("question", "context")
_DTYPES = {"tags": np.uint16, "span": np.int32, "offsets": np.int32}  # of others than tokens
WORDS = (
  "the",
  "state",
  "of",
  "union",
  "is",
  "strong",
  "and",
  "our",
  "people",
  "hope",
  "for",
  "more",
)


@functools.cache
def tokenizer(vocab_size: int = 400) -> Tokenizer:
  """A byte-level BPE with our special tokens."""
  made = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="[UNK]"))
  made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
  made.decoder = tokenizers.decoders.ByteLevel()
  trainer = tokenizers.trainers.BpeTrainer(
    vocab_size=vocab_size,
    special_tokens=SPECIALS,
    initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
    show_progress=False,
  )
  rng = np.random.default_rng(0)
  made.train_from_iterator((" ".join(rng.choice(WORDS, 20)) for _ in range(50)), trainer)
  return Tokenizer(made.to_str())


def write(
  name: str,
  data_dir: Path,
  splits: Mapping[str, Sequence[Mapping[str, Any]]],
  *,
  length: int | None = None,
  class_names: Sequence[str] = (),
  tag_names: Sequence[str] = (),
  dtype: type = np.uint16,
  made: Tokenizer | None = None,
) -> Path:
  """Writes DATA_DIR/NAME/1.0.0 as `prepare` does, records in the given order.

  Args:
    name: of the dataset.
    data_dir: where datasets lie.
    splits: records by split; a record is features by name: lists of ids ("tokens", "second",
      "segments", "tags"), "label", "score", those of `window` and "image", a file's bytes. Bytes
      are written as they are.
    length: of blocks; None makes "examples".
    class_names: of "label".
    tag_names: of "tags".
    dtype: of tokens.
    made: the tokenizer; `tokenizer()` by default.

  Returns:
    The folder.
  """
  made = made or tokenizer()
  target = data_dir / name / "1.0.0"
  target.mkdir(parents=True)
  infos = []
  for split, records in splits.items():
    writer = ArrayRecordWriter(
      str(target / f"{name}-{split}.array_record-00000-of-00001"), "group_size:1"
    )
    packed = [_record(record, dtype) for record in records]
    for record in packed:
      writer.write(record)
    writer.close()
    template = tfds.core.ShardedFileTemplate(
      data_dir=target, dataset_name=name, split=split, filetype_suffix="array_record"
    )
    sizes = {"shard_lengths": [len(packed)], "num_bytes": sum(map(len, packed))}
    infos.append(tfds.core.SplitInfo(name=split, filename_template=template, **sizes))
  first = next(iter(splits.values()))[0]
  tfds.folder_dataset.write_metadata(
    data_dir=target,
    features={n: _feature(n, dtype, class_names) for n in first},
    split_infos=infos,
    version="1.0.0",
    check_data=False,  # it would read by TensorFlow
  )
  (target / "tokenizer.json").write_text(made.text)
  facts = {
    "source": {"name": name},
    "form": "examples" if length is None else "blocks",
    "length": length,
    "vocab_size": made.vocab_size,
    "tokenizer": made.fingerprint,
    "tag_names": list(tag_names),
    "splits": {split: _counts(records) for split, records in splits.items()},
    "dropped": {},
  }
  (target / "prepared.json").write_text(json.dumps(facts))
  return target


def block(documents: Sequence[Sequence[int]], length: int) -> dict[str, list[int]]:
  """One packed record of whole documents, filled up."""
  tokens = [t for ids in documents for t in (BEGIN, *ids, END)]
  segments = [i for i, ids in enumerate(documents, start=1) for _ in range(len(ids) + 2)]
  rest = length - len(tokens)
  assert rest >= 0
  return {"tokens": tokens + [PAD] * rest, "segments": segments + [0] * rest}


def window(
  question: str, context: str, answer: str, *, made: Tokenizer, answers: Sequence[str] | None = None
) -> dict[str, Any]:
  """A record of a question with a context that is one window; answer "" is none.

  Args:
    question: the text of the question, which is its key, too.
    context: the text of the context.
    answer: a piece of the context, of which the first is meant.
    made: the tokenizer.
    answers: the right answers; None is `answer` alone.
  """
  ids, offsets = made.encode_offsets(context)
  begin = context.index(answer)
  held = [i for i, (s, e) in enumerate(offsets) if s < begin + len(answer) and e > begin]
  return {
    "tokens": made.encode(question),
    "second": ids,
    "span": [held[0], held[-1]] if answer else [-1, -1],
    "offsets": [place for pair in offsets for place in pair],
    "question": question,
    "context": context,
    "answers": list(answers if answers is not None else [answer] if answer else []),
    "context_id": zlib.crc32(context.encode()),
  }


def _counts(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
  ids = [t for r in records for key in ("tokens", "second") for t in r.get(key, ())]
  tokens = sum(t >= FIRST_ID for t in ids)
  return {
    "examples": len(records),
    "documents": sum(t == BEGIN for t in ids) or len(records),
    "tokens": tokens,
    "bytes": 3 * tokens,
  }


def _feature(name: str, dtype: type, class_names: Sequence[str]) -> Any:
  if name == "label":
    return tfds.features.ClassLabel(names=list(class_names))
  if name == "score":
    return tfds.features.Scalar(np.float32)
  if name == "image":
    return tfds.features.Image(shape=(None, None, 1))
  if name in _TEXTS:
    return tfds.features.Text()
  if name == "answers":
    return tfds.features.Sequence(tfds.features.Text())
  if name == "context_id":
    return tfds.features.Scalar(np.int64)
  dtype = _DTYPES.get(name, dtype)
  return tfds.features.Tensor(shape=(None,), dtype=dtype, encoding="bytes")


def _record(values: Mapping[str, Any], dtype: type) -> bytes:
  made = {}
  for name, value in values.items():
    if name in ("label", "context_id"):
      feature = {"int64_list": tf_feature_pb2.Int64List(value=[value])}
    elif name in (*_TEXTS, "answers"):
      texts = [value] if isinstance(value, str) else value
      feature = {"bytes_list": tf_feature_pb2.BytesList(value=[t.encode() for t in texts])}
    elif name == "score":
      feature = {"float_list": tf_feature_pb2.FloatList(value=[value])}
    else:
      kind = _DTYPES.get(name, dtype)
      packed = value if isinstance(value, bytes) else np.asarray(value, kind).tobytes()
      feature = {"bytes_list": tf_feature_pb2.BytesList(value=[packed])}
    made[name] = tf_feature_pb2.Feature(**feature)
  example = tf_example_pb2.Example(features=tf_feature_pb2.Features(feature=made))
  return example.SerializeToString(deterministic=True)
