import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pretrainjax.generation.generate import Generator
from pretrainjax.generation.sampling import Sampling, choose
from pretrainjax.models.gpt import GPT
from pretrainjax.models.llama import Llama

END, VOCAB, CONTEXT = 3, 24, 40
SIZES = {"vocab_size": VOCAB, "max_length": CONTEXT, "embed_dim": 16, "num_layers": 2}
MODELS = {
  "gpt": functools.partial(GPT, num_heads=2, mlp_dim=20, init_std=0.3, **SIZES),
  "llama": functools.partial(Llama, num_heads=4, num_kv_heads=2, mlp_dim=20, init_std=0.3, **SIZES),
}
MAKERS = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
PROMPTS = [[2], [2, 9, 8], [2, 7, 7, 5, 6, 11, 19], [2, 23, 4, 9, 22]]
SAMPLED = Sampling(temperature=0.8, top_k=9, top_p=0.9)


@functools.cache
def generator(make, num_steps=4):
  model = make(rngs=nnx.Rngs(1))
  return Generator(model, end_id=END, banned_ids=range(5), num_steps=num_steps)


def generate(make, prompts, *, max_new_tokens=6, num_steps=4, **options):
  run = generator(make, num_steps).start(prompts, max_new_tokens=max_new_tokens, **options)
  while not run.is_done:
    run.advance()
  return run.tokens, run.reasons


def uncached(make, prompt, *, max_new_tokens=6, sampling, seed=0, number=0):
  """The same by reading the whole text again for every token, in the plainest way."""
  model, tokens = make(rngs=nnx.Rngs(1)), list(prompt)
  row_key = jax.random.fold_in(jax.random.key(seed), number)
  # Padded, so that one program does; a causal model does not see what comes later.
  logits_of = jax.jit(lambda tokens: model.sequence(tokens) @ model.output_table.T)
  while len(tokens) < len(prompt) + max_new_tokens:
    padded = np.zeros((1, CONTEXT), np.int32)
    padded[0, : len(tokens)] = tokens
    logits = logits_of(padded)[:, len(tokens) - 1]
    logits = logits.at[:, np.array([0, 1, 2, 4])].set(-jnp.inf)
    keys = jax.random.fold_in(row_key, len(tokens))[None]
    arrays = sampling.arrays(VOCAB)
    new = int(choose(logits, keys=keys, mode=sampling.mode, arrays=arrays)[0])
    if new == END:
      break
    tokens.append(new)
  return tokens[len(prompt) :]


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), SAMPLED], ids=["greedy", "sampled"])
@MAKERS
def test_the_cached_path_equals_the_uncached_token_for_token(make, sampling):
  tokens, reasons = generate(make, PROMPTS, sampling=sampling, seed=5)
  expected = [
    uncached(make, prompt, sampling=sampling, seed=5, number=number)
    for number, prompt in enumerate(PROMPTS)
  ]
  assert tokens == expected and any(tokens)
  ended = [len(t) < 6 for t in tokens]
  assert reasons == ["end" if e else "length" for e in ended]


@MAKERS
def test_a_row_does_not_depend_on_its_batch(make):
  options = {"sampling": SAMPLED, "seed": 3, "max_new_tokens": 9}
  together, _ = generate(make, PROMPTS, **options)
  for number, prompt in enumerate(PROMPTS):
    assert generate(make, [prompt], indices=[number], **options)[0] == [together[number]]
  backwards, _ = generate(make, PROMPTS[::-1], indices=[3, 2, 1, 0], **options)
  assert backwards[::-1] == together


def test_seed_number_and_place_decide_the_draws():
  make, options = MODELS["gpt"], {"sampling": Sampling(temperature=3), "max_new_tokens": 12}
  first, again = (generate(make, [[2, 9]] * 2, seed=1, **options)[0] for _ in range(2))
  other = generate(make, [[2, 9]] * 2, seed=2, **options)[0]
  assert first == again and first != other and first[0] != first[1]
  assert len({token for row in first for token in row}) > 3


def test_how_many_steps_are_taken_at_once_does_not_matter():
  options = {"sampling": SAMPLED, "max_new_tokens": 11}
  results = [generate(MODELS["gpt"], PROMPTS, num_steps=n, **options) for n in (1, 4, 16)]
  assert results[0] == results[1] == results[2]


def test_each_shape_is_compiled_once():
  made = Generator(MODELS["gpt"](rngs=nnx.Rngs(1)), end_id=END, num_steps=4)

  def compiled(prompts, max_new_tokens=6, **sampling):
    run = made.start(prompts, max_new_tokens=max_new_tokens, sampling=Sampling(**sampling))
    while not run.is_done:
      run.advance()
    return made.num_compiled

  assert compiled(PROMPTS, temperature=0.5) == 2
  # Other lengths, numbers and counts in the same powers of two.
  assert compiled(PROMPTS[:3], max_new_tokens=9, temperature=0.9) == 2
  assert compiled([[2, 5]] * 4, max_new_tokens=1) == 2
  assert compiled(PROMPTS[:2]) == 4  # a batch of two
  assert compiled(PROMPTS, max_new_tokens=20) == 6  # a longer cache
  assert compiled(PROMPTS, top_k=3) == 7  # another way to choose
  assert compiled(PROMPTS, top_k=5, top_p=0.5) == 7


def test_banned_tokens_are_never_chosen_but_the_end_is():
  options = {"sampling": Sampling(temperature=5), "max_new_tokens": 30}
  tokens, reasons = generate(MODELS["gpt"], [[2]] * 16, **options)
  chosen = {token for row in tokens for token in row}
  assert chosen <= set(range(5, VOCAB)) and "end" in reasons


@MAKERS
def test_generation_stops_where_the_model_reads_no_more(make):
  without_end = Generator(make(rngs=nnx.Rngs(1)), end_id=END, num_steps=4)
  without_end._allowed = without_end._allowed.at[END].set(False)
  run = without_end.start([[2] * 37, [2, 5]], max_new_tokens=10, sampling=Sampling(temperature=0))
  while not run.is_done:
    run.advance()
  # The last token that it reads, the fortieth, still has a successor.
  assert [len(t) for t in run.tokens] == [4, 10]
  assert run.reasons == ["context", "length"]


def test_a_prompt_longer_than_the_context_loses_its_beginning_with_a_warning(caplog):
  long = [2, *range(5, 24)] * 4
  with caplog.at_level(logging.WARNING):
    tokens, reasons = generate(MODELS["gpt"], [long], max_new_tokens=6)
  assert (
    "a prompt has 80 tokens, but the model reads 40 at most: kept are the last 33" in caplog.text
  )
  assert (tokens, reasons) == generate(MODELS["gpt"], [[2, *long[-33:]]], max_new_tokens=6)
  caplog.clear()
  generate(MODELS["gpt"], [long[:40]], max_new_tokens=6)
  assert not caplog.text  # it fits, with room for one more


def test_rows_that_are_stopped_write_no_more():
  run = generator(MODELS["gpt"]).start(PROMPTS, max_new_tokens=12, sampling=Sampling(temperature=0))
  run.advance()
  before = [list(t) for t in run.tokens]
  run.stop([1, 3])
  while not run.is_done:
    assert run.advance() != [1, 3]
  assert run.tokens[1] == before[1] and run.tokens[3] == before[3]
  assert run.reasons[1] == "stop" and len(run.tokens[2]) >= len(before[2])


def test_bfloat16_weights_are_cast_once_and_give_the_same():
  make = functools.partial(MODELS["llama"], dtype="bfloat16")
  made = Generator(make(rngs=nnx.Rngs(1)), end_id=END)
  params = made._arrays[0]
  assert params["blocks"][0]["mlp"]["up"]["kernel"].dtype == jnp.bfloat16
  assert params["norm"]["scale"].dtype == jnp.float32
  tokens, _ = generate(make, PROMPTS[:2], sampling=Sampling(temperature=0))
  expected = [uncached(make, p, sampling=Sampling(temperature=0)) for p in PROMPTS[:2]]
  assert tokens == expected


def test_refuses_what_cannot_be_continued():
  for prompts in ([], [[2], []]):
    with pytest.raises(ValueError, match="prompts: found none or an empty one"):
      generate(MODELS["gpt"], prompts)
  with pytest.raises(ValueError, match="max_new_tokens: found 0, expected at least 1"):
    generate(MODELS["gpt"], PROMPTS, max_new_tokens=0)
