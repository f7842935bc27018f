"""The form of a dataset's records, and the bytes of one record."""

import dataclasses
from collections.abc import Collection
from typing import Annotated, Any, Literal

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.prepare.text.packing import FirstFit, Packer, Stream, Wrapping
from pretrainjax.prepare.text.units import Unit
from pretrainjax.ranges import PositiveInt, Range, check_ranges

NUM_SPECIALS = 3  # [CLS] question [SEP] context [SEP]
NOT_SCORED = 65_535  # the tag of a token that begins no word: 16 bits have no -1
_TEXTS = ("key", "question", "context", "answers")
_DTYPES = {"tags": np.uint16, "span": np.int32, "offsets": np.int32}  # of others than tokens


@dataclasses.dataclass(frozen=True)
class Form:
  """The form of a dataset's records: packed blocks, or one example a document.

  Attributes:
    kind: "blocks" of equal length with several documents each, of the text alone; "examples", one a
      document, with all that belongs to it; "auto" is examples where documents are pairs, labelled,
      scored or tagged, else blocks.
    length: tokens in a block, the special ones included.
    whole: whether documents are placed whole; else they are cut wherever a block ends.
    unit: what an example is: a document, or each of its sentences or lines. In blocks, what is
      wrapped and numbered as a document of its own.
    window: tokens in a row of a question and a part of its context, special ones included. A
      context that is longer makes several records, see `data.windows.cut`.
    stride: tokens from the beginning of such a part to that of the next one.
    question: the most tokens of a question, whose end is cut off; never more than half a window.

  Reference: BERT's code for SQuAD (arXiv 1810.04805) has windows of 384, 128 apart, and questions
  of 64.
  """

  kind: Literal["blocks", "examples", "auto"] = "blocks"
  length: Annotated[int, Range(3, 65_535)] = 512
  whole: bool = False
  unit: Unit = "document"
  window: Annotated[int, Range(8, 65_535)] = 384
  stride: PositiveInt = 128
  question: PositiveInt = 64

  def __post_init__(self):
    check_ranges(self)

  @property
  def longest_question(self) -> int:
    """The most tokens of a question."""
    return min(self.question, self.window // 2)

  def is_blocks(self, has: Collection[str]) -> bool:
    """Whether records are blocks.

    Args:
      has: which of second, label, score and words documents have.
    """
    if self.kind == "auto":
      return not {"second", "label", "score", "words"} & set(has)
    return self.kind == "blocks"

  def packer(self, tokenizer: Tokenizer) -> Packer:
    """Makes an empty packer of documents into blocks."""
    wrapping = Wrapping(tokenizer.begin_id, tokenizer.end_id, tokenizer.pad_id)
    return (FirstFit if self.whole else Stream)(self.length, wrapping)


@dataclasses.dataclass(frozen=True)
class Layout:
  """The features that the records of a dataset have.

  Attributes:
    dtype: the dtype of the tokens.
    blocks: whether records are packed blocks.
    second: whether records are pairs of texts.
    class_names: the names of the classes, () without labels.
    score: whether records have a score.
    tag_names: the names of the tags, () without tags.
    windows: whether records are windows of contexts, with a question; see `windows`.
  """

  dtype: type
  blocks: bool
  second: bool = False
  class_names: tuple[str, ...] = ()
  score: bool = False
  tag_names: tuple[str, ...] = ()
  windows: bool = False

  def features(self) -> dict[str, Any]:
    """The features of a record, as tfds describes them."""

    def numbers(dtype: type) -> Any:
      return tfds.features.Tensor(shape=(None,), dtype=dtype, encoding="bytes")

    features: dict[str, Any] = {"tokens": numbers(self.dtype)}
    if self.blocks:
      return features | {"segments": numbers(self.dtype)}
    if self.second:
      features["second"] = numbers(self.dtype)
    if self.class_names:
      features["label"] = tfds.features.ClassLabel(names=list(self.class_names))
    if self.score:
      features["score"] = tfds.features.Scalar(np.float32)
    if self.tag_names:
      features["tags"] = numbers(np.uint16)
    if self.windows:
      features |= {name: numbers(np.int32) for name in ("span", "offsets")}
      features |= {name: tfds.features.Text() for name in ("question", "context")}
      features["answers"] = tfds.features.Sequence(tfds.features.Text())
      features["context_id"] = tfds.features.Scalar(np.int64)
    return features | {"key": tfds.features.Text()}

  def record(self, **values: Any) -> bytes:
    """Encodes one record as tfds would: lists of numbers as bytes, texts, single numbers.

    Args:
      **values: the values of the record by the names of its features.
    """
    made = {}
    for name, value in values.items():
      if name in ("label", "context_id"):
        feature = {"int64_list": tf_feature_pb2.Int64List(value=[value])}
      elif name == "score":
        feature = {"float_list": tf_feature_pb2.FloatList(value=[value])}
      elif name in _TEXTS:
        texts = [value] if isinstance(value, str) else value
        packed = [text.encode() for text in texts]
        feature = {"bytes_list": tf_feature_pb2.BytesList(value=packed)}
      else:
        numbers = np.asarray(value, _DTYPES.get(name, self.dtype)).tobytes()
        feature = {"bytes_list": tf_feature_pb2.BytesList(value=[numbers])}
      made[name] = tf_feature_pb2.Feature(**feature)
    example = tf_example_pb2.Example(features=tf_feature_pb2.Features(feature=made))
    return example.SerializeToString(deterministic=True)
