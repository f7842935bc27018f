"""What the configs for sound share: prepared by `prepare audio_folder`, or a packaged set.

What is None follows from the data: the longest sound, classes, the vocabulary of transcripts.
"""

from ml_collections import ConfigDict

from pretrainjax.config import recipe, spec
from pretrainjax.data.audio_data import AudioData
from pretrainjax.evaluators.collapse import Collapse
from pretrainjax.models.conformer import Conformer, conformer_size
from pretrainjax.models.spectrogram_vit import SpectrogramViT
from pretrainjax.models.wav2vec2 import Wav2Vec2

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


# A sound of ten seconds is 1,024 frames long, as AudioMAE has it; those of the small form are short
# words, so that its patches are of 80 ms.
VITS = {
  None: {"embed_dim": 192, "num_layers": 4, "num_heads": 3, "mlp_dim": 768, "patch_size": 8},
  "base": {"embed_dim": 768, "num_layers": 12, "num_heads": 12, "mlp_dim": 3072, "num_mels": 128},
  "smoke": {"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32, "patch_size": 4},
}
# The spectrogram of the paper's code, by the mean and twice the deviation of AudioSet.
AUDIO_SET = {"normalise": "fixed", "mean": -4.2677393, "std": 9.1379948, "num_prefix": 1}


def spectrogram_vit(form: str | None, **changes) -> ConfigDict:
  """The encoder on patches of a form: small, "base" (ViT-B/16 as of AudioMAE), or "smoke"."""
  options = {"num_mels": NUM_MELS[form], "length": 112 if form == "smoke" else 1024}
  options |= VITS[form]
  if form == "base":
    options |= AUDIO_SET | {"dtype": "bfloat16"}
  else:
    options["unroll"] = options["num_layers"]
  return recipe(SpectrogramViT, **(options | changes))


WAVEFORMS = {
  None: {"embed_dim": 144, "num_layers": 4, "num_heads": 4, "mlp_dim": 576, "conv_dims": (96,) * 7},
  "base": {"dropout": 0.1, "attention_dropout": 0.1, "feature_dropout": 0.1, "dtype": "bfloat16"},
  "smoke": {
    **{"embed_dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32, "position_groups": 2},
    **{"conv_dims": (8, 8), "conv_sizes": (20, 20), "conv_strides": (20, 16)},
  },
}


def wav2vec2(form: str | None, **changes) -> ConfigDict:
  """The encoder of waveforms of a form: small, "base" (wav2vec 2.0's), or "smoke"."""
  options = {"position_size": {None: 64, "base": 128, "smoke": 4}[form], **WAVEFORMS[form]}
  if form != "base":
    options["unroll"] = options["num_layers"]
  return recipe(Wav2Vec2, **(options | changes))


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


def collapse(form: str | None) -> ConfigDict:
  """The evaluators of pretraining without labels: whether features still differ from each other."""
  held = still(form, part="held_out")
  return ConfigDict({"collapse": spec(Collapse, data=held, every=0 if form == "smoke" else 500)})
