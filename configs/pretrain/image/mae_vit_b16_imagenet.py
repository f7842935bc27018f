"""MAE (arXiv 2111.06377, table 8) with a ViT-B/16 on ImageNet-1k, as in the paper.

Batch 4096, AdamW with b2 .95, 1.5e-4 x batch / 256, weight decay .05, 40 epochs of warmup, 800
epochs; decoder 512 wide, 8 deep. get_config("smoke"): two steps of a tiny model.

Command:  pretrainjax pretrain --config=mae_vit_b16_imagenet --workdir=runs/mae_vit_b16_imagenet
Minutes:  not run to its end here
Expected: not run to its end here; published: 83.6% fine-tuned, after 1600 epochs
"""

from ml_collections import ConfigDict

from configs.blocks import imagenet_mae


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config."""
  return imagenet_mae.run("B/16", arg)
