"""Masked prediction of units of sound: BEST-RQ and HuBERT, which differ in what a unit is."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from pretrainjax import collectives
from pretrainjax.config.follow import Follows, equals
from pretrainjax.errors import UserError
from pretrainjax.losses.tokens import token_weights
from pretrainjax.losses.vocabulary import vocabulary_loss
from pretrainjax.masking import random_spans
from pretrainjax.models import kmeans
from pretrainjax.models.layers.frames import Frames, windows
from pretrainjax.models.layers.mfcc import WIDTH, mfcc
from pretrainjax.models.layers.stack import first_layers
from pretrainjax.models.quantizers import NearestCentroid, RandomProjectionQuantizer, perplexity
from pretrainjax.objectives.base import Alarm, Objective, Towers, expect
from pretrainjax.objectives.feature_spread import feature_std
from pretrainjax.objectives.teacher import teacher_of
from pretrainjax.ranges import NonNegativeFloat, OpenFraction, PositiveInt, check_ranges
from pretrainjax.types import Batch, Metrics, Sound

# Rows that k-means begins with, and that each later chunk has.
_CHUNK = 20_000


@dataclasses.dataclass(frozen=True)
class MaskedUnits(Objective):
  """Predicts the units of frames that the encoder does not see; the base of both.

      loss = mean over codebooks and hidden tokens of -log softmax(head(encoder(hidden)))[unit]

  Those that derive from it say what a unit is: `make_quantizer` and `rows`.

  Args:
    backbone: makes the encoder, a `SoundEncoder`.
    head: makes the scores of units, a `UnitHead`.
    stack: frames of the front end, or of MFCC, that one token of the encoder stands for.
    start_rate: the odds that a span of hidden tokens begins at a token, in (0, 1).
    span_length: tokens of a span; spans may overlap.
    hide: "noise" puts random numbers in the place of the front end's frames, "vector" the encoder's
      learned vector in that of its tokens.
    noise_std: standard deviation of the noise.
    chunk_size: most tokens whose scores are held at once; None holds all.

  >>> import functools
  >>> from pretrainjax.models.conformer import Conformer
  >>> from pretrainjax.models.unit_head import UnitHead
  >>> sizes = {"embed_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
  >>> objective = BestRQ(
  ...   backbone=functools.partial(Conformer, **sizes),
  ...   head=functools.partial(UnitHead, in_dim=8, num_codes=5),
  ...   num_codes=5,
  ... )
  >>> module = nnx.eval_shape(lambda: objective.init(rngs=nnx.Rngs(0)))
  >>> sorted(objective.parts(module))
  ['encoder', 'head', 'quantizer']
  """

  backbone: Callable
  head: Callable
  stack: PositiveInt = 4
  start_rate: OpenFraction = 0.1
  span_length: PositiveInt = 10
  hide: Literal["noise", "vector"] = "noise"
  noise_std: NonNegativeFloat = 0.1
  chunk_size: PositiveInt | None = None

  alarms: ClassVar = {
    "code_perplexity": Alarm(2.0, "the units have collapsed: nearly all frames have one"),
  }

  def __post_init__(self):
    check_ranges(self)

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    networks = {"encoder": self.backbone(rngs=rngs), "head": self.head(rngs=rngs)}
    networks |= self.make_quantizer(networks["encoder"], rngs=rngs)
    head, quantizer = networks["head"], networks["quantizer"]
    expect("objective.head.in_dim", head.in_dim, networks["encoder"].embed_dim)
    expect("objective.head.num_codes", head.num_codes, quantizer.num_codes)
    expect("objective.head.num_codebooks", head.num_codebooks, quantizer.num_codebooks)
    return Towers(**networks)

  def make_quantizer(self, encoder: nnx.Module, *, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    """The "quantizer", and what else units are made with, by name.

    Args:
      encoder: the encoder, as it was just made.
      rngs: keys for the numbers.
    """
    raise NotImplementedError

  def rows(self, module: nnx.Module, sound: Sound, frames: Frames) -> Frames:
    """What is quantised, one row a token, from the sound and the front end's frames of it."""
    raise NotImplementedError

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    del step
    sound = module.encoder.inputs(batch)
    frames = module.encoder.features(sound)
    length = module.encoder.valid(sound).shape[1]
    rows = aligned(jax.lax.stop_gradient(self.rows(module, sound, frames)), length)
    units = module.quantizer(rows.features)
    hidden = self.hidden(rngs.mask(), rows.valid)
    masked = hidden if self.hide == "vector" else None
    if self.hide == "noise":
      frames = self._noisy(rngs.mask(), frames, hidden)
    encoded = module.encoder.encode(frames, masked=masked, deterministic=False, rngs=rngs)
    counted = hidden & rows.valid & encoded.valid
    loss, correct = self._scores(module.head, encoded.tokens, units, counted)
    counts = jnp.broadcast_to(rows.valid[..., None], units.shape)
    used = [
      perplexity(units[..., c], counts[..., c], num_codes=module.head.num_codes)
      for c in range(module.head.num_codebooks)
    ]
    share = collectives.mean(jnp.sum(counted)) / jnp.maximum(
      collectives.mean(jnp.sum(rows.valid)), 1
    )
    return loss, {
      "loss": loss,
      "masked_accuracy": correct,
      "masked_share": share,
      "code_perplexity": sum(used) / len(used),
      "feature_std": feature_std(encoded.pooled),
    }

  def hidden(self, key: Key[Array, ""], valid: Bool[Array, "B N"]) -> Bool[Array, "B N"]:
    """The tokens that the encoder does not see."""
    spans = {"start_rate": self.start_rate, "span_length": self.span_length}
    return random_spans(key, valid, **spans)

  def _scores(
    self,
    head: nnx.Module,
    tokens: Float[Array, "B N D"],
    units: Int[Array, "B N C"],
    counted: Bool[Array, "B N"],
  ) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Loss and accuracy, means over codebooks and over the counted tokens of all devices."""
    weights = token_weights(counted)
    found = [
      vocabulary_loss(
        head.rows(tokens, c),
        head.codes(c),
        units[..., c],
        weights=weights,
        bias=head.offsets(c),
        chunk_size=self.chunk_size,
      )
      for c in range(head.num_codebooks)
    ]
    count = len(found)
    return sum(one.loss for one in found) / count, sum(one.correct for one in found) / count

  def _noisy(self, key: Key[Array, ""], frames: Frames, hidden: Bool[Array, "B N"]) -> Frames:
    """Frames with noise where the tokens that stand for them are hidden."""
    x = frames.features
    by_frame = jnp.repeat(hidden, self.stack, axis=1)[:, : x.shape[1]]  # B N -> B T
    by_frame = jnp.pad(by_frame, ((0, 0), (0, x.shape[1] - by_frame.shape[1])))
    keys = collectives.example_keys(key, len(x))
    noise = jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], x.dtype))(keys)
    return frames._replace(features=jnp.where(by_frame[..., None], self.noise_std * noise, x))


@dataclasses.dataclass(frozen=True)
class BestRQ(MaskedUnits):
  """BEST-RQ: units are the nearest of random codes to a random projection of unmasked frames.

  Args:
    num_codes: the number of codes of a codebook, V.
    code_dim: width of a code.
    num_codebooks: the number of random projections with a codebook each, C.

  Reference: arXiv 2202.01855; several codebooks, 2501.16131. Frames must be normalised per
  utterance, as those of our encoders are. Ours differs in that spans begin at tokens rather than
  frames, and in that each row has one at least.
  """

  num_codes: PositiveInt = 8192
  code_dim: PositiveInt = 16
  num_codebooks: PositiveInt = 1

  follows: ClassVar[Follows] = {
    "head.in_dim": equals("objective.backbone.embed_dim"),
    "head.num_codes": equals("objective.num_codes"),
    "head.num_codebooks": equals("objective.num_codebooks"),
  }

  def make_quantizer(self, encoder: nnx.Module, *, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    sizes = {"num_codes": self.num_codes, "code_dim": self.code_dim}
    made = {"in_dim": self.stack * encoder.feature_dim, "num_codebooks": self.num_codebooks}
    return {"quantizer": RandomProjectionQuantizer(**sizes, **made, rngs=rngs)}

  def rows(self, module: nnx.Module, sound: Sound, frames: Frames) -> Frames:
    return stacked(frames, self.stack)


@dataclasses.dataclass(frozen=True)
class HuBERT(MaskedUnits):
  """HuBERT: units are clusters, of the sound itself at first, then of a trained encoder's features.

  K-means runs over the training data's first batches before step 1, and is kept with the run.

  Args:
    num_codes: the number of clusters, V.
    units: what is clustered: "features" of the front end, stacked (MelHuBERT), "mfcc" (HuBERT's
      first iteration), or the tokens of a "teacher" (its later ones).
    teacher: makes the teacher's encoder, of `config.init.teacher=RUN`; None without one.
    teacher_layer: the layer whose tokens are clustered, from 1; None is the last one.
    fit_batches: the batches that k-means goes through.

  Reference: arXiv 2106.07447; on log-mel frames as MelHuBERT, 2211.09944. Units of frames that are
  not hidden have no weight in the loss (alpha = 1), as in both papers.
  """

  hide: Literal["noise", "vector"] = "vector"
  stack: PositiveInt = 2
  start_rate: OpenFraction = 0.08
  num_codes: PositiveInt = 500
  units: Literal["features", "mfcc", "teacher"] = "mfcc"
  teacher: Callable | None = None
  teacher_layer: PositiveInt | None = None
  fit_batches: PositiveInt = 100

  follows: ClassVar[Follows] = {
    "head.in_dim": equals("objective.backbone.embed_dim"),
    "head.num_codes": equals("objective.num_codes"),
  }
  borrowed: ClassVar[tuple[str, ...]] = ("teacher",)

  def __post_init__(self):
    super().__post_init__()
    if (self.units == "teacher") != (self.teacher is not None):
      raise ValueError(f"units={self.units!r}: expected 'teacher' where there is a teacher, only")

  def make_quantizer(self, encoder: nnx.Module, *, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    networks: dict[str, nnx.Module] = {}
    width = {"features": self.stack * encoder.feature_dim, "mfcc": WIDTH}.get(self.units, 0)
    if self.teacher is not None:
      networks["teacher"] = teacher_of(self.teacher(rngs=rngs))
      width = networks["teacher"].embed_dim
      if self.teacher_layer is not None:
        first_layers(networks["teacher"], self.teacher_layer)  # are there so many?
    networks["quantizer"] = NearestCentroid(in_dim=width, num_codes=self.num_codes, rngs=rngs)
    return networks

  def rows(self, module: nnx.Module, sound: Sound, frames: Frames) -> Frames:
    if self.units == "teacher":
      teacher = module.teacher
      if self.teacher_layer is not None:
        teacher = first_layers(teacher, self.teacher_layer)
      known = teacher(sound)
      return Frames(known.tokens, known.valid)
    if self.units == "mfcc":
      found = mfcc(sound)
      return Frames(found.features[:, :: self.stack], found.valid[:, :: self.stack])
    return stacked(frames, self.stack)

  @property
  def first_batches(self) -> int:
    return self.fit_batches

  def learn_first(self, module: nnx.Module, batches: Iterator[Batch], key: Key[Array, ""]) -> None:
    found = kmeans.fit(self._chunks(module, batches), key, num_codes=self.num_codes)
    module.quantizer.centroids[...] = found.centroids

  def _chunks(self, module: nnx.Module, batches: Iterator[Batch]) -> Iterator[np.ndarray]:
    """The real rows of the first batches, so many at a time."""
    graphdef, state = nnx.split(module)

    @jax.jit
    def rows_of(state, batch):
      module = nnx.merge(graphdef, state)
      sound = module.encoder.inputs(batch)
      return self.rows(module, sound, module.encoder.features(sound))

    held: list[np.ndarray] = []
    for batch in batches:
      rows = rows_of(state, batch)
      held.append(np.asarray(rows.features)[np.asarray(rows.valid)])
      if sum(map(len, held)) >= max(_CHUNK, 4 * self.num_codes):
        yield np.concatenate(held)
        held = []
    if held:
      yield np.concatenate(held)


def stacked(frames: Frames, count: int) -> Frames:
  """Lays so many frames side by side, "B T C" to "B T/count count*C".

  A row of them is real where all of its frames are.

  Args:
    frames: the frames; those that are left over at the end are left out.
    count: the frames of a row.
  """
  features = windows(frames.features, size=count, stride=count)
  length = features.shape[1]
  valid = frames.valid[:, : length * count].reshape(-1, length, count)  # B T -> B T/count count
  return Frames(features, jnp.all(valid, axis=-1))


def aligned(rows: Frames, length: int) -> Frames:
  """As many rows as the encoder has tokens: windows at the end of a row differ by one or two.

  Args:
    rows: the rows, one a token.
    length: the number of tokens.

  Raises:
    UserError: for rows that are no such ones.
  """
  found = rows.valid.shape[1]
  if abs(found - length) > 3:
    raise UserError(
      f"config.objective.stack: found a value that makes {found} units of a row, of which the "
      f"encoder makes {length} tokens; expected one unit a token"
    )
  more = max(length - found, 0)
  features = jnp.pad(rows.features, ((0, 0), (0, more), (0, 0)))[:, :length]
  return Frames(features, jnp.pad(rows.valid, ((0, 0), (0, more)))[:, :length])
