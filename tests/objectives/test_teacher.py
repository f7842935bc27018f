"""A teacher is a copy, moves by its formula, and can be trained again once it is taken out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.objectives.base import Towers
from pretrainjax.objectives.split import split
from pretrainjax.objectives.teacher import (
  TeacherParam,
  cosine_momentum,
  follow,
  teacher_of,
  trainable,
)


class Net(nnx.Module):
  """A layer, statistics, and a table that is used twice."""

  def __init__(self, *, rngs: nnx.Rngs):
    self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs)])
    self.norm = nnx.BatchNorm(3, rngs=rngs)
    self.tied = self.layers[0].kernel

  def __call__(self, x):
    return self.norm(self.layers[0](x)) @ self.tied[...]


def pair():
  student = Net(rngs=nnx.Rngs(0))
  return Towers(encoder=student, teacher=teacher_of(student))


def pointers(tree):
  return {x.unsafe_buffer_pointer() for x in jax.tree.leaves(tree)}


@pytest.mark.parametrize("make", [pair, nnx.jit(pair)])
def test_it_is_a_copy_and_none_of_it_is_a_parameter(make):
  module = make()
  _, params, extras = split(module)
  assert set(params) == {"encoder"} and set(extras) == {"encoder", "teacher"}
  student = nnx.to_pure_dict(nnx.state(module.encoder))
  jax.tree.map(np.testing.assert_array_equal, extras["teacher"], student)
  arrays = jax.tree.leaves((params, extras))
  assert len(pointers((params, extras))) == len(arrays)  # an alias could not be donated twice
  x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
  np.testing.assert_array_equal(module.teacher(x), module.encoder(x))


def test_what_is_shared_within_stays_shared():
  teacher = pair().teacher
  assert teacher.tied is teacher.layers[0].kernel and isinstance(teacher.tied, TeacherParam)


def test_it_moves_by_the_formula_and_nothing_else_does():
  module = pair()
  before = jax.tree.map(np.asarray, split(module)[1:])
  module.encoder.layers[0].bias[...] += 1.0
  module.encoder.norm.mean[...] += 5.0  # no parameter
  student = np.asarray(module.encoder.layers[0].bias[...])
  follow(module.teacher, module.encoder, momentum=0.75)
  _, params, extras = split(module)
  found = extras["teacher"]
  expected = 0.75 * before[1]["teacher"]["layers"][0]["bias"] + 0.25 * student
  np.testing.assert_allclose(found["layers"][0]["bias"], expected, rtol=1e-6)
  np.testing.assert_allclose(
    found["layers"][0]["kernel"], before[0]["encoder"]["layers"][0]["kernel"]
  )
  np.testing.assert_array_equal(found["norm"]["mean"], 0.0)
  np.testing.assert_array_equal(params["encoder"]["layers"][0]["bias"], student)


@pytest.mark.parametrize("momentum", [0.0, 1.0])
def test_the_ends_of_momentum(momentum):
  module = pair()
  old = np.asarray(module.teacher.layers[0].bias[...])
  module.encoder.layers[0].bias[...] += 2.0
  follow(module.teacher, module.encoder, momentum=momentum)
  np.testing.assert_array_equal(module.teacher.layers[0].bias[...], old + 2.0 * (1 - momentum))


def test_momentum_over_a_run_is_that_of_byol():
  progress = np.linspace(0, 1, 11)
  found = [float(cosine_momentum(0.996, p)) for p in progress]
  expected = 1 - (1 - 0.996) * (np.cos(np.pi * progress) + 1) / 2
  np.testing.assert_allclose(found, expected, rtol=1e-6)
  assert found[0] == pytest.approx(0.996) and found[-1] == 1.0
  assert float(cosine_momentum(0.9, 1.0, end=0.95)) == pytest.approx(0.95)


def test_a_student_of_another_shape_is_refused():
  module = pair()
  with pytest.raises(ValueError, match="key"):
    follow(module.teacher, nnx.Linear(3, 3, rngs=nnx.Rngs(0)), momentum=0.5)


def test_taken_out_it_can_be_trained_again():
  module = pair()
  taken = trainable(module.teacher)
  x = jnp.ones((2, 3))
  np.testing.assert_array_equal(taken(x), module.teacher(x))
  gradient = nnx.grad(lambda net: jnp.sum(net(x) ** 2))(taken)
  assert {"layers", "norm"} <= set(nnx.to_pure_dict(gradient))
  plain = Net(rngs=nnx.Rngs(0))
  as_new = [jax.tree.structure(tree) for tree in split(plain)[1:]]
  assert [jax.tree.structure(tree) for tree in split(taken)[1:]] == as_new
  assert trainable(plain) is plain
