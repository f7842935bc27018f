"""Fine-tuning inside somebody else's Optax loop: all weights, or low-rank updates of them.

Run it beside a run, `pretrainjax pretrain --config=mae_vit_fashion_mnist --workdir=runs/mae`.
"""

# %% Somebody's loop: it knows parameters, a loss, and an optimizer; nothing of us
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import pretrainjax as pj
from pretrainjax.models.layers.lora import LoRALinear
from pretrainjax.objectives.lora import LoRA, merge

digits = load_digits()
enlarged = np.kron(digits.images, np.ones((1, 3, 3)))
images = np.pad(enlarged * 255 / 16, ((0, 0), (2, 2), (2, 2)))[..., None].astype(np.uint8)
labels = jnp.asarray(digits.target)


def fit(params, loss, *, num_steps, learning_rate=3e-3):
  tx = optax.adamw(learning_rate)
  opt_state = tx.init(params)

  @jax.jit
  def step(params, opt_state, x, y):
    value, grads = jax.value_and_grad(loss)(params, x, y)
    updates, opt_state = tx.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, value

  losses = []
  for i in range(num_steps):
    rows = slice(i % 8 * 64, i % 8 * 64 + 64)
    params, opt_state, value = step(params, opt_state, images[rows], labels[rows])
    losses.append(float(value))
  return params, losses


def cross_entropy(logits, y):
  return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


# %% All weights: an encoder comes apart into a static graph and a tree of arrays
encoder = pj.load_encoder("runs/mae")
graphdef, weights, rest = nnx.split(encoder, nnx.Param, ...)
head = {"kernel": jnp.zeros((encoder.embed_dim, 10)), "bias": jnp.zeros(10)}


def loss(params, x, y):
  pooled = nnx.merge(graphdef, params["encoder"], rest)(x).pooled
  return cross_entropy(pooled @ params["head"]["kernel"] + params["head"]["bias"], y)


tuned, losses = fit({"encoder": weights, "head": head}, loss, num_steps=16)
print(f"all weights: loss {losses[0]:.2f} -> {losses[-1]:.2f}")

# %% Low-rank updates: the loop is the same, only what it is given to train is less
encoder = pj.load_encoder("runs/mae")
LoRA(rank=4, layers=("*attention/*", "*mlp/*")).adapt(encoder, rngs=nnx.Rngs(0))
is_update = lambda path, value: path[-1] in ("lora_a", "lora_b")  # noqa: E731
graphdef, updates, rest = nnx.split(encoder, is_update, ...)


def loss_of_updates(params, x, y):
  pooled = nnx.merge(graphdef, params["updates"], rest)(x).pooled
  return cross_entropy(pooled @ params["head"]["kernel"] + params["head"]["bias"], y)


start = {"updates": updates, "head": head}
tuned, lora_losses = fit(start, loss_of_updates, num_steps=16)
print(f"low-rank updates: loss {lora_losses[0]:.2f} -> {lora_losses[-1]:.2f}")

# %% Back into one plain network
encoder = nnx.merge(graphdef, tuned["updates"], rest)
merge(encoder)
assert not any(isinstance(layer, LoRALinear) for _, layer in nnx.iter_modules(encoder))
