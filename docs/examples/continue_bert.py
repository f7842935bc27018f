"""Continuing a BERT of Hugging Face with masked language modelling, and giving it back.

Run it beside the folder of a BertForMaskedLM with its tokenizer, for instance that of
`hf download google-bert/bert-base-uncased --local-dir models/bert`.
"""

# %% Their model: networks, weights, hyper-parameters and tokenizer come from the folder
from pathlib import Path
from pydoc_data.topics import topics  # what Python says of itself, as some text

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import pretrainjax as pj
from pretrainjax.config import build
from pretrainjax.export.networks import networks_of
from pretrainjax.export.write import new_folder, write_transformers
from pretrainjax.objectives.masked.masked_lm import MaskedLM

print(pj.describe("hf:models/bert"))
bert = pj.load("hf:models/bert")
tokenizer = bert.tokenizer

# %% Text, in full rows: [CLS] tokens [SEP]
length = min(bert.encoder.max_length, 64)
tokens = np.concatenate(tokenizer.encode_batch([topics[name] for name in sorted(topics)[:8]]))
tokens = tokens[: len(tokens) // (length - 2) * (length - 2)].reshape(-1, length - 2)
ends = {"constant_values": (tokenizer.begin_id, tokenizer.end_id)}
rows = np.stack([np.pad(row, 1, **ends) for row in tokens]).astype(np.int32)
print(f"{len(rows)} rows of {length} tokens")

# %% Our objective on their networks: the same loss that `pretrain` lowers
recipes = bert.config.objective
objective = MaskedLM(
  backbone=build(recipes.backbone),
  head=build(recipes.head),
  special_ids=tokenizer.special_ids,
  mask_id=tokenizer.mask_id,
)
num_steps = 24
tx = optax.adamw(optax.linear_schedule(1e-3, 0.0, num_steps))
graphdef, params, rest = nnx.split(bert.module, nnx.Param, ...)
opt_state = tx.init(params)


@jax.jit
def step(params, opt_state, tokens, key):
  def loss(params):
    batch = {"tokens": tokens, "segments": jnp.ones_like(tokens)}
    module = nnx.merge(graphdef, params, rest)
    return objective.loss(module, batch, rngs=nnx.Rngs(key), step=0)[0]

  value, grads = jax.value_and_grad(loss)(params)
  updates, opt_state = tx.update(grads, opt_state, params)
  return optax.apply_updates(params, updates), opt_state, value


losses = []
for i, key in enumerate(jax.random.split(jax.random.key(0), num_steps)):
  batch = rows[np.arange(i * 16, i * 16 + 16) % len(rows)]
  params, opt_state, value = step(params, opt_state, batch, key)
  losses.append(float(value))
nnx.update(bert.module, params)
print(f"loss {np.mean(losses[:4]):.3f} -> {np.mean(losses[-4:]):.3f}")

# %% Back: a folder that transformers loads, with the tokenizer (runs go by `pretrainjax export`)
out = Path("exported/bert")
with new_folder(out) as folder:
  write_transformers(folder, networks_of(bert), tokenizer=tokenizer)

# %% The same numbers there, where transformers is installed
text = "The import statement [MASK] a module."
try:
  import torch
  from transformers import AutoModelForMaskedLM, AutoTokenizer
except ImportError:
  print("transformers is not installed: nothing to compare with")
else:
  theirs = AutoModelForMaskedLM.from_pretrained(out)
  inputs = AutoTokenizer.from_pretrained(out)(text, return_tensors="pt")
  with torch.no_grad():
    their_scores = theirs(**inputs).logits.numpy()
  hidden = bert.encoder(inputs["input_ids"].numpy()).tokens
  our_scores = bert.module.head(hidden, bert.encoder.token_embedding[...])
  difference = float(np.abs(our_scores - their_scores).max())
  print(f"largest difference of scores: {difference:.1e}")
