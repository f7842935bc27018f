"""Networks that another library trained, by name, without an objective of ours."""

import dataclasses
from collections.abc import Callable

from flax import nnx
from jaxtyping import Array, Float, Int

from pretrainjax.errors import UserError
from pretrainjax.models.causal import CausalModel
from pretrainjax.models.heads import CTCHead, Head
from pretrainjax.objectives.base import Objective, Towers
from pretrainjax.objectives.image_text import ImageTextObjective
from pretrainjax.types import Batch, Encoded, Metrics


@dataclasses.dataclass(frozen=True)
class Imported(Objective):
  """Networks that another library trained: other runs take them by name, but none goes on so.

  Args:
    backbone: makes the encoder.
    head: makes what scores its features or tokens, a `MaskedLMHead`, a `Head` or a `CTCHead`.
    decoder: makes the network behind the encoder, a `MAEDecoder` or a `T5Decoder`.
    detector: makes ELECTRA's detector of replaced tokens, a `Head`.
    pooler: makes BERT's pooler, a `Pooler`.
    quantizer: makes the codebooks of wav2vec 2.0, a `ProductQuantizer`.
    projector: makes the layer behind one of two towers, a `Projector`.

  >>> import functools
  >>> from pretrainjax.models.mlp import MLP
  >>> objective = Imported(backbone=functools.partial(MLP, image_size=4, embed_dim=8))
  >>> sorted(objective.parts(objective.init(rngs=nnx.Rngs(0))))
  ['encoder']
  """

  backbone: Callable
  head: Callable | None = None
  decoder: Callable | None = None
  detector: Callable | None = None
  pooler: Callable | None = None
  quantizer: Callable | None = None
  projector: Callable | None = None

  def init(self, *, rngs: nnx.Rngs) -> Towers:
    makers = {
      "head": self.head,
      "decoder": self.decoder,
      "detector": self.detector,
      "pooler": self.pooler,
      "quantizer": self.quantizer,
      "projector": self.projector,
    }
    networks = {name: make(rngs=rngs) for name, make in makers.items() if make is not None}
    return Towers(encoder=self.backbone(rngs=rngs), **networks)

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, "B *N"]]:
    if isinstance(module.encoder, CausalModel):
      return {"logits": module.encoder.next_token_logits(encoded)}
    if self.projector is not None:
      return {"projected": module.projector(encoded.pooled, deterministic=True)}
    head = getattr(module, "head", None)
    if isinstance(head, CTCHead):
      return {"logits": head(encoded.tokens)}
    return {"logits": head(encoded.pooled)} if isinstance(head, Head) else {}

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    raise _trains_nothing(self)


@dataclasses.dataclass(frozen=True)
class ImportedTowers(ImageTextObjective):
  """Two towers that another library trained, CLIP's or SigLIP's; as with `Imported`, none trains.

  The arguments are those of `ImageTextObjective`.
  """

  def compare(
    self, module: nnx.Module, found: dict[str, Float[Array, "B *F"]]
  ) -> tuple[Float[Array, ""], Metrics]:
    raise _trains_nothing(self)


def _trains_nothing(objective: Objective) -> UserError:
  return UserError(
    f"config.objective: found {type(objective).__name__}, which trains nothing; take its networks "
    "into an objective with --config.init=hf:FOLDER"
  )
