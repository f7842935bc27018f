"""Answers that a fine-tuned model finds in contexts: SQuAD's exact match and F1."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from flax import nnx
from jaxtyping import Int

from pretrainjax.data.windows import Window
from pretrainjax.evaluators.bar import batches_of
from pretrainjax.evaluators.base import Evaluation, Examples, Outcome, check_parts, short_rows
from pretrainjax.evaluators.best_spans import Answered, Spans, answered, spans_of
from pretrainjax.evaluators.squad import exact_match, f1, has_answer
from pretrainjax.ranges import Finite, PositiveInt


@runtime_checkable
class Questions(Examples, Protocol):
  """What is needed of a dataset of questions; `TextData` has it."""

  def windows(self, places: Sequence[int] | Int[np.ndarray, " B"]) -> list[Window]:
    """The texts behind some examples, by their places in `one_pass`."""
    ...


class Judged(NamedTuple):
  """A question with what was found.

  Attributes:
    found: what its windows say together.
    right: the right answers, () where it has none.
  """

  found: Answered
  right: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnswerF1(Evaluation):
  """Exact match and F1 of the answers that a trained `QuestionAnswering` finds, as SQuAD has them.

  It takes the objective's module: `module.logits(module.encoder(text).tokens)`. A question's answer
  is the best span over all windows of its context. Where some question of the data has no answer,
  as in SQuAD 2.0, none is given if that is likelier; else each is answered, as in 1.1. Metrics,
  means over questions in [0, 1]: "exact" and "f1"; with questions that have no answer also
  "has_answer_exact" and "has_answer_f1" of those that have one, and "no_answer_accuracy".

  Attributes:
    data: windows of contexts with questions, `TextData` with pair="joint".
    longest_answer: the most tokens of an answer.
    num_best: of a window's best spans so many are looked at for one that is more than space.
    null_threshold: none is given where the score of no answer less that of the best span is above
      it. Choose another one by a validation split, never by the test data.
  """

  name: str = "answers"
  data: Questions
  longest_answer: PositiveInt = 30
  num_best: PositiveInt = 20
  null_threshold: Finite = 0.0
  needs_module: ClassVar[bool] = True
  arrays: ClassVar[Mapping[str, str]] = {"data": "span"}

  def check(self, subject: Any) -> None:
    """See `Evaluation`."""
    check_parts(subject, "encoder", "logits", expected="a QuestionAnswering's")

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    self.check(subject)
    return Outcome(answer_metrics(self._judged(subject), null_threshold=self.null_threshold))

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    counted = {
      "answers": "SQuAD 2.0's script: lower case, no punctuation, no articles; best of all answers",
      "spans": "all pairs of tokens of the context, best of all windows",
    }
    return super().protocol() | counted | {"probe": "none: the trained head", "features": "logits"}

  def _judged(self, subject: Any) -> list[Judged]:
    """All questions, in the order in which they are met."""
    sizes = {"longest": self.longest_answer, "count": self.num_best}
    find = functools.partial(spans_of, *nnx.split(subject), **sizes)
    questions: dict[str, Judged] = {}
    for batch in batches_of(self.data, what="answers", batches=short_rows(self.data)):
      text = subject.encoder.inputs(batch)
      if text.types is None:
        raise ValueError("data: found no questions with contexts, expected some, pair='joint'")
      rows = np.flatnonzero(batch["valid"])
      windows = self.data.windows(np.asarray(batch["index"])[rows])
      spans = Spans(*(np.asarray(array)[rows] for array in find(text)))
      for window, found in zip(windows, answered(spans, windows), strict=True):
        before = questions.get(window.question)
        whole = found if before is None else before.found.with_window(found)
        questions[window.question] = Judged(whole, window.answers)
    if not questions:
      raise ValueError("data: found no question, expected some")
    return list(questions.values())


def answer_metrics(questions: Sequence[Judged], *, null_threshold: float) -> dict[str, float]:
  """Means of exact match and F1, see `AnswerF1`.

  Args:
    questions: at least one.
    null_threshold: what "no answer" has to be likelier by, where some question has none.
  """
  has = np.array([has_answer(question.right) for question in questions])
  threshold = None if has.all() else null_threshold
  texts = [question.found.or_none(threshold) for question in questions]
  pairs = [(text, question.right) for text, question in zip(texts, questions, strict=True)]
  exact, overlap = (np.array([score(*pair) for pair in pairs]) for score in (exact_match, f1))
  metrics = {"exact": float(exact.mean()), "f1": float(overlap.mean())}
  if not has.all():
    metrics["no_answer_accuracy"] = float(exact[~has].mean())
    if has.any():
      metrics["has_answer_exact"] = float(exact[has].mean())
      metrics["has_answer_f1"] = float(overlap[has].mean())
  return metrics
