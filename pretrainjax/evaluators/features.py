"""Features of a frozen encoder over a dataset, in one compiled pass."""

import collections
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.evaluators.base import Examples, short_rows
from pretrainjax.process.bar import progress_bar
from pretrainjax.types import Batch, Encoded, Encoder, check_encoder


class Features(NamedTuple):
  """The pooled features of a dataset, one row an example, on the host.

  Attributes:
    features: the pooled features, float32 "N D".
    labels: "N", or None for a dataset without.
  """

  features: Float[np.ndarray, "N D"]
  labels: Int[np.ndarray, " N"] | None


class FeatureCache:
  """An encoder that remembers its features, for evaluators that share a dataset.

  Make one for each state of the encoder: it does not see parameters change.
  """

  def __init__(self, encoder: Encoder):
    self.encoder = encoder
    self.embed_dim = encoder.embed_dim
    self._entries: list[tuple[Any, Features]] = []

  def inputs(self, batch: Batch) -> Any:
    """The inputs that the encoder takes out of a batch."""
    return self.encoder.inputs(batch)

  def __call__(self, inputs: Any, **kwargs: Any) -> Encoded:
    return self.encoder(inputs, **kwargs)

  def features(self, data: Examples, **kwargs: Any) -> Features:
    """`extract_features` of the encoder, once for equal arguments."""
    asked = (data, kwargs)
    for known, features in self._entries:
      if known == asked:
        return features
    features = extract_features(self.encoder, data, **kwargs)
    self._entries.append((asked, features))
    return features


def extract_features(
  encoder: Encoder | FeatureCache,
  data: Examples,
  *,
  max_examples: int | None = None,
  seed: int = 0,
  view: int | None = None,
) -> Features:
  """Encodes a dataset of any modality: `encoder(inputs).pooled`, deterministic, float32.

  Args:
    encoder: a Flax NNX module; the same architecture is compiled once a process.
    data: read once, with `one_pass()`.
    max_examples: encode a random subset of so many examples; None encodes all.
    seed: the seed of the subset, which does not depend on the encoder.
    view: which of several views to encode; None expects a single one.

  Returns:
    Features and labels, in the order of the data.

  Raises:
    ValueError: for features that are not finite, other views than asked for, or no examples.
    UserError: for an encoder that does not say what it reads.
  """
  check_encoder(encoder, key="encoder")
  options = {"max_examples": max_examples, "seed": seed, "view": view}
  if isinstance(encoder, FeatureCache):
    return encoder.features(data, **options)
  apply = functools.partial(pooled, *nnx.split(encoder))
  return forward(apply, data, inputs=encoder.inputs, what="features", **options)


@functools.partial(jax.jit, static_argnums=0)
def pooled(graphdef: nnx.GraphDef, state: Any, inputs: Any) -> Float[Array, "B D"]:
  """The pooled features of an encoder that `nnx.split` took apart, compiled once a shape."""
  return nnx.merge(graphdef, state)(inputs).pooled.astype(jnp.float32)


def forward(
  apply: Callable[[Any], Array],
  data: Examples,
  *,
  inputs: Callable[[Batch], Any],
  max_examples: int | None = None,
  seed: int = 0,
  view: int | None = None,
  what: str,
) -> Features:
  """Applies a compiled function to each example of a dataset.

  Args:
    apply: what an encoder takes, host arrays, to "B D"; B is always the batch size of the data.
    data: the examples, read once in order.
    inputs: the inputs of the encoder, what it reads of a batch.
    max_examples: the size of a random sample, see `extract_features`.
    seed: the seed of the sample, see `extract_features`.
    view: the view that is encoded, see `extract_features`.
    what: the outputs' name, for messages.
  """
  chosen = chosen_examples(data.num_examples, max_examples, seed)
  outputs, labels, places = [], [], []
  # One batch computes while the next is decoded; more would only fill the memory.
  waiting: collections.deque = collections.deque()
  total = data.num_examples if chosen is None else len(chosen)
  with progress_bar(total, what=what) as bar:
    names = data.arrays_with_views
    read = functools.partial(_read, inputs, names=names, view=view)
    for rows, batch_labels, index in _packed(short_rows(data), chosen, read):
      count = len(index)
      waiting.append((apply(rows), count))
      labels.append(batch_labels)
      places.append(index)
      if len(waiting) > 1:
        outputs.append(_to_host(*waiting.popleft()))
      bar.update(count)
    outputs.extend(_to_host(*item) for item in waiting)
  if not outputs:
    raise ValueError(f"no {what}: the data has no example")
  order = np.argsort(np.concatenate(places))
  return _checked(np.concatenate(outputs)[order], labels, order, what)


def labels_of(features: Features, *, num_classes: int, split: str) -> Int[np.ndarray, " N"]:
  """The labels of encoded examples; refuses those that lack some.

  Args:
    features: features and labels from `extract_features`.
    num_classes: the number of classes of the dataset.
    split: the field that named the data, for messages.

  Raises:
    ValueError: where there are none, or one is not in [0, num_classes).
  """
  labels = features.labels
  if labels is None:
    raise ValueError(f"{split}: the data has no labels, expected a labelled dataset")
  low, high = int(labels.min()), int(labels.max())
  if low < 0 or high >= num_classes:
    raise ValueError(f"{split}: found labels {low} to {high}, expected 0 to {num_classes - 1}")
  return labels


def chosen_examples(
  num_examples: int, max_examples: int | None, seed: int
) -> Int[np.ndarray, " S"] | None:
  """The places of a random subset, ascending; None where all are taken."""
  if max_examples is None or max_examples >= num_examples:
    return None
  rng = np.random.default_rng(seed)
  return np.sort(rng.choice(num_examples, max_examples, replace=False))


def _packed(
  batches: Iterable[Batch], chosen: np.ndarray | None, read: Callable[[Batch], Any]
) -> Iterator[tuple[Any, np.ndarray | None, np.ndarray]]:
  """The wanted rows as full batches of one size: (inputs, labels, their places in the data).

  What is left where rows of another length follow, and at the end, is filled up.
  """
  kept: list[tuple[Any, np.ndarray | None, np.ndarray]] = []
  size, held = 0, 0
  for *rows, batch_size in _wanted_rows(batches, chosen, read):
    if kept and _shapes(rows[0]) != _shapes(kept[0][0]):
      if held:
        yield _filled_up(kept, size)
      kept, held = [], 0
    size = size or batch_size
    kept.append(tuple(rows))
    held += _count(rows)
    while held >= size:
      joined = jax.tree.map(lambda *parts: np.concatenate(parts), *kept)
      yield _part(joined, slice(size))
      kept = [_part(joined, slice(size, None))]
      held -= size
  if held:
    yield _filled_up(kept, size)


def _filled_up(kept: list, size: int) -> tuple[Any, np.ndarray | None, np.ndarray]:
  joined = jax.tree.map(lambda *parts: np.concatenate(parts), *kept)
  fill = np.minimum(np.arange(size), _count(joined) - 1)
  return _part(joined[0], fill), *joined[1:]


def _wanted_rows(
  batches: Iterable[Batch], chosen: np.ndarray | None, read: Callable[[Batch], Any]
) -> Iterator[tuple[Any, np.ndarray | None, np.ndarray, int]]:
  """Rows that are valid and chosen, with the size of the batch that they come from."""
  for batch in batches:
    inputs, index = read(batch), np.asarray(batch["index"])
    is_wanted = index >= 0
    if "valid" in batch:
      is_wanted &= np.asarray(batch["valid"])
    if chosen is not None:
      is_wanted &= np.isin(index, chosen)
    rows = np.flatnonzero(is_wanted)
    labels = np.asarray(batch["label"])[rows] if "label" in batch else None
    yield _part(inputs, rows), labels, index[rows], _count(inputs)


def _shapes(inputs: Any) -> list[tuple[int, ...]]:
  return [leaf.shape[1:] for leaf in jax.tree.leaves(inputs)]


def _read(
  inputs: Callable[[Batch], Any], batch: Batch, *, names: Sequence[str], view: int | None
) -> Any:
  """What an encoder takes of one view, as host arrays."""
  return jax.tree.map(np.asarray, inputs(_one_view(batch, names, view)))


def _one_view(batch: Batch, names: Sequence[str], view: int | None) -> Batch:
  """The batch with the view asked for, without the axis of views that `names` have."""
  views = min((np.shape(batch[name])[1] for name in names if name in batch), default=1)
  if view is None:
    if views > 1:
      raise ValueError(f"data: found {views} views, expected 1 for evaluation")
    return batch
  if view >= views or views == 1:
    raise ValueError(f"data: found {views} views, expected at least 2 and above view {view}")
  return {**batch, **{n: np.asarray(batch[n])[:, view] for n in names if n in batch}}


def _count(inputs: Any) -> int:
  return len(jax.tree.leaves(inputs)[0])


def _part(arrays: Any, rows: slice | np.ndarray) -> Any:
  return jax.tree.map(lambda array: array[rows], arrays)


def _to_host(output: Array, count: int) -> np.ndarray:
  return np.asarray(output)[:count]


def _checked(outputs: np.ndarray, labels: list, order: np.ndarray, what: str) -> Features:
  bad = int((~np.isfinite(outputs).all(axis=-1)).sum())
  if bad:
    raise ValueError(
      f"{what} of {bad} of {len(outputs)} examples are not finite: the parameters have diverged; "
      "evaluate an earlier checkpoint, or train with a lower learning rate"
    )
  joined = None if labels[0] is None else np.concatenate(labels)[order].astype(np.int32)
  return Features(outputs, joined)
