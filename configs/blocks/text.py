"""What the configs of text share: data, models for two CPU cores, and how they are evaluated.

What is None follows from the network or the data, see docs/configs.md.
"""

from ml_collections import ConfigDict

from configs.blocks import training
from pretrainjax.config import recipe, spec
from pretrainjax.data.text_data import TextData
from pretrainjax.evaluators.alignment import Alignment
from pretrainjax.evaluators.perplexity import Perplexity
from pretrainjax.evaluators.retrieval import Retrieval
from pretrainjax.models.bert import BERT
from pretrainjax.models.gpt import GPT
from pretrainjax.models.heads import Head, Pooler
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.train.optimizer import Optimizer
from pretrainjax.train.schedule import WarmupCosine, WarmupLinear

LENGTH = 128
GPT_LENGTH = 256
EMBED_DIM = 128
# Steps between two looks at what a fine-tuning's checkpoint is chosen by.
EVERY = 100


def data(
  *, datasets: str, batch_size: int, length: int | None = LENGTH, split: str = "train", **changes
) -> ConfigDict:
  """A prepared set of text, kept in memory; length None is that of the training data."""
  return spec(
    TextData,
    datasets=datasets,
    split=split,
    batch_size=batch_size,
    length=length,
    **({"cache": "memory"} | changes),
  )


def still(datasets: str, *, smoke: bool, split: str = "train", **changes) -> ConfigDict:
  """A set as it is, for evaluation, or some of it."""
  options = {"split": f"{split}[:64]" if smoke else split, "batch_size": 16 if smoke else 100}
  return data(datasets=datasets, length=None, **(options | changes))


def judged(
  datasets: str,
  evaluator: type,
  *,
  smoke: bool,
  pair: str = "joint",
  every: int = EVERY,
  batch_size: int = 100,
  **options,
) -> ConfigDict:
  """Evaluators of fine-tuning: "validation" to choose by, while training, and "test" at the end."""
  size = {"batch_size": 16 if smoke else batch_size, "pair": pair}
  held = still(datasets, smoke=smoke, part="held_out", **size)
  test = still(datasets, smoke=smoke, split="test", **size)
  return ConfigDict(
    {
      "validation": spec(evaluator, data=held, every=0 if smoke else every, **options),
      "test": spec(evaluator, data=test, **options),
    }
  )


def corpus(*, length: int, batch_size: int, smoke: bool, **changes) -> ConfigDict:
  """A corpus of one's own, `prepare text --name=corpus`, too large for memory."""
  sizes = {"length": 64 if smoke else length, "batch_size": 8 if smoke else batch_size}
  return data(datasets="corpus", **sizes, cache="none", num_threads=8, **changes)


def embed_dim(smoke: bool) -> int:
  """Width of `bert`."""
  return 16 if smoke else EMBED_DIM


def bert(smoke: bool = False, **changes) -> ConfigDict:
  """A BERT that two CPU cores train in minutes: 4 layers of 128, 1.9 M parameters."""
  width = embed_dim(smoke)
  sizes = {"embed_dim": width, "num_layers": 2 if smoke else 4, "num_heads": 2}
  sizes |= {"mlp_dim": 4 * width, "unroll": 4}
  return recipe(BERT, vocab_size=None, **({"max_length": LENGTH} | sizes | changes))


def gpt(smoke: bool = False, **changes) -> ConfigDict:
  """A GPT that two CPU cores train in a quarter of an hour: 4 layers of 192, 3.4 M parameters."""
  width = 16 if smoke else 192
  sizes = {"embed_dim": width, "num_layers": 2 if smoke else 4, "num_heads": 2 if smoke else 3}
  sizes |= {"mlp_dim": 4 * width, "unroll": 4}
  return recipe(GPT, vocab_size=None, **({"max_length": GPT_LENGTH} | sizes | changes))


# What fine-tuning changes in a `bert`: the paper's dropout, which pretraining does without.
DROPOUT = {"dropout": 0.1, "attention_dropout": 0.1}


def masked_lm_head(**changes) -> ConfigDict:
  """The head of masked language models."""
  return recipe(MaskedLMHead, embed_dim=None, vocab_size=None, **changes)


def detector(width: int) -> ConfigDict:
  """The head of ELECTRA's discriminator."""
  hidden = {"hidden_dim": width, "activation": "gelu", "init_std": 0.02}
  return recipe(Head, in_dim=None, num_classes=1, **hidden)


def classifier(num_classes: int | None = None) -> ConfigDict:
  """BERT's classification head: dropout and a linear layer; by default for the data's classes."""
  return recipe(Head, in_dim=None, num_classes=num_classes, init_std=0.02, dropout=0.1)


def language_model_evals(*, head: str, every: int, smoke: bool = False) -> ConfigDict:
  """While training: how well validation text is predicted; the test split is for `evaluate`."""
  held_out = data(
    datasets="sotu",
    split="validation[:16]" if smoke else "validation",
    batch_size=8 if smoke else 32,
    length=None,
  )
  return ConfigDict({"held_out": spec(Perplexity, data=held_out, head=head, every=every)})


def pooler() -> ConfigDict:
  """What SimCSE puts on top in training."""
  return recipe(Pooler, embed_dim=None)


def pair_evals(*, datasets: str, split: str, batch_size: int = 500, every: int = 0) -> ConfigDict:
  """Retrieval of the second text by the first and back, alignment and uniformity."""
  pairs = data(datasets=datasets, split=split, batch_size=batch_size, length=None, pair="views")
  return ConfigDict(
    {
      "retrieval": spec(Retrieval, data=pairs, every=every),
      "alignment": spec(Alignment, data=pairs, every=every),
    }
  )


def language_model_optimizer(learning_rate: float, *, warmup: int) -> ConfigDict:
  """nanoGPT's: AdamW, clipped, to a tenth by half a cosine."""
  return spec(
    Optimizer,
    learning_rate=learning_rate,
    weight_decay=0.1,
    b2=0.95,
    clip_norm=1.0,
    schedule=spec(WarmupCosine, warmup=training.steps(warmup), final=0.1),
  )


def own(datasets: str, *, smoke: bool, buckets: int = 4, **changes) -> ConfigDict:
  """What a set of one's own is fine-tuned on: all but what is held out to choose by."""
  size = {"batch_size": 8 if smoke else 32, "buckets": 1 if smoke else buckets}
  return data(datasets=datasets, part="fit", **size, **changes)


def finetuning(
  *, smoke: bool, learning_rate: float = 5e-4, warmup: float = 0.1, **parts
) -> ConfigDict:
  """A run of three epochs by `finetuning_optimizer`; the other parts as for `training.run`."""
  return training.run(
    optimizer=finetuning_optimizer(learning_rate, warmup=warmup),
    duration=training.steps(2) if smoke else training.epochs(3),
    log_every=1 if smoke else 20,
    **parts,
  )


def finetuning_optimizer(learning_rate: float, *, warmup: float) -> ConfigDict:
  """BERT's: AdamW and linear decay after a warmup of so many epochs."""
  return spec(
    Optimizer,
    learning_rate=learning_rate,
    weight_decay=0.01,
    clip_norm=1.0,
    schedule=spec(WarmupLinear, warmup=training.epochs(warmup)),
  )
