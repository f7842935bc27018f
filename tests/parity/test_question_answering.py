"""Ours against BertForQuestionAnswering: same weights, same text, same numbers."""

import functools

import jax
import numpy as np
import pytest
from flax import nnx
from their_tensors import ours, theirs
from transformers_models import close, gradients_of, jit, load, randomised, trees_close

from pretrainjax.config.objects import recipe
from pretrainjax.models.bert import BERT
from pretrainjax.models.heads import Head
from pretrainjax.objectives.supervised.question_answering import QuestionAnswering

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
# Odd sizes on purpose.
VOCAB, LENGTH, WIDTH = 37, 11, 15
SIZES = {"vocab_size": VOCAB, "max_length": 13, "num_layers": 2, "num_heads": 3, "mlp_dim": 22}
RECIPES = {"backbone": recipe(BERT, embed_dim=WIDTH, **SIZES)}
OBJECTIVE = QuestionAnswering(
  backbone=functools.partial(BERT, embed_dim=WIDTH, **SIZES),
  head=functools.partial(Head, in_dim=WIDTH, num_classes=2),
)


def hf_config():
  return transformers.BertConfig(
    vocab_size=VOCAB,
    hidden_size=WIDTH,
    num_hidden_layers=SIZES["num_layers"],
    num_attention_heads=SIZES["num_heads"],
    intermediate_size=SIZES["mlp_dim"],
    max_position_embeddings=SIZES["max_length"],
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
    layer_norm_eps=1e-12,
    num_labels=2,
  )


def their_tensors(params):
  """Our parameters by their names; their linear layer has the axes the other way round."""
  classifier = params["head"]["classifier"]
  head = {"weight": np.asarray(classifier["kernel"]).T, "bias": np.asarray(classifier["bias"])}
  encoder = theirs("BertModel", {"encoder": params["encoder"]}, RECIPES)
  return {f"bert.{name}": array for name, array in encoder.items()} | {
    f"qa_outputs.{name}": np.ascontiguousarray(array) for name, array in head.items()
  }


def batch():
  """Rows of several lengths; one without an answer."""
  rng = np.random.default_rng(1)
  segments = (np.arange(LENGTH)[None] < np.array([11, 8, 6])[:, None]).astype(np.int32)
  tokens = rng.integers(5, VOCAB, segments.shape).astype(np.int32) * segments
  types = (np.arange(LENGTH) > 3).astype(np.int32)[None] * segments
  span = np.array([[5, 9], [0, 0], [4, 4]], np.int32)
  return {"tokens": tokens, "segments": segments, "types": types, "span": span}


def their_arguments(found, rows=slice(None), length=LENGTH):
  names = {"tokens": "input_ids", "segments": "attention_mask", "types": "token_type_ids"}
  return {
    theirs: torch.from_numpy(found[ours][rows, :length]).long() for ours, theirs in names.items()
  }


def test_logits_loss_and_gradients_equal_theirs(tmp_path):
  graphdef, params = randomised(OBJECTIVE.init(rngs=nnx.Rngs(0)))
  tensors, found = their_tensors(params), batch()
  model = load(tmp_path, "BertForQuestionAnswering", hf_config(), tensors)

  def logits(params):
    module = nnx.merge(graphdef, params)
    return module.logits(module.encoder(module.encoder.inputs(found)).tokens)

  with torch.no_grad():
    output = model(**their_arguments(found))
  real = found["segments"] > 0
  found_logits = np.asarray(jit(logits)(params))
  close(found_logits[..., 0][real], output.start_logits.numpy()[real], "start")
  close(found_logits[..., 1][real], output.end_logits.numpy()[real], "end")

  # Theirs has padding in its softmax: so row by row, without.
  total = 0.0
  for row, length in enumerate(found["segments"].sum(axis=1)):
    start, end = (torch.tensor([int(place)]) for place in found["span"][row])
    arguments = their_arguments(found, slice(row, row + 1), length)
    loss = model(**arguments, start_positions=start, end_positions=end).loss / 3
    loss.backward()
    total += loss.item()

  def our_loss(params, batch):
    module = nnx.merge(graphdef, params)
    return OBJECTIVE.loss(module, batch, rngs=nnx.Rngs(0), step=0)[0]

  loss, gradients = jit(jax.value_and_grad(our_loss))(params, found)
  close(loss, total, "loss")
  by_name = gradients_of(model)
  head = {
    "kernel": by_name.pop("qa_outputs.weight").T,
    "bias": by_name.pop("qa_outputs.bias"),
  }
  trees_close(gradients["head"], {"classifier": head})
  trees_close({"encoder": gradients["encoder"]}, ours("BertModel", by_name, RECIPES))
