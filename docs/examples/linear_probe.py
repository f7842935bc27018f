"""A linear probe in ten lines: a frozen encoder, a linear layer, and full-batch gradient descent.

Run it beside a run, `pretrainjax pretrain --config=mae_vit_fashion_mnist --workdir=runs/mae`.
"""

# %% Images that the encoder has not seen: scikit-learn's digits, enlarged from 8 x 8 to 28 x 28
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import pretrainjax as pj

digits = load_digits()
enlarged = np.kron(digits.images, np.ones((1, 3, 3)))
images = np.pad(enlarged * 255 / 16, ((0, 0), (2, 2), (2, 2)))[..., None].astype(np.uint8)
labels = jnp.asarray(digits.target)

# %% The probe
encoder = pj.load_encoder("runs/mae")
features = jax.jit(lambda images: encoder(images).pooled)(images)
features = (features - features.mean(0)) / (features.std(0) + 1e-6)


def loss(weights, x, y):
  logits = x @ weights["kernel"] + weights["bias"]
  return optax.losses.softmax_cross_entropy_with_integer_labels(logits, y).mean()


weights = {"kernel": jnp.zeros((features.shape[1], 10)), "bias": jnp.zeros(10)}
step = jax.jit(lambda w: jax.tree.map(lambda p, g: p - g, w, jax.grad(loss)(w, *train)))
train, test = (features[:1200], labels[:1200]), (features[1200:], labels[1200:])
for _ in range(300):
  weights = step(weights)

# %% How often it is right on the others
predicted = jnp.argmax(test[0] @ weights["kernel"] + weights["bias"], axis=1)
accuracy = float(jnp.mean(predicted == test[1]))
print(f"linear probe on digits: {accuracy:.1%}")
