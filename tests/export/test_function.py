import jax.numpy as jnp
import numpy as np
import pytest
from exported import SIZES, loaded

from pretrainjax.config.objects import recipe, spec
from pretrainjax.errors import UserError
from pretrainjax.export.function import function_of
from pretrainjax.models.bert import BERT
from pretrainjax.models.gpt import GPT
from pretrainjax.models.heads import Head
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.mlp import MLP
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.objectives.supervised.question_answering import QuestionAnswering
from pretrainjax.objectives.supervised.regression import Regression
from pretrainjax.objectives.supervised.token_classification import TokenClassification

BACKBONE = recipe(BERT, **SIZES)
TOKENS = np.array([[3, 4, 5], [6, 7, 8]])
SEGMENTS = np.array([[1, 1, 1], [1, 1, 0]])
TYPES = np.zeros_like(TOKENS)


def head(num_classes):
  return recipe(Head, in_dim=8, num_classes=num_classes)


def classes(objective, num_classes):
  return spec(objective, backbone=BACKBONE, head=head(num_classes), num_classes=num_classes)


def outputs(objective, **how):
  function = function_of(loaded(objective), part=None, **how)
  inputs = (TOKENS, SEGMENTS, TYPES)[: len(function.inputs)]
  return function, function.call(function.weights, *inputs)


@pytest.mark.parametrize(
  ("objective", "name", "shape"),
  [
    (classes(Classification, 4), "logits", (2, 4)),
    (classes(TokenClassification, 5), "logits", (2, 3, 5)),
    (spec(QuestionAnswering, backbone=BACKBONE, head=head(2)), "logits", (2, 3, 2)),
    (spec(Regression, backbone=BACKBONE, head=head(1), score_range=(2.0, 5.0)), "scores", (2,)),
    (spec(CausalLM, backbone=recipe(GPT, **SIZES)), "logits", (2, 31)),
  ],
)
def test_it_says_what_the_objective_predicts(objective, name, shape):
  function, found = outputs(objective)
  assert set(found) == {"pooled", "tokens", name} and found[name].shape == shape
  assert function.left == ()
  if name == "scores":
    np.testing.assert_array_equal(found[name], 2.0)  # a new head gives the lowest score


def test_the_next_token_comes_after_the_last_one_that_is_there():
  function, found = outputs(spec(CausalLM, backbone=recipe(GPT, **SIZES)))
  shorter = function.call(function.weights, TOKENS[1:, :2], SEGMENTS[1:, :2])
  np.testing.assert_allclose(found["logits"][1:], shorter["logits"], atol=1e-5)
  table = np.asarray(function.weights["encoder/token_embedding"])
  np.testing.assert_allclose(found["logits"][0], table @ found["tokens"][0, 2], atol=1e-5)


def test_weights_are_those_that_are_read():
  mlm = recipe(MaskedLMHead, embed_dim=8, vocab_size=31)
  run = loaded(spec(MaskedLM, backbone=BACKBONE, head=mlm))
  function = function_of(run, part=None)
  assert function.held == ("encoder",) and function.left == ("head",)
  assert "encoder/blocks/attention/query/kernel" in function.weights
  found = function.call(function.weights, TOKENS, SEGMENTS, TYPES)
  np.testing.assert_allclose(found["pooled"][0], run.encoder(TOKENS).pooled[0], atol=1e-5)
  changed = {name: x + 1 for name, x in function.weights.items()}
  others = function.call(changed, TOKENS, SEGMENTS, TYPES)
  assert np.abs(others["pooled"] - found["pooled"]).max() > 0


def test_it_computes_in_the_dtype_that_is_asked_for():
  objective = classes(Classification, 4)
  function, found = outputs(objective, dtype="bfloat16")
  assert found["tokens"].dtype == jnp.bfloat16 and found["logits"].dtype == jnp.float32
  assert {x.dtype for x in function.weights.values()} == {jnp.dtype("float32")}
  _, expected = outputs(objective)
  np.testing.assert_allclose(np.float32(found["pooled"]), expected["pooled"], atol=0.1)


def test_a_part_by_itself_predicts_nothing():
  run = loaded(classes(Classification, 4))
  function = function_of(run, part="encoder")
  assert set(function.call(function.weights, TOKENS, SEGMENTS, TYPES)) == {"pooled", "tokens"}
  assert function.left == ("head",)
  with pytest.raises(UserError, match="expected an ImageEncoder or a TextEncoder"):
    function_of(run, part="head")
  with pytest.raises(UserError, match="no part 'hed'; did you mean 'head'"):
    function_of(run, part="hed")


def test_inputs_are_told():
  run = loaded(
    spec(
      Classification,
      backbone=recipe(MLP, image_size=(4, 6), embed_dim=8),
      head=head(4),
      num_classes=4,
    )
  )
  function = function_of(run, part=None)
  assert function.inputs[0][:3] == ("images", ("b", 4, 6, 1), "uint8") and not function.limits
  run = loaded(spec(CausalLM, backbone=recipe(GPT, **SIZES)))
  function = function_of(run, part=None)
  assert [one.name for one in function.inputs] == ["tokens", "segments"]
  assert function.limits == ("t <= 12",)
