"""Distillation against NumPy, and what has to hold of it whatever the numbers."""

import functools

import jax
import numpy as np
import pytest
import tiny_objectives as tiny
from flax import nnx

from pretrainjax.errors import UserError
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head, Projector
from pretrainjax.models.vit import ViT
from pretrainjax.objectives.split import abstract_split
from pretrainjax.objectives.supervised.distillation import Distillation
from pretrainjax.objectives.teacher import TeacherParam

WIDE = 24
IMAGES = {"image": tiny.images(8), "label": tiny.labels(8)}
TEXTS = tiny.texts(6)


def head(width, **changes):
  return functools.partial(Head, **({"in_dim": width, "num_classes": 5, "init_std": 0.5} | changes))


def projector(out_dim=WIDE):
  sizes = {"in_dim": tiny.EMBED_DIM, "out_dim": out_dim, "num_layers": 1, "batch_norm": False}
  return functools.partial(Projector, **sizes)


def wide_vit(**changes):
  sizes = {"embed_dim": WIDE, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
  return functools.partial(ViT, **({"image_size": 8, "patch_size": 2} | sizes | changes))


def images(**changes):
  return Distillation(tiny.vit(), wide_vit(), **({"projector": projector()} | changes))


def texts(**changes):
  sizes = {"vocab_size": tiny.VOCAB_SIZE, "max_length": tiny.LENGTH, "embed_dim": WIDE}
  teacher = functools.partial(BERT, num_layers=1, num_heads=2, mlp_dim=8, dropout=0.3, **sizes)
  return Distillation(tiny.bert(), teacher, **({"projector": projector()} | changes))


BOTH = {"head": head(tiny.EMBED_DIM), "teacher_head": head(WIDE), "temperature": 2.5}
BOTH |= {"feature_weight": 0.5, "logit_weight": 2.0}


def softmax(x):
  e = np.exp(x - x.max(-1, keepdims=True))
  return e / e.sum(-1, keepdims=True)


def reference(done, batch, objective):
  """The formula in NumPy and float64, on features of the networks."""

  def outputs(module, batch):
    found = []
    for network in (module.encoder, module.teacher):
      encoded = network(network.inputs(batch))
      found.append((encoded.pooled, encoded.tokens, encoded.valid))
    return found

  (student, teacher), params, extras = tiny.call(done, outputs, batch), done.params, done.extras
  if objective.level == "pooled":
    weights, rows = np.ones(len(student[0])), [x[0] for x in (student, teacher)]
  else:
    weights = np.asarray(student[2] & teacher[2], np.float64).reshape(-1)
    rows = [x[1].reshape(-1, x[1].shape[-1]) for x in (student, teacher)]
  s, t = (np.asarray(x, np.float64) for x in rows)
  layer = params["projector"]["linear0"]
  p = s @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"])
  if objective.features == "cosine":
    distance = 1 - (p * t).sum(-1) / np.linalg.norm(p, axis=-1) / np.linalg.norm(t, axis=-1)
  else:
    distance = ((p - t) ** 2).mean(-1)
  loss = objective.feature_weight * (distance * weights).sum() / weights.sum()
  if objective.head is not None:
    ours, theirs = (
      x @ np.asarray(h["classifier"]["kernel"], np.float64) + np.asarray(h["classifier"]["bias"])
      for x, h in ((s, params["head"]), (t, extras["teacher_head"]))
    )
    q, r = softmax(theirs / objective.temperature), softmax(ours / objective.temperature)
    divergence = objective.temperature**2 * (q * (np.log(q) - np.log(r))).sum(-1)
    loss += objective.logit_weight * (divergence * weights).sum() / weights.sum()
    if objective.label_weight:
      picked = softmax(ours)[np.arange(len(ours)), batch["label"]]
      loss += objective.label_weight * -np.log(picked).mean()
  return loss


@pytest.mark.parametrize(
  ("objective", "batch"),
  [
    (images(**BOTH, label_weight=0.3), IMAGES),
    (texts(level="tokens", features="mse", **BOTH), TEXTS),
  ],
  ids=["images", "texts"],
)
def test_it_is_the_formula_and_moves_the_student_alone(objective, batch):
  done = tiny.run(objective, batch)
  expected = reference(done, batch, objective)
  np.testing.assert_allclose(done.metrics["loss"], expected, rtol=1e-4)
  assert set(done.params) == {"encoder", "projector", "head"}
  assert set(done.extras) == {"teacher", "teacher_head"}
  moved = {path.split(".")[0] for path in paths(done.gradient)}
  assert moved == set(done.params)
  before = tiny.start(objective)[0][1]
  jax.tree.map(np.testing.assert_array_equal, done.extras, before)
  again = tiny.metrics_of(objective, batch, key=jax.random.key(7))
  np.testing.assert_allclose(
    again["loss"], done.metrics["loss"], rtol=1e-5, err_msg="the teacher has no dropout"
  )


def paths(gradient):
  leaves = jax.tree.leaves_with_path(gradient)
  return {jax.tree_util.keystr(p, simple=True, separator=".") for p, g in leaves if g.any()}


def test_one_batch_is_learned():
  first, last = tiny.overfit(images(**BOTH), IMAGES, num_steps=40)
  assert last["feature_loss"] < 0.3 * first["feature_loss"]
  assert last["logit_loss"] < 0.3 * first["logit_loss"] and last["agreement"] == 1.0


def test_padding_and_what_is_in_it_change_nothing():
  objective = texts(level="tokens")
  other = {k: v.copy() for k, v in TEXTS.items()}
  other["tokens"][other["segments"] == 0] = 7
  (params, extras), _ = tiny.start(objective)
  losses = [tiny.jitted_loss(objective)(params, extras, b, tiny.KEY)[0] for b in (TEXTS, other)]
  np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_the_teacher_is_no_parameter():
  graphdef, params, extras = abstract_split(images(**BOTH))
  module = nnx.merge(graphdef, params, extras)
  assert "teacher" not in params and set(extras) == {"teacher", "teacher_head"}
  assert not jax.tree.leaves(nnx.state(module.teacher, nnx.Param))
  assert jax.tree.leaves(nnx.state(module.teacher, TeacherParam))
  assert set(images(**BOTH).parts(module)) == {
    *("encoder", "teacher", "projector", "head", "teacher_head")
  }


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"head": head(16)}, "head and teacher_head: found one of them, expected both or none"),
    ({"features": "none"}, "features='none' without heads leaves nothing to learn"),
    ({"label_weight": 1.0}, "label_weight=1.0: found no head"),
    (BOTH | {"label_weight": 1.0, "level": "tokens"}, "level='tokens' has no label a token"),
  ],
)
def test_arguments_that_do_not_fit_are_refused(changes, said):
  with pytest.raises(ValueError, match=said):
    images(**changes)


@pytest.mark.parametrize(
  ("objective", "said"),
  [
    (
      texts(level="tokens", projector=functools.partial(projector(), last_batch_norm=True)),
      "projector.batch_norm: found True, expected False",
    ),
    (images(projector=None), "projector: found None, expected one from the student's 16 features"),
    (
      images(**(BOTH | {"head": head(16, num_classes=4)})),
      "head.num_classes: found 4, expected 5",
    ),
  ],
)
def test_networks_that_do_not_fit_are_refused(objective, said):
  with pytest.raises(UserError, match=said):
    abstract_split(objective)


def test_tokens_that_do_not_pair_are_refused():
  objective = Distillation(
    tiny.vit(),
    wide_vit(patch_size=4),
    projector=projector(),
    level="tokens",
  )
  with pytest.raises(UserError, match="'tokens' with 16 tokens of the student, expected the 4"):
    jax.eval_shape(tiny.loss_fn(objective), *abstract_split(objective)[1:], IMAGES, tiny.KEY)
