"""Ours against ViTMAEForPreTraining of transformers: same weights, same mask, same numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from their_tensors import networks, ours, read, same, theirs
from transformers_models import close, randomised, trees_close

from pretrainjax.config.objects import recipe
from pretrainjax.convert import vit
from pretrainjax.losses.reconstruction import normalize_patches, patch_mse
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.layers.patch import patchify
from pretrainjax.models.layers.position import sincos_table
from pretrainjax.models.vit import ViT

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")

pytestmark = pytest.mark.parity
# Odd sizes on purpose: 9 patches of 5 x 5, 3 heads, more than one channel, unequal depths.
SIZES = {
  "small": dict(image=15, patch=5, channels=2, width=24, depth=3, heads=3, mlp=40),
  "wide": dict(image=21, patch=3, channels=3, width=36, depth=2, heads=2, mlp=50),
}
DECODER = dict(embed_dim=20, num_layers=2, num_heads=5, mlp_dim=28)


KIND = "ViTMAEForPreTraining"


def backbone_of(size, **changes):
  return recipe(
    ViT,
    image_size=size["image"],
    patch_size=size["patch"],
    num_channels=size["channels"],
    embed_dim=size["width"],
    num_layers=size["depth"],
    num_heads=size["heads"],
    mlp_dim=size["mlp"],
    **changes,
  )


def recipes_of(size):
  patch_dim, side = size["patch"] ** 2 * size["channels"], size["image"] // size["patch"]
  sizes = {"grid": (side, side), "patch_dim": patch_dim, "encoder_dim": size["width"]}
  return {"backbone": backbone_of(size), "decoder": recipe(MAEDecoder, **sizes, **DECODER)}


def hf_config(size, *, norm_pix_loss):
  return transformers.ViTMAEConfig(
    image_size=size["image"],
    patch_size=size["patch"],
    num_channels=size["channels"],
    hidden_size=size["width"],
    num_hidden_layers=size["depth"],
    num_attention_heads=size["heads"],
    intermediate_size=size["mlp"],
    decoder_hidden_size=DECODER["embed_dim"],
    decoder_num_hidden_layers=DECODER["num_layers"],
    decoder_num_attention_heads=DECODER["num_heads"],
    decoder_intermediate_size=DECODER["mlp_dim"],
    mask_ratio=0.6,
    norm_pix_loss=norm_pix_loss,
    layer_norm_eps=1e-6,
  )


def load_theirs(folder, config, tensors, kind=KIND):
  """Through files, as a user's export goes."""
  (folder / "config.json").write_text(json.dumps(config.to_dict() | {"architectures": [kind]}))
  torch_tensors = {name: torch.from_numpy(t.copy()) for name, t in tensors.items()}
  safetensors.save_file(torch_tensors, folder / "model.safetensors", metadata={"format": "pt"})
  options = {"output_loading_info": True}
  if kind == "ViTModel":
    options["add_pooling_layer"] = False
  model, info = getattr(transformers, kind).from_pretrained(folder, **options)
  problems = [info[k] for k in ("missing_keys", "unexpected_keys", "mismatched_keys")]
  assert not any(problems), problems
  return model


def our_loss(graphdef, images, keep, hidden, norm_pix_loss):
  def loss(params):
    module = nnx.merge(graphdef, params)
    tokens = module.encoder.sequence(images, keep=keep)
    logits = module.decoder(tokens, keep=keep, hidden=hidden)
    patches = patchify(images, module.encoder.patch_size)
    target = normalize_patches(patches) if norm_pix_loss else patches
    target = jnp.take_along_axis(target, hidden[:, :, None], axis=1)
    return jnp.mean(patch_mse(logits, target))

  return loss


@pytest.mark.parametrize("norm_pix_loss", [False, True])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_mae_equals_transformers(size, norm_pix_loss, tmp_path):
  recipes = recipes_of(size)
  graphdef, params = randomised(networks(recipes))
  module = nnx.merge(graphdef, params)
  grid, channels = module.encoder.grid, size["channels"]
  tensors = theirs(KIND, params, recipes)
  model = load_theirs(tmp_path, hf_config(size, norm_pix_loss=norm_pix_loss), tensors)

  rng = np.random.default_rng(1)
  images = rng.normal(size=(3, size["image"], size["image"], channels)).astype(np.float32)
  noise = rng.uniform(size=(3, grid[0] * grid[1])).astype(np.float32)
  output = model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), torch.from_numpy(noise))
  output.loss.backward()

  # They keep the patches of least noise, in the order of the noise; ours is another order.
  num_keep = int(noise.shape[1] * 0.4)
  order = np.argsort(noise, axis=1)
  keep = jnp.asarray(np.sort(order[:, :num_keep], axis=1))
  hidden = jnp.asarray(order[:, num_keep:])
  logits = module.decoder(
    module.encoder.sequence(images, keep=keep), keep=keep, hidden=hidden, patches="all"
  )
  close(logits, output.logits.detach().numpy(), "logits")
  loss, gradients = jax.jit(
    jax.value_and_grad(our_loss(graphdef, images, keep, hidden, norm_pix_loss))
  )(params)
  close(loss, output.loss.item(), "loss")

  # Positions are fixed, whatever gradient torch may have for them; conversion checks their value.
  their_gradients = {
    name: (p if "pos" in name else p.grad).detach().numpy() for name, p in model.named_parameters()
  }
  trees_close(gradients, ours(KIND, their_gradients, recipes))


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_their_weights_come_back_from_their_own_file(size, tmp_path):
  model = transformers.ViTMAEForPreTraining(hf_config(size, norm_pix_loss=False))
  # transformers 5.23 makes a new model with all positions 0; published weights have the table.
  grid = (size["image"] // size["patch"],) * 2
  tables = (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed)
  for table in tables:
    table.data = torch.from_numpy(vit.with_cls_row(sincos_table(table.shape[-1], grid)))
  model.save_pretrained(tmp_path)
  module, params = read(tmp_path)
  in_memory = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
  same(params, ours(KIND, in_memory, recipes_of(size)))
  _, expected = randomised(networks(recipes_of(size)))
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, expected)

  images = np.random.default_rng(1).normal(size=(2, size["image"], size["image"], size["channels"]))
  images = images.astype(np.float32)
  pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
  model.config.mask_ratio = 0.0
  num_patches = (size["image"] // size["patch"]) ** 2
  noise = torch.arange(num_patches).float().repeat(2, 1)  # their order stays, only with noise
  with torch.no_grad():
    their_tokens = model.vit(pixels, noise=noise).last_hidden_state.numpy()
  close(module.encoder.sequence(images), their_tokens, "tokens")


@pytest.mark.parametrize("position", ["sincos", "learned"])
def test_vit_equals_transformers(position, tmp_path):
  size = SIZES["wide"]
  recipes = {"backbone": backbone_of(size, position=position)}
  graphdef, params = randomised(networks(recipes))
  config = transformers.ViTConfig(
    **{
      k: v
      for k, v in hf_config(size, norm_pix_loss=False).to_dict().items()
      if k in ("image_size", "patch_size", "num_channels", "hidden_size", "num_hidden_layers")
      or k in ("num_attention_heads", "intermediate_size", "layer_norm_eps")
    }
  )
  tensors = theirs("ViTModel", params, recipes)
  model = load_theirs(tmp_path, config, tensors, kind="ViTModel")
  images = np.random.default_rng(1).normal(size=(2, 21, 21, 3)).astype(np.float32)
  with torch.no_grad():
    pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    expected = model(pixels).last_hidden_state.numpy()
  close(nnx.merge(graphdef, params).encoder.sequence(images), expected, "tokens")
  if position == "learned":
    model.save_pretrained(tmp_path)
    _, back = read(tmp_path)
    assert not back["encoder"].pop("cls_position").any()  # which ours has none of
    same(back, params)
