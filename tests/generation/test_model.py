import functools
import logging

import byte_text
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from ml_collections import ConfigDict

import pretrainjax as pj
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.config import recipe, spec
from pretrainjax.errors import UserError
from pretrainjax.generation.model import GenerationOptions, TextModel
from pretrainjax.generation.sampling import Sampling
from pretrainjax.models.gpt import GPT
from pretrainjax.models.mlp import MLP
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.objectives.split import split

# All of one shape, but for the size of the batch.
PROMPTS = ["", "a", "Abc d\u00e9f", "ab"]


@functools.cache
def model():
  return TextModel(byte_text.small_gpt(), byte_text.byte_tokenizer())


def generate(prompts, **options):
  return model().generate(prompts, **({"max_new_tokens": 17} | options))


def always(letter):
  """A model that writes one letter for ever."""
  gpt = byte_text.small_gpt()
  graphdef, params, extras = split(gpt)
  params = jax.tree.map(jnp.zeros_like, params)
  token = byte_text.byte_tokenizer().encode(letter)[0]
  params["norm"]["bias"] = jnp.ones(16)
  params["token_embedding"] = params["token_embedding"].at[token].set(1.0)
  return TextModel(nnx.merge(graphdef, params, extras), byte_text.byte_tokenizer())


def test_order_and_batches_change_no_completion():
  together = generate(PROMPTS, seed=4)
  assert together == generate(PROMPTS, seed=4, batch_size=2) != generate(PROMPTS, seed=5)
  assert generate(PROMPTS[:1], seed=4, batch_size=1) == together[:1]
  assert len({c.text for c in generate(["a"] * 4)}) > 1  # each prompt has draws of its own


def test_an_empty_prompt_begins_a_document():
  assert model().ids("") == [byte_text.byte_tokenizer().begin_id]
  assert [len(c.tokens) for c in generate([""], temperature=0)] == [17]


def test_no_prompts_have_no_completions():
  assert generate([]) == []


def test_text_is_what_the_tokens_say_and_no_token_is_special():
  for completion in generate(["abc"] * 8, temperature=2.0, max_new_tokens=20):
    assert not set(completion.tokens) & set(range(5))
    assert max(completion.tokens) < 261  # the model has numbers that no token has
    text = model().tokenizer.decode(completion.tokens)
    assert completion.text == text.rstrip("\ufffd")


def test_a_stop_string_may_lie_across_tokens():
  writer = always("a")
  (free,) = writer.generate("x", max_new_tokens=20)
  assert (free.text, free.reason) == ("a" * 20, "length")
  (stopped,) = writer.generate("x", max_new_tokens=20, stop="aaa")
  assert (stopped.text, stopped.reason, len(stopped.tokens)) == ("", "stop", 3)
  both = writer.generate(["x", "y"], max_new_tokens=20, stop=["b", "a" * 18])
  assert [(len(c.tokens), c.reason) for c in both] == [(18, "stop")] * 2
  (missed,) = writer.generate("x", max_new_tokens=17, stop=["a" * 18])
  assert (missed.text, missed.reason) == ("a" * 17, "length")


def test_the_end_of_the_context_ends_the_text(caplog):
  writer = always("a")
  (full,) = writer.generate("x" * 60, max_new_tokens=20)
  assert (full.text, full.reason) == ("a" * 4, "context")
  with caplog.at_level(logging.WARNING):
    (cut,) = writer.generate("x" * 100, max_new_tokens=20)
  assert (cut.text, cut.reason) == ("a" * 20, "length") and "has 101 tokens" in caplog.text


def read_anew(ids, count: int) -> list[int]:
  """Greedy tokens where a window is read as a whole for each of them, without a cache."""
  gpt, longest = model().encoder, model().generator.max_length
  allowed = np.asarray(model().generator._allowed)
  window, found = list(ids), []
  sequence = nnx.jit(lambda gpt, rows: gpt.sequence(rows) @ gpt.output_table.T)
  while len(found) < count:
    if len(window) > longest:
      window = model().generator.window([*ids, *found])
    rows = np.zeros((1, longest), np.int32)
    rows[0, : len(window)] = window
    logits = np.where(allowed, np.asarray(sequence(gpt, rows))[0, len(window) - 1], -np.inf)
    window.append(int(logits.argmax()))
    found.append(window[-1])
  return found


def test_a_text_goes_on_beyond_the_context_by_windows():
  longest = model().generator.max_length
  (slid,) = generate("Abc", max_new_tokens=2 * longest + 9, temperature=0, slide=True)
  (plain,) = generate("Abc", max_new_tokens=2 * longest + 9, temperature=0)
  assert plain.reason == "context" and slid.tokens[: len(plain.tokens)] == plain.tokens
  assert slid.reason in ("length", "end") and len(slid.tokens) > len(plain.tokens)
  assert slid.tokens == read_anew(model().ids("Abc"), len(slid.tokens))


def test_windows_of_several_texts_do_not_know_each_other():
  options = {"max_new_tokens": 150, "slide": True, "seed": 3}
  together = generate(["", "Abc" * 15, "a"], **options)
  assert {c.reason for c in together} <= {"length", "end"}
  ((alone,), options) = (generate([""], **options), GenerationOptions(150, seed=3, slide=True))
  assert alone == together[0]
  assert "".join(model().stream("", options)) == alone.text


@pytest.mark.parametrize("stop", [(), ("e",)])
def test_a_stream_gives_the_same_text_in_pieces(stop):
  for seed in range(3):
    options = {"max_new_tokens": 40, "seed": seed, "stop": stop}
    pieces = list(model().stream("abc", GenerationOptions(sampling=Sampling(), **options)))
    (whole,) = generate("abc", **options)
    assert "".join(pieces) == whole.text and all(pieces)
    if not stop:
      assert len(pieces) > 1


def test_refuses_what_cannot_generate():
  with pytest.raises(UserError, match="a MLP cannot generate: expected a causal model"):
    mlp = MLP(image_size=2, embed_dim=4, rngs=nnx.Rngs(0))
    TextModel(mlp, byte_text.byte_tokenizer()).generate("a")
  with pytest.raises(UserError, match="the tokenizer has 261 tokens, but the model knows 100"):
    TextModel(byte_text.small_gpt(vocab_size=100), byte_text.byte_tokenizer()).generate("a")
  with pytest.raises(ValueError, match="batch_size: found 0"):
    generate("a", batch_size=0)


def test_a_run_needs_nothing_but_its_folder(tmp_path):
  sizes = {**byte_text.SIZES, "mlp_dim": 16}
  config = ConfigDict({"objective": spec(CausalLM, backbone=recipe(GPT, **sizes))})
  encoder = byte_text.small_gpt()
  state = {"params": {"encoder": split(encoder)[1]}, "extras": {}, "ema": None}
  workdir = tmp_path / "gpt"
  with Checkpoints(workdir) as checkpoints:
    checkpoints.save(7, state | {"step": jnp.asarray(7)}, config=config)
  with pytest.raises(UserError, match="tokenizer.json is missing: expected a run that was trained"):
    pj.load_model(workdir)
  (workdir / "tokenizer.json").write_text(byte_text.byte_tokenizer().text)
  for name in (workdir, f"{workdir}@7"):
    loaded = pj.load_model(name)
    assert loaded.tokenizer.vocab_size == 261
    assert loaded.generate(PROMPTS, max_new_tokens=17) == generate(PROMPTS)
  np.testing.assert_array_equal(loaded.encoder.token_embedding[...], encoder.token_embedding[...])
