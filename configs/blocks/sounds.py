"""What the configs for sound share: prepared by `prepare audio_folder`, or a packaged set.

What is None follows from the data: the longest sound, classes, the vocabulary of transcripts.
"""

from ml_collections import ConfigDict

from pretrainjax.config import recipe, spec
from pretrainjax.data.audio_data import AudioData
from pretrainjax.models.conformer import Conformer, conformer_size

# A Conformer that two CPU cores train in minutes on prompts of a few seconds.
SMALL = {"embed_dim": 144, "num_layers": 4, "num_heads": 4, "mlp_dim": 576, "conv_size": 15}
TINY = {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32, "conv_size": 3}
FORMS = (None, "base", "smoke")
# Of the small form's spectrogram; "base" has the 80 of speech recipes.
NUM_MELS = {None: 80, "base": 80, "smoke": 16}
# Of pretraining: crops of so many seconds, of one of so many lengths, each a program to compile.
CROPS = {
  None: {"max_seconds": 8.0, "buckets": 4},
  "base": {"max_seconds": 16.0, "buckets": 8},
  "smoke": {"buckets": 1},
}


def conformer(form: str | None, **changes) -> ConfigDict:
  """The encoder of a form: small, "base" (BEST-RQ's in SpeechBrain's recipe), or "smoke"."""
  sizes = {None: SMALL, "smoke": TINY}.get(form) or conformer_size("B")
  options = {"dtype": "bfloat16", "dropout": 0.1} if form == "base" else {}
  unroll = {} if form == "base" else {"unroll": sizes["num_layers"]}
  mels = {"num_mels": NUM_MELS[form]}
  return recipe(Conformer, **mels, **sizes, **(options | unroll | changes))


def data(form: str | None, *, datasets: str = "sounds", batch_size: int, **changes) -> ConfigDict:
  """Sound, kept in memory unless there is much of it; rows of a few lengths in training."""
  options = {"cache": "none", "num_threads": 16} if form == "base" else {"cache": "memory"}
  if form == "smoke":
    changes |= {"max_seconds": 1.0}
  return spec(
    AudioData,
    datasets=datasets,
    batch_size=8 if form == "smoke" else batch_size,
    **(options | changes),
  )


def still(form: str | None, *, datasets: str = "sounds", **changes) -> ConfigDict:
  """Sounds as they are, for evaluation."""
  longest = {"max_seconds": 1.0 if form == "smoke" else None}
  options = {"crop": "start", "cache": "memory"} | longest
  size = 8 if form == "smoke" else 64
  return spec(AudioData, datasets=datasets, batch_size=size, **(options | changes))
