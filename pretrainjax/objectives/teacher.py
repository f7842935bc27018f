"""A teacher: an average of the student's parameters over its past, which no gradient moves.

    encoder, projector = self.backbone(rngs=rngs), self.projector(rngs=rngs)
    teacher = Towers(encoder=teacher_of(encoder), projector=teacher_of(projector))  # in `init`

    momentum = cosine_momentum(self.momentum, progress)  # in `after_update`
    follow(module.teacher.encoder, module.encoder, momentum=momentum)

Its arrays are `TeacherParam`, no `nnx.Param`: training keeps them among `TrainState.extras`, where
they are not differentiated, not averaged (with `train.ema_decay`) and seen by no optimizer. Every
device computes the same from the same parameters, and tables of sharding go by the end of a path,
which is the student's.
"""

import math
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

Network = TypeVar("Network", bound=nnx.Module)


class TeacherParam(nnx.Variable):
  """A parameter of a teacher."""


def teacher_of(student: Network) -> Network:
  """A copy of a network with arrays of its own, to be moved by `follow` alone.

  Batch statistics are copied too; from then on the teacher's own passes update them, as in BYOL's
  code, so that one with BatchNorm is to be called with deterministic=False in training.

  Args:
    student: the student as `init` just made it. Where it shares arrays with another network, as
      tied embeddings are, the teacher has them once.
  """

  def own(variable: nnx.Variable) -> nnx.Variable:
    kind = TeacherParam if isinstance(variable, nnx.Param) else type(variable)
    return kind(jnp.copy(variable[...]))  # an alias could not be donated with the student

  return _with_variables(student, own)


def trainable(network: Network) -> Network:
  """A network whose teacher's parameters are parameters again, to fine-tune or differentiate.

  Args:
    network: a teacher, or any other, which is returned as it is; arrays are not copied.
  """
  if not jax.tree.leaves(nnx.state(network, TeacherParam)):
    return network

  def own(variable: nnx.Variable) -> nnx.Variable:
    return nnx.Param(variable[...]) if isinstance(variable, TeacherParam) else variable

  return _with_variables(network, own)


def follow(teacher: nnx.Module, student: nnx.Module, *, momentum: float | Float[Array, ""]) -> None:
  """Moves a teacher to its student, in place: teacher = m * teacher + (1 - m) * student.

  Args:
    teacher: a network that `teacher_of` made.
    student: the student, its parameters updated.
    momentum: m in [0, 1]; 1 leaves the teacher as it is.

  Raises:
    ValueError: for a student of other parameters than the teacher's.
  """
  old = nnx.to_pure_dict(nnx.state(teacher, TeacherParam))
  new = nnx.to_pure_dict(nnx.state(student, nnx.Param))
  moved = jax.tree.map(lambda t, s: (t * momentum + s * (1 - momentum)).astype(t.dtype), old, new)
  nnx.update(teacher, moved)


def cosine_momentum(
  start: float, progress: float | Float[Array, ""], *, end: float = 1.0
) -> Float[Array, ""]:
  """A momentum that rises along half a cosine: end - (end - start) (cos(pi progress) + 1) / 2.

  Args:
    start: at the run's beginning, in [0, 1]; 0.996 in BYOL and DINO.
    progress: the progress of the run, in [0, 1].
    end: at the run's end; 1 stops the teacher.

  Reference: BYOL, arXiv 2006.07733, section 3.3; DINO, arXiv 2104.14294.

  >>> print([float(cosine_momentum(0.5, progress)) for progress in (0.0, 0.5, 1.0)])
  [0.5, 0.75, 1.0]
  """
  return end - (end - start) * (jnp.cos(math.pi * jnp.asarray(progress, jnp.float32)) + 1) / 2


def _with_variables(network: Network, function: Callable[[nnx.Variable], nnx.Variable]) -> Network:
  """The same network around other variables; what it shares within stays shared."""
  graphdef, state = nnx.split(network)
  is_variable = lambda x: isinstance(x, nnx.Variable)  # noqa: E731
  return nnx.merge(graphdef, jax.tree.map(function, state, is_leaf=is_variable))
