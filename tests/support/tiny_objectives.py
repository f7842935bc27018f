"""Tiny objectives and how to step them."""

import functools
import types

import jax
import numpy as np
import optax
from fake_sounds import BLANK, END, FIRST, SPECIAL_IDS, TinySound
from fake_texts import TinyText, random_texts
from flax import nnx

from pretrainjax.augment.color import ColorAugment
from pretrainjax.models.bert import BERT
from pretrainjax.models.decoder import MAEDecoder
from pretrainjax.models.gpt import GPT
from pretrainjax.models.heads import Head, Pooler, Projector
from pretrainjax.models.lm_head import MaskedLMHead
from pretrainjax.models.resnet import ResNet
from pretrainjax.models.t5 import T5Decoder, T5Encoder
from pretrainjax.models.vit import ViT
from pretrainjax.models.whisper import WhisperDecoder
from pretrainjax.objectives.autoregressive.causal_lm import CausalLM
from pretrainjax.objectives.joint.simclr import SimCLR
from pretrainjax.objectives.joint.simcse import SimCSE
from pretrainjax.objectives.masked.electra import Electra
from pretrainjax.objectives.masked.mae import MAE
from pretrainjax.objectives.masked.masked_lm import MaskedLM
from pretrainjax.objectives.masked.span_corruption import SpanCorruption
from pretrainjax.objectives.split import abstract_split, split
from pretrainjax.objectives.supervised.attention_ctc import AttentionCTC
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.objectives.supervised.ctc import CTC
from pretrainjax.objectives.supervised.question_answering import QuestionAnswering
from pretrainjax.objectives.supervised.token_classification import TokenClassification

KEY = jax.random.key(1)
EMBED_DIM, NUM_CLASSES = 16, 4
VOCAB_SIZE, LENGTH = 29, 12


def vit(**changes):
  sizes = {"embed_dim": EMBED_DIM, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}
  return functools.partial(ViT, image_size=8, patch_size=2, **sizes, **changes)


def small_resnet(*, rngs):
  """One block of ResNet-18, which compiles in a tenth of the time."""
  # Without zero_init_last the residual branch has a gradient from the start.
  stages = {"depth": None, "counts": (1,), "widths": (64,), "bottleneck": False}
  return ResNet(**stages, stem="cifar", zero_init_last=False, rngs=rngs)


def mae(backbone=None, decoder=None, **changes):
  sizes = {"grid": (4, 4), "patch_dim": 12, "encoder_dim": EMBED_DIM, "embed_dim": 16}
  sizes |= {"num_layers": 1, "num_heads": 2} | (decoder or {})
  return MAE(backbone=backbone or vit(), decoder=functools.partial(MAEDecoder, **sizes), **changes)


def simclr(backbone=None, in_dim=EMBED_DIM, augment=None, temperature=0.5):
  projector = functools.partial(Projector, in_dim=in_dim, hidden_dim=16, out_dim=8)
  return SimCLR(
    backbone=backbone or vit(), projector=projector, augment=augment, temperature=temperature
  )


def classification(backbone=None, head=None, **changes):
  sizes = {"in_dim": EMBED_DIM, "num_classes": NUM_CLASSES, "init_std": 0.02} | (head or {})
  return Classification(
    backbone=backbone or vit(),
    head=functools.partial(Head, **sizes),
    num_classes=NUM_CLASSES,
    **changes,
  )


def bert(**changes):
  sizes = {"vocab_size": VOCAB_SIZE, "max_length": LENGTH, "embed_dim": EMBED_DIM}
  sizes |= {"num_layers": 2, "num_heads": 2, "mlp_dim": 32}
  return functools.partial(BERT, **(sizes | changes))


def masked_lm(backbone=None, head=None, **changes):
  sizes = {"embed_dim": EMBED_DIM, "vocab_size": VOCAB_SIZE} | (head or {})
  return MaskedLM(
    backbone=backbone or bert(), head=functools.partial(MaskedLMHead, **sizes), **changes
  )


def electra(backbone=None, generator=None, head=None, detector=None, **changes):
  generator = {"embed_dim": 8, "mlp_dim": 16, "embedding_dim": EMBED_DIM} | (generator or {})
  head = {"embed_dim": 8, "embedding_dim": EMBED_DIM, "vocab_size": VOCAB_SIZE} | (head or {})
  detector = {"in_dim": EMBED_DIM, "num_classes": 1, "hidden_dim": EMBED_DIM} | (detector or {})
  return Electra(
    backbone=backbone or bert(),
    generator=bert(**generator),
    head=functools.partial(MaskedLMHead, **head),
    detector=functools.partial(Head, activation="gelu", init_std=0.02, **detector),
    **changes,
  )


def texts(batch_size=8, *, seed=0):
  """A batch of two documents a row, of different lengths, wrapped in 2 and 3, with padding."""
  rng = np.random.default_rng(seed)
  tokens, segments = np.zeros((2, batch_size, LENGTH), np.int32)
  for row in range(batch_size):
    first, second = 4 + row % 3, 3 + row % 2
    for start, length, document in ((0, first, 1), (first, second, 2)):
      words = rng.integers(5, VOCAB_SIZE, length - 2)
      tokens[row, start : start + length] = [2, *words, 3]
      segments[row, start : start + length] = document
  return {"tokens": tokens, "segments": segments}


def causal_lm(chunk_size=40, **changes):
  sizes = {"vocab_size": VOCAB_SIZE, "max_length": LENGTH, "embed_dim": EMBED_DIM}
  sizes |= {"num_layers": 2, "num_heads": 2, "mlp_dim": 32}
  return CausalLM(backbone=functools.partial(GPT, **(sizes | changes)), chunk_size=chunk_size)


def simcse(backbone=None, embed_dim=EMBED_DIM, **changes):
  projector = functools.partial(Pooler, embed_dim=embed_dim)
  return SimCSE(backbone=backbone or bert(), projector=projector, **changes)


def span_corruption(embed_dim=EMBED_DIM, **changes):
  sizes = {"vocab_size": VOCAB_SIZE, "num_layers": 1, "num_heads": 2, "head_dim": 4, "mlp_dim": 24}
  return SpanCorruption(
    backbone=functools.partial(T5Encoder, embed_dim=EMBED_DIM, **sizes),
    decoder=functools.partial(T5Decoder, embed_dim=embed_dim, **sizes),
    **({"noise_density": 0.3, "mean_span_length": 2.0} | changes),
  )


def tagging(head=None):
  sizes = {"in_dim": 8, "num_classes": 3, "init_std": 0.5} | (head or {})
  return TokenClassification(
    backbone=TinyText, head=functools.partial(Head, **sizes), num_classes=3
  )


def tagged(batch_size=6):
  """Texts whose words have a class by their number; what is special has none."""
  texts = random_texts(batch_size)
  tags = texts["tokens"] % 3
  tags[(texts["segments"] == 0) | (texts["tokens"] < 5)] = -1
  return texts | {"tags": tags}


def recognition(head=None, rate=0.0, kind=CTC, **changes):
  """Sounds of four letters, see `fake_sounds.spoken`."""
  arguments = {"vocab_size": FIRST + 4, "blank_id": BLANK, "special_ids": SPECIAL_IDS} | changes
  sizes = {"in_dim": EMBED_DIM, "num_classes": arguments["vocab_size"], "init_std": 0.5}
  return kind(
    backbone=functools.partial(TinySound, embed_dim=EMBED_DIM, rate=rate),
    head=functools.partial(Head, **(sizes | (head or {}))),
    **arguments,
  )


def attention_ctc(decoder=None, **changes):
  """As `recognition`, with a decoder beside the head."""
  sizes = {"vocab_size": FIRST + 4, "max_length": 12, "embed_dim": EMBED_DIM, "num_layers": 1}
  sizes |= {"num_heads": 2, "mlp_dim": 32, "end_id": END, "hears_padding": False, "init_std": 0.2}
  decoder = functools.partial(WhisperDecoder, **(sizes | (decoder or {})))
  return recognition(kind=AttentionCTC, decoder=decoder, **changes)


def answering(head=None, **changes):
  sizes = {"in_dim": EMBED_DIM, "num_classes": 2, "init_std": 0.5} | (head or {})
  # A new network gives nearly the same [CLS] for all rows, and their spread is that of rounding.
  return QuestionAnswering(
    backbone=bert(num_layers=1, pool="mean"), head=functools.partial(Head, **sizes), **changes
  )


def asked(batch_size=6):
  """Questions and contexts in rows with padding; every third has no answer, one nobody knows."""
  texts = random_texts(batch_size, length=LENGTH, shortest=8, vocab_size=VOCAB_SIZE)
  texts["types"] = texts["segments"] * (np.arange(LENGTH) > 3)
  ends = texts["segments"].sum(axis=1)
  last = np.minimum(4 + np.arange(batch_size) % 5, ends - 2)
  span = np.stack([np.full(batch_size, 4), last], axis=1).astype(np.int32)
  span[::3] = 0
  span[-1] = -1
  return texts | {"span": span}


def augment():
  return ColorAugment(0.4, 0.4, 0.4, 0.1, gray_probability=0.2, blur_probability=0.5)


def images(batch_size=8, *, views=0, seed=0):
  shape = (batch_size, views, 8, 8, 3) if views else (batch_size, 8, 8, 3)
  return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def labels(batch_size=8):
  return np.arange(batch_size, dtype=np.int32) % NUM_CLASSES


# Compiling for speed takes longer than these tests run.
jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
_cache = {}


def once(make):
  """Calls `make(objective)` once for objectives that print alike: partials have no equality."""

  @functools.wraps(make)
  def cached(objective):
    name = (make.__name__, repr(objective))
    if name not in _cache:
      _cache[name] = make(objective)
    return _cache[name]

  return cached


@once
def start(objective):
  """(params, extras) of a new module, and its graphdef."""
  graphdef, _, _ = abstract_split(objective)
  return jit(lambda: split(objective.init(rngs=nnx.Rngs(0)))[1:])(), graphdef


def loss_fn(objective):
  """(params, extras, batch, key) -> loss, (metrics, new extras); not jitted."""
  _, graphdef = start(objective)

  def fn(params, extras, batch, key):
    module = nnx.merge(graphdef, params, extras)
    loss, metrics = objective.loss(module, batch, rngs=nnx.Rngs(key), step=0)
    return loss, (metrics, split(module)[2])

  return fn


def gradient_fn(objective):
  """(params, extras, batch, key) -> gradient, (metrics, new extras); not jitted."""
  return jax.grad(loss_fn(objective), has_aux=True)


@once
def jitted_loss(objective):
  return jit(loss_fn(objective))


@once
def jitted_gradient(objective):
  return jit(gradient_fn(objective))


def metrics_of(objective, batch, key=KEY):
  """Metrics of a new module, without its gradient."""
  return jitted_loss(objective)(*start(objective)[0], batch, key)[1][0]


def run(objective, batch, key=KEY):
  """One pass of a new module: params, gradient, metrics, new extras."""
  (params, extras), graphdef = start(objective)
  gradient, (metrics, extras) = jitted_gradient(objective)(params, extras, batch, key)
  return types.SimpleNamespace(
    graphdef=graphdef, params=params, gradient=gradient, metrics=metrics, extras=extras
  )


def call(done, fn, *arguments):
  """fn(module, *arguments), jitted, for the module of `run`."""

  def merged(params, extras, *arguments):
    return fn(nnx.merge(done.graphdef, params, extras), *arguments)

  return jit(merged)(done.params, done.extras, *arguments)


def overfit(objective, batch, *, num_steps=60, learning_rate=1e-2):
  """Metrics before the first and before the last of a few Adam steps on one batch and key."""
  (params, extras), _ = start(objective)
  tx = optax.adam(learning_rate)

  @jit
  def update(params, opt_state, gradient):
    with jax.numpy_dtype_promotion("standard"):
      updates, opt_state = tx.update(gradient, opt_state, params)
    return optax.apply_updates(params, updates), opt_state

  opt_state, history = tx.init(params), []
  for _ in range(num_steps):
    gradient, (metrics, extras) = jitted_gradient(objective)(params, extras, batch, KEY)
    params, opt_state = update(params, opt_state, gradient)
    history.append({k: float(v) for k, v in metrics.items()})
  return history[0], history[-1]


def without_gradient(gradient):
  """Paths of parameters whose gradient is zero everywhere."""
  leaves = jax.tree.leaves_with_path(gradient)
  return {jax.tree_util.keystr(p, simple=True, separator=".") for p, g in leaves if not g.any()}
