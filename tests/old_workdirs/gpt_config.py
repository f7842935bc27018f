"""The config that old_workdirs/gpt was trained with, as its owner keeps it to this day."""

from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import recipe, spec
from pretrainjax.data.text_data import TextData
from pretrainjax.models.gpt import GPT
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.train.assemble import Train
from pretrainjax.train.duration import Duration
from pretrainjax.train.mesh import Axes
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.parallel import Parallel
from pretrainjax.train.schedule import WarmupCosine
from pretrainjax.train.spikes import Spikes
from pretrainjax.train.tracking import Tracking


def get_config(arg: str | None = None) -> ConfigDict:
  """Returns the config: four steps, a checkpoint every two."""
  del arg
  sizes = {"vocab_size": 400, "max_length": 256, "embed_dim": 8, "mlp_dim": 16}
  config = ConfigDict(sort_keys=False)
  config.seed = 3
  config.objective = spec(CausalLM, backbone=recipe(GPT, **sizes, num_layers=2, num_heads=2))
  config.data = spec(TextData, datasets="sotu", split="train", batch_size=4, length=256)
  schedule = spec(WarmupCosine, warmup=spec(Duration, steps=1))
  config.optimizer = spec(Optimizer, learning_rate=1e-3, clip_norm=1.0, schedule=schedule)
  config.train = spec(
    Train,
    duration=spec(Duration, steps=4),
    log_every=1,
    checkpoint_every=2,
    keep=spec(Keep),
    spikes=spec(Spikes),
    tracking=spec(Tracking, tensorboard=False),
  )
  config.parallel = spec(Parallel, mesh=spec(Axes))
  config.evals = ConfigDict()
  return config
