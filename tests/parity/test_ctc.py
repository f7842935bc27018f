"""The loss of CTC and its gradient against PyTorch's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pretrainjax.losses.ctc import can_align, ctc_loss

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.parity


@pytest.mark.parametrize("blank_id", [0, 5])
def test_loss_and_gradient(blank_id):
  rng = np.random.default_rng(blank_id)
  batch, frames, classes, longest = 24, 30, 9, 12
  logits = rng.normal(size=(batch, frames, classes)).astype(np.float32) * 3
  num_frames, num_labels = rng.integers(1, frames + 1, batch), rng.integers(0, longest + 1, batch)
  letters = [k for k in range(classes) if k != blank_id]
  labels = rng.choice(letters[:3], (batch, longest)).astype(np.int32)  # many repetitions
  valid = np.arange(frames)[None] < num_frames[:, None]
  present = np.arange(longest)[None] < num_labels[:, None]
  masks = {"valid": jnp.asarray(valid), "present": jnp.asarray(present)}
  fits = np.asarray(can_align(jnp.asarray(labels), **masks))
  assert 3 < fits.sum() < batch - 3

  theirs = torch.tensor(logits, requires_grad=True)
  expected = torch.nn.functional.ctc_loss(
    theirs.log_softmax(-1).transpose(0, 1),
    torch.tensor(labels, dtype=torch.long),
    torch.tensor(num_frames),
    torch.tensor(num_labels),
    blank=blank_id,
    reduction="none",
    zero_infinity=True,
  )
  expected.sum().backward()

  def total(x):
    loss = ctc_loss(x, jnp.asarray(labels), **masks, blank_id=blank_id)
    return loss.sum(), loss

  gradient, loss = jax.grad(total, has_aux=True)(jnp.asarray(logits))
  np.testing.assert_allclose(loss, expected.detach(), rtol=1e-4, atol=1e-4)
  assert ((expected.detach().numpy() > 0) == fits).all()
  np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-4, atol=1e-4)
