"""What every objective is: hyper-parameters, a module to make, a loss to lower."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

from flax import nnx
from jaxtyping import Array, Float, Int, Key

from pretrainjax.errors import UserError
from pretrainjax.types import Batch, Encoded, Encoder, Metrics


class Alarm(NamedTuple):
  """When a metric is a sign that something is wrong.

  Attributes:
    below: the least healthy value.
    says: what is wrong then, for a person.
  """

  below: float
  says: str


class Towers(nnx.Module):
  """An objective's networks by name: `module.encoder` and what it trains beside it."""

  encoder: Any

  def __init__(self, **networks: nnx.Module):
    for name, network in networks.items():
      setattr(self, name, network)


class Objective:
  """Base of all objectives: frozen dataclasses of hyper-parameters, which hold no arrays.

  The field that makes the encoder is called `backbone` (`backbone(rngs=rngs)` -> Encoder).

  Attributes:
    recipes: which argument makes a part, where it has not the part's name.
    inherited: parts that a new run takes of another one where none is named.
    alarms: metrics that warn once where a row of metrics is below what is healthy, by name.
    borrowed: parts that have to come from another run, such as a frozen teacher.
  """

  recipes: ClassVar[Mapping[str, str]] = {"encoder": "backbone"}
  inherited: ClassVar[tuple[str, ...]] = ("encoder",)
  borrowed: ClassVar[tuple[str, ...]] = ()
  alarms: ClassVar[Mapping[str, Alarm]] = {}

  def init(self, *, rngs: nnx.Rngs) -> nnx.Module:
    """Makes everything that has parameters or state.

    Args:
      rngs: keys for the initial parameters.

    Returns:
      A module whose attribute `encoder` is by convention the encoder.
    """
    raise NotImplementedError

  def loss(
    self,
    module: nnx.Module,
    batch: Batch,
    *,
    rngs: nnx.Rngs,
    step: int | Int[Array, ""],
  ) -> tuple[Float[Array, ""], Metrics]:
    """Scores `module` on this device's rows.

    Args:
      module: what `init` made; batch statistics in it are updated in place.
      batch: arrays by name, see `pretrainjax.types.Batch`.
      rngs: the step's keys, equal on all devices.
      step: steps taken so far.

    Returns:
      The mean loss over this device's examples, and scalars to log, "loss" among them. The mean
      of each over devices is the value of the whole batch.
    """
    raise NotImplementedError

  def check(self, data: Any) -> None:
    """Refuses training data that does not fit the objective, before anything is trained.

    Args:
      data: the training data, a `Pipeline`.

    Raises:
      UserError: naming the config's key, what was found and what is expected.
    """
    del data

  def after_update(
    self, module: nnx.Module, *, step: int | Int[Array, ""], progress: float | Float[Array, ""]
  ) -> None:
    """Changes `module` in place once the optimizer has: a teacher (`teacher.follow`), a queue.

    Args:
      module: the module, its parameters updated.
      step: steps taken before this one.
      progress: the same as a share of the run's total steps, in [0, 1]; for schedules.
    """

  @property
  def first_batches(self) -> int:
    """The batches that `learn_first` wants; 0 where nothing is learnt before step 1."""
    return 0

  def learn_first(self, module: nnx.Module, batches: Iterator[Batch], key: Key[Array, ""]) -> None:
    """Changes `module` in place before step 1 by what is learnt from the data: cluster centres.

    Args:
      module: the module with its first arrays, after what was loaded of other runs.
      batches: `first_batches` whole batches of the training data, in the order of training.
      key: for what is drawn, the same in all processes.
    """

  def encoder(self, module: nnx.Module) -> Encoder:
    """The encoder that fine-tuning, evaluation, prediction and export keep of `module`."""
    return module.encoder

  def parts(self, module: nnx.Module) -> dict[str, nnx.Module]:
    """The networks that other runs may take of `module`, by name.

    Args:
      module: the module that `init` made.

    Returns:
      "encoder", and what else `module` has. Objectives without one encoder, such as those with a
      tower for texts and one for images, say here which networks they have.
    """
    networks = {k: v for k, v in vars(module).items() if isinstance(v, nnx.Module)}
    return networks | {"encoder": self.encoder(module)}

  def predictions(self, module: nnx.Module, encoded: Encoded) -> dict[str, Float[Array, "B *N"]]:
    """What the networks beside the encoder make of encoded inputs, by name: "logits" of classes.

    An exported program returns it beside the features.

    Args:
      module: the module, as of `init`.
      encoded: the features that its encoder made.
    """
    del module, encoded
    return {}

  def after_load(self, module: nnx.Module) -> None:
    """Changes `module` in place once parts of other runs are in it: a teacher starts from them."""

  def is_trained(self, path: tuple[str, ...]) -> bool:
    """Whether the optimizer may change a parameter; weight decay would move a frozen one too.

    Args:
      path: names from the module down to the parameter, such as ("encoder", "norm", "scale").
    """
    del path
    return True


class WholeBatchObjective(Objective):
  """Base of objectives whose loss compares the examples of a whole batch, in two stages.

  Contrastive losses do, and those over the statistics of a batch. What is costly comes first, row
  by row: so a batch can be encoded in parts and still be compared as a whole (gradient cache,
  arXiv 2101.06983), see `train/grad_cache.py`.
  """

  def represent(
    self,
    module: nnx.Module,
    batch: Batch,
    *,
    rngs: nnx.Rngs,
    step: int | Int[Array, ""],
  ) -> dict[str, Float[Array, "B *F"]]:
    """Encodes rows, each of them by itself (but for batch statistics); arguments as of `loss`."""
    raise NotImplementedError

  def compare(
    self, module: nnx.Module, found: dict[str, Float[Array, "B *F"]]
  ) -> tuple[Float[Array, ""], Metrics]:
    """Compares what `represent` found of the whole batch; returns as `loss` does."""
    raise NotImplementedError

  def loss(
    self, module: nnx.Module, batch: Batch, *, rngs: nnx.Rngs, step: int | Int[Array, ""]
  ) -> tuple[Float[Array, ""], Metrics]:
    return self.compare(module, self.represent(module, batch, rngs=rngs, step=step))


def expect(key: str, found: Any, expected: Any) -> None:
  """Refuses networks that do not fit together.

  Args:
    key: the config's argument that may be wrong, such as "objective.head.in_dim".
    found: the value that it has.
    expected: what the backbone or the objective asks for.
  """
  if found != expected:
    raise UserError(f"config.{key}: found {found}, expected {expected} to fit the rest")
