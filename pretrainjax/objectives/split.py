"""Splits an objective's module into the plain nested dicts of arrays that training carries."""

from typing import Any

import jax
from flax import nnx

from pretrainjax.errors import UserError, one_line
from pretrainjax.objectives.base import Objective


def split(module: nnx.Module) -> tuple[nnx.GraphDef, Any, Any]:
  """Splits a module into (graphdef, params, extras), the latter two plain nested dicts of arrays.

  `nnx.merge(graphdef, params, extras)` is the inverse, inside and outside of jit.
  """
  graphdef, params, extras = nnx.split(module, nnx.Param, ...)
  return graphdef, nnx.to_pure_dict(params), nnx.to_pure_dict(extras)


def hold_fixed(objective: Objective, params: Any) -> Any:
  """Parameters of which those that the objective does not train pass on no gradient.

  What is not trained then costs no backward pass through it.

  Args:
    objective: the objective, whose `is_trained` says which they are.
    params: the parameters of its module, as of `split`.
  """

  def held(path: tuple, leaf: Any) -> Any:
    is_trained = objective.is_trained(tuple(key.key for key in path))
    return leaf if is_trained else jax.lax.stop_gradient(leaf)

  return jax.tree_util.tree_map_with_path(held, params)


def abstract_split(objective: Objective) -> tuple[nnx.GraphDef, Any, Any]:
  """Splits a new module, with shapes in place of arrays; nothing is computed.

  Raises:
    UserError: where a recipe's model refuses its arguments: it is only made here.
  """
  try:
    return split(nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0))))
  except (ValueError, TypeError, OverflowError) as error:
    raise UserError(f"config.objective: {one_line(error)[:500]}") from error
