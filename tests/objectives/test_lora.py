"""Low-rank updates of any objective: where they are, what is trained, and what comes of merging."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_objectives as tiny
from flax import nnx
from new_objectives import BYOL

from pretrainjax.errors import UserError
from pretrainjax.models.heads import Projector
from pretrainjax.models.layers.lora import LORA_A, LORA_B, LoRALinear
from pretrainjax.objectives.base import WholeBatchObjective
from pretrainjax.objectives.lora import Adapted, LoRA, adapted, merge, merge_arrays
from pretrainjax.objectives.split import hold_fixed, split

TEXTS = tiny.texts(4)
IMAGES = {"image": tiny.images(8), "label": tiny.labels(8)}
CLASSES = tiny.classification()
LORA = LoRA(rank=2, alpha=4.0)


def names(tree):
  leaves = jax.tree_util.tree_leaves_with_path(tree)
  return {"/".join(str(key.key) for key in path): leaf for path, leaf in leaves}


def noisy(params):
  """Parameters as after training: no B is zero."""
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda x: x + jnp.asarray(rng.normal(0, 0.1, x.shape), x.dtype), params)


def gradient_of(objective, batch):
  """(gradient, params) as training takes it."""
  (params, extras), _ = tiny.start(objective)
  loss = tiny.loss_fn(objective)

  def held(params, *others):
    return loss(hold_fixed(objective, params), *others)

  gradient, _ = tiny.jit(jax.grad(held, has_aux=True))(params, extras, batch, tiny.KEY)
  return gradient, params


CASES = {
  "images": (CLASSES, IMAGES, LORA, "head"),
  "texts": (
    tiny.masked_lm(),
    TEXTS,
    LoRA(rank=2, layers=("encoder/*/mlp/*", "*attention/out", "head/dense")),
    None,
  ),
}


@pytest.mark.parametrize("name", ["images", pytest.param("texts", marks=pytest.mark.repeat)])
def test_a_new_one_has_the_loss_of_the_objective_to_the_bit(name):
  objective, batch, lora, _ = CASES[name]
  (params, extras), _ = tiny.start(objective)
  (more, _), _ = tiny.start(adapted(objective, lora))
  flat, whole = names(params), names(more)
  for path, leaf in flat.items():
    np.testing.assert_array_equal(whole[path], leaf)
  new = set(whole) - set(flat)
  assert new and {path.rpartition("/")[2] for path in new} == {LORA_A, LORA_B}
  plain, _ = tiny.jitted_loss(objective)(params, extras, batch, tiny.KEY)
  same, _ = tiny.jitted_loss(adapted(objective, lora))(more, extras, batch, tiny.KEY)
  assert float(plain) == float(same)


@pytest.mark.parametrize("name", ["texts", pytest.param("images", marks=pytest.mark.repeat)])
def test_the_gradient_is_of_the_updates_and_of_new_networks_alone(name):
  objective, batch, lora, beside = CASES[name]
  whole = adapted(objective, lora)
  gradient, params = gradient_of(whole, batch)
  rows = names(gradient)
  trained = {path for path in rows if whole.is_trained(tuple(path.split("/")))}
  assert {path for path, slope in rows.items() if np.any(slope)} <= trained
  others = {path for path in trained if not path.endswith((LORA_A, LORA_B))}
  assert others == {path for path in rows if beside and path.startswith(f"{beside}/")}
  # B is zero at first, so that only B has a slope, and A only once B has moved.
  assert all(np.any(rows[path]) for path in trained if path.endswith(LORA_B))
  assert not any(np.any(rows[path]) for path in trained if path.endswith(LORA_A))
  again, _ = tiny.jit(jax.grad(tiny.loss_fn(whole), has_aux=True))(
    noisy(params), tiny.start(whole)[0][1], batch, tiny.KEY
  )
  assert all(np.any(x) for path, x in names(again).items() if path.endswith(LORA_A))


@pytest.mark.parametrize("name", ["images", pytest.param("texts", marks=pytest.mark.repeat)])
def test_merged_is_the_plain_objectives_module_with_the_same_loss(name):
  objective, batch, lora, _ = CASES[name]
  whole = adapted(objective, lora)
  (params, extras), graphdef = tiny.start(whole)
  params = noisy(params)
  module = nnx.merge(graphdef, params, extras)
  merge(module)
  _, merged, _ = split(module)
  plain_params, plain_graphdef = tiny.start(objective)[0][0], tiny.start(objective)[1]
  assert jax.tree.structure(merged) == jax.tree.structure(plain_params)
  tree = merge_arrays(params, scale=lora.scale)
  jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y), tree, merged)
  assert not any(isinstance(m, LoRALinear) for _, m in nnx.iter_modules(module))
  apart, _ = tiny.jitted_loss(whole)(params, extras, batch, tiny.KEY)
  together, _ = tiny.jitted_loss(objective)(merged, extras, batch, tiny.KEY)
  np.testing.assert_allclose(together, apart, rtol=1e-6)
  encoders = [
    objective.encoder(nnx.merge(graph, one, extras))
    for graph, one in ((graphdef, params), (plain_graphdef, merged))
  ]
  inputs = encoders[0].inputs(batch)
  first, second = (tiny.jit(lambda x, e=e: e(x).pooled)(inputs) for e in encoders)
  np.testing.assert_allclose(first, second, atol=1e-6 * max(1, float(jnp.abs(first).max())))


def test_what_is_trained_can_be_said_by_patterns():
  lora = LoRA(rank=2, trained=("encoder/norm", "head/classifier/bias"))
  whole = adapted(CLASSES, lora)
  (params, _), _ = tiny.start(whole)
  trained = {path for path in names(params) if whole.is_trained(tuple(path.split("/")))}
  others = {path for path in trained if not path.endswith((LORA_A, LORA_B))}
  assert others == {"encoder/norm/scale", "encoder/norm/bias", "head/classifier/bias"}


def test_what_the_objective_holds_fixed_stays_so():
  whole = adapted(tiny.classification(tune="linear"), LORA)
  assert not whole.is_trained(("encoder", "blocks", "attention", "query", LORA_A))


def test_one_batch_is_fitted_by_the_updates():
  first, last = tiny.overfit(adapted(CLASSES, LoRA(rank=4)), IMAGES, num_steps=40)
  assert last["loss"] < 0.3 * first["loss"]


def test_dropout_is_drawn_in_stacks():
  objective = adapted(CLASSES, LoRA(rank=2, dropout=0.5))
  (params, extras), _ = tiny.start(objective)
  loss = tiny.jitted_loss(objective)
  one, two = (loss(noisy(params), extras, IMAGES, jax.random.key(i))[0] for i in (1, 2))
  assert float(one) != float(two)


@pytest.mark.parametrize("rank", [0, None])
def test_switched_off_it_is_the_objective_itself(rank):
  lora = None if rank is None else LoRA(rank=rank)
  assert adapted(CLASSES, lora) is CLASSES


def test_kinds_of_objectives_stay_what_they_are():
  assert isinstance(adapted(tiny.simcse(), LORA), WholeBatchObjective)
  assert not isinstance(adapted(CLASSES, LORA), WholeBatchObjective)
  decoder = adapted(tiny.span_corruption(), LoRA(rank=2, layers=("decoder/*cross_attention/*",)))
  module = nnx.eval_shape(lambda: decoder.init(rngs=nnx.Rngs(0)))
  assert set(decoder.parts(module)) == {"encoder", "decoder"}
  assert isinstance(decoder.parts(module)["decoder"].blocks.cross_attention.key, LoRALinear)
  assert decoder.is_trained(("encoder", "norm", "scale"))


@pytest.mark.parametrize(
  ("lora", "said"),
  [
    ({"layers": ("*/attention/qurey",)}, "lora.layers: '.*qurey' fits no linear layer; did you"),
    ({"trained": ("encodr/norm",)}, "lora.trained: 'encodr/norm' fits no parameter; did you mean"),
    ({"layers": ("head/*",), "dropout": 0.1}, "lora.dropout: found 0.1 with head/classifier, exp"),
  ],
)
def test_what_fits_nothing_is_said(lora, said):
  with pytest.raises(UserError, match=said):
    nnx.eval_shape(lambda: adapted(CLASSES, LoRA(rank=2, **lora)).init(rngs=nnx.Rngs(0)))


def test_a_teacher_that_follows_is_refused():
  head = functools.partial(Projector, in_dim=tiny.EMBED_DIM, hidden_dim=16, out_dim=8)
  predictor = functools.partial(Projector, in_dim=8, hidden_dim=16, out_dim=8)
  objective = BYOL(tiny.vit(), head, predictor)
  with pytest.raises(UserError, match="lora.rank: found 2, expected 0: the teacher of BYOL follow"):
    nnx.eval_shape(lambda: adapted(objective, LORA).init(rngs=nnx.Rngs(0)))
  assert isinstance(adapted(objective, LORA), Adapted)
