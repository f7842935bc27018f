"""What every evaluator is: fields a config sets, a measurement, and the protocol it follows."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from pretrainjax.errors import UserError
from pretrainjax.ranges import NonNegativeInt, check_ranges
from pretrainjax.types import Batch

# A dataset's fields that change no number; buckets are for training.
_MACHINE = (
  "buckets",
  "data_dir",
  "batch_size",
  "cache",
  "num_threads",
  "num_workers",
  "max_bad_fraction",
)


@runtime_checkable
class Examples(Protocol):
  """What evaluators need of a dataset; `pretrainjax.data.pipeline.Pipeline` has it.

  Attributes:
    num_examples: the number of examples of the split.
    num_classes: the number of classes of the labels.
    class_names: the name of each class.
    arrays_with_views: names of a batch's arrays that have an axis of views, "B V ...".
  """

  if TYPE_CHECKING:  # an isinstance check would read them, which opens the dataset
    num_examples: int
    num_classes: int
    class_names: tuple[str, ...]
    arrays_with_views: tuple[str, ...]

  def one_pass(self) -> Iterator[Batch]:
    """Each example once, in a fixed order: what encoders read, "label" and "valid" (B)."""
    ...


def short_rows(data: Examples) -> Iterator[Batch]:
  """Each example once, in rows as short as the data can make them, in any order.

  "index" is the place of each in `one_pass`, below 0 for what fills a batch up.
  """
  if hasattr(data, "pass_by_length"):
    yield from data.pass_by_length()
    return
  count = 0
  for batch in data.one_pass():
    size = len(next(iter(batch.values())))
    yield {**batch, "index": np.arange(count, count + size)}
    count += size


class Outcome(NamedTuple):
  """The result of one measurement.

  Attributes:
    metrics: numbers by name; accuracies in [0, 1].
    confusion: counts of test examples, true class by row and predicted class by column; None
      where nothing was classified.
    class_names: the class names of its rows.
    worst: some examples that were furthest from right, worst first, as plain values by name.
  """

  metrics: dict[str, float]
  confusion: Int[np.ndarray, "K K"] | None = None
  class_names: tuple[str, ...] = ()
  worst: tuple[Mapping[str, Any], ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
  """Base of all evaluators: frozen dataclasses that hold no arrays.

  Attributes:
    name: what its numbers are filed under.
    every: steps between two runs during training; 0 runs it at the end only.
    needs_module: True where `run` takes the objective's whole module, with its head, and
      not only the encoder.
    measures_network: False for a baseline, whose numbers are those of the data, beside any network.
    arrays: arrays that examples must have, by the field that holds the data: {"train": "label"}.
  """

  name: str
  every: NonNegativeInt = 0
  needs_module: ClassVar[bool] = False
  measures_network: ClassVar[bool] = True
  arrays: ClassVar[Mapping[str, str]] = {}

  def __post_init__(self):
    check_ranges(self)
    for field in dataclasses.fields(self):
      if getattr(self, field.name) == ():
        raise ValueError(f"{field.name}=(): expected at least one value")

  def reason_to_leave_out(self, *, key: str) -> str | None:
    """Opens the data, and says why nothing can be measured on it; None where something can.

    Args:
      key: where the evaluator lies in the config, "config.evals.knn".

    Raises:
      UserError: for data that is not there, or holds no example.
    """
    held = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    sets = {name: data for name, data in held.items() if hasattr(data, "one_pass")}
    for name, array in self.arrays.items():
      if not _has(sets[name], array):
        return f"{key}.{name} has no {array.rstrip('s')}s"
    for name, data in sets.items():
      if not data.num_examples:
        raise UserError(f"--{key}.{name}.split: found no example, expected some")
    return None

  def check(self, subject: Any) -> None:
    """Refuses what `run` could not measure.

    Args:
      subject: see `run`; its arrays may be abstract.

    Raises:
      ValueError: for a network without what is measured, or data that does not serve.
    """

  def run(self, subject: Any) -> dict[str, float]:
    """Returns the numbers by name.

    Args:
      subject: the encoder, or the objective's module where `needs_module`.

    Raises:
      ValueError: for features that are not finite, or data that does not serve.
    """
    return self.outcome(subject).metrics

  def outcome(self, subject: Any) -> Outcome:
    """Returns the numbers as `run` does, with the confusion matrix where there is one."""
    raise NotImplementedError

  def protocol(self) -> dict[str, Any]:
    """All facts that a reader must know to compare the numbers with others; plain values."""
    skip = ("name", "every")
    fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
    return {name: plain(value) for name, value in fields.items() if name not in skip} | {
      "views": 1,
      "features": "encoder(inputs).pooled",
    }


def _has(data: Examples, array: str) -> bool:
  """Whether examples have an array; data that cannot say is taken to have it."""
  return data.has(array) if hasattr(data, "has") else True


def check_parts(subject: Any, *parts: str, expected: str) -> None:
  """Raises ValueError for a module that lacks a part.

  Args:
    subject: the objective's module.
    parts: the names of the parts.
    expected: what has them, for the message.
  """
  for part in parts:
    if not hasattr(subject, part):
      found = type(subject).__name__
      raise ValueError(f"found a {found} without '{part}', expected {expected}")


def plain(value: Any) -> Any:
  """A field's value as JSON can hold it: datasets become their own fields, objects their class."""
  if value is None or isinstance(value, (bool, int, float, str)):
    return value
  if isinstance(value, (tuple, list)):
    return [plain(v) for v in value]
  if isinstance(value, dict):
    return {str(k): plain(v) for k, v in value.items()}
  if dataclasses.is_dataclass(value):
    names = [f.name for f in dataclasses.fields(value) if f.repr and f.name not in _MACHINE]
    return {"class": type(value).__name__} | {n: plain(getattr(value, n)) for n in names}
  return type(value).__name__
