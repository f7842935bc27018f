"""The progress bar of a pass over a dataset."""

from collections.abc import Iterable, Iterator

from pretrainjax.evaluators.base import Examples
from pretrainjax.process.bar import progress_bar
from pretrainjax.types import Batch


def batches_of(
  data: Examples, *, what: str, batches: Iterable[Batch] | None = None
) -> Iterator[Batch]:
  """One pass over a dataset with a progress bar.

  Args:
    data: the dataset that is read.
    what: what is made of its examples, "tags".
    batches: the batches of the pass; None takes those of `one_pass`.
  """
  with progress_bar(data.num_examples, what=what) as bar:
    for batch in data.one_pass() if batches is None else batches:
      yield batch
      bar.update(int(batch["valid"].sum()) if "valid" in batch else 0)
