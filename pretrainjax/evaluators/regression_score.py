"""How near a fine-tuned regression comes to the true scores."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from pretrainjax.evaluators.bar import batches_of
from pretrainjax.evaluators.base import Evaluation, Examples, Outcome, check_parts, short_rows
from pretrainjax.evaluators.correlation import pearson, spearman


@dataclasses.dataclass(frozen=True, kw_only=True)
class RegressionScore(Evaluation):
  """Mean squared error and correlations of the scores of a trained `Regression`.

  It takes the objective's module: `module.scores(module.encoder(inputs).pooled)`. Metrics: "mse"
  in the unit of the scores, squared; "spearman" and "pearson", in [-1, 1].

  Attributes:
    data: the examples, each with a "score".
  """

  name: str = "regression"
  data: Examples
  needs_module: ClassVar[bool] = True
  arrays: ClassVar[Mapping[str, str]] = {"data": "score"}

  def check(self, subject: Any) -> None:
    """See `Evaluation`."""
    check_parts(subject, "scores", expected="a Regression's")

  def outcome(self, subject: Any) -> Outcome:
    """See `Evaluation`."""
    self.check(subject)
    apply = functools.partial(_scores, *nnx.split(subject))
    parts = []
    for batch in batches_of(self.data, what="scores", batches=short_rows(self.data)):
      if "score" not in batch:
        raise ValueError("data: found no scores, expected a dataset with a feature 'score'")
      valid = np.asarray(batch["valid"])
      found, true = apply(subject.encoder.inputs(batch)), batch["score"]
      parts.append([np.asarray(x, np.float32)[valid] for x in (found, true)])
    if not parts:
      raise ValueError("data: found no example, expected some")
    found, true = (np.concatenate(part) for part in zip(*parts, strict=True))
    if not np.isfinite(found).all():
      raise ValueError("scores are not finite: the parameters have diverged")
    mse = float(np.mean(np.square(found - true, dtype=np.float64)))
    return Outcome({"mse": mse, "spearman": spearman(found, true), "pearson": pearson(found, true)})

  def protocol(self) -> dict[str, Any]:
    """See `Evaluation`."""
    return super().protocol() | {"probe": "none: the trained head", "features": "scores"}


@functools.partial(jax.jit, static_argnums=0)
def _scores(graphdef: nnx.GraphDef, state: Any, inputs: Any) -> Float[Array, " B"]:
  module = nnx.merge(graphdef, state)
  return module.scores(module.encoder(inputs).pooled).astype(jnp.float32)
