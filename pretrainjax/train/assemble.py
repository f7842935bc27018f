"""Builds all parts of a run from its config, and checks that they fit together."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import optax
from flax import nnx
from ml_collections import ConfigDict

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config.objects import build, seed_of
from pretrainjax.errors import UserError, one_line
from pretrainjax.objectives.base import Objective
from pretrainjax.objectives.lora import adapted
from pretrainjax.objectives.split import abstract_split
from pretrainjax.ranges import LARGEST, PositiveInt, Rate, check_ranges
from pretrainjax.train.duration import Duration
from pretrainjax.train.evaluation import Opened, check_metric, open_evaluators, switched_on
from pretrainjax.train.grad_cache import Cached
from pretrainjax.train.gradient import Accumulated, Gradient, Plain
from pretrainjax.train.open_values import fill_in
from pretrainjax.train.parallel import Parallel
from pretrainjax.train.spikes import Spikes
from pretrainjax.train.state import TrainState, init_state
from pretrainjax.train.step import make_train_step
from pretrainjax.train.tracking import Tracking
from pretrainjax.types import Evaluator, check_encoder
from pretrainjax.workdir.tokenizer import check_tokenizers, data_of, tokenizer_of


@dataclasses.dataclass(frozen=True)
class Train:
  """The settings of training: its duration, its gradient, and what is saved, logged and checked.

  Attributes:
    duration: the length of the whole run.
    accumulate: the number of parts that each batch is cut into, see `gradient.Accumulated`.
    grad_cache: whether the whole batch is compared all the same, see `grad_cache.Cached`.
    ema_decay: the decay of the moving average of parameters, in [0, 1); None keeps none.
    log_every: the number of steps between two rows of metrics.
    checkpoint_every: the number of steps between two checkpoints.
    keep: which checkpoints are kept.
    max_bad_steps: the number of skipped steps in a row that ends the run.
    spikes: what a spike of the loss is, and what is done about it.
    deterministic: whether the run has the same bits each time, see `process/determinism.py`.
    tracking: the services that metrics are written to beside metrics.jsonl.
  """

  duration: Duration
  accumulate: PositiveInt = 1
  grad_cache: bool = False
  ema_decay: Rate | None = None
  log_every: PositiveInt = 50
  checkpoint_every: PositiveInt = 1000
  keep: Keep = Keep()
  max_bad_steps: PositiveInt = 10
  spikes: Spikes = Spikes()
  deterministic: bool = False
  tracking: Tracking = Tracking()

  def __post_init__(self):
    check_ranges(self)

  @property
  def gradient(self) -> Gradient:
    """The way in which a batch becomes a gradient."""
    if self.grad_cache:
      return Cached(self.accumulate)
    return Plain() if self.accumulate == 1 else Accumulated(self.accumulate)


@dataclasses.dataclass(frozen=True)
class Run:
  """All parts of a run, built from its config.

  Attributes:
    config: the config that the run was built from.
    objective: the objective that is minimised.
    data: the training data of the run.
    parallel: how devices share the work.
    train: the settings of training.
    evaluators: the evaluators that run, by name.
    left_out: why others cannot run on their data, by name.
    graphdef: the static structure of the objective's module.
    tx: the optimizer, as a transformation of gradients to updates.
    learning_rate: the learning rate as a function of the step.
    total_steps: the number of steps of the whole run.
  """

  config: ConfigDict
  objective: Objective
  data: Any
  parallel: Parallel
  train: Train
  evaluators: Mapping[str, Evaluator]
  graphdef: nnx.GraphDef
  tx: optax.GradientTransformation
  learning_rate: optax.Schedule
  total_steps: int
  left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def abstract_state(self) -> TrainState:
    """A new state with shapes in place of arrays; nothing is computed, and it is traced once."""
    return jax.eval_shape(self.init)

  def init(self) -> TrainState:
    """Makes a new state; to be called under jit, see `Parallel.make`."""
    with_ema = self.train.ema_decay is not None
    return init_state(self.objective, self.tx, seed=self.config.seed, with_ema=with_ema)

  def step(self) -> Callable:
    """Makes the function of a training step, to be compiled by `Parallel.program`."""
    return make_train_step(
      self.objective,
      self.graphdef,
      self.tx,
      learning_rate=self.learning_rate,
      total_steps=self.total_steps,
      gradient=self.train.gradient,
      ema_decay=self.train.ema_decay,
      spikes=self.train.spikes,
    )

  def module(self, state: TrainState) -> nnx.Module:
    """The objective's module with a state's arrays, the averaged weights where there are any."""
    params = state.params if state.ema is None else state.ema
    return nnx.merge(self.graphdef, params, state.extras)


def assemble(
  config: ConfigDict,
  *,
  num_examples: int | None = None,
  prepared: Any = None,
  allow: tuple[str, ...] = (),
) -> Run:
  """Builds and checks all parts of a config, before anything slow is done.

  Args:
    config: the config of the run, with the keys seed, objective, lora, data, optimizer, train,
      parallel and evals. What it leaves open is filled in, in a copy, which the run keeps.
    num_examples: the number of training examples; None asks the data, which then must be there.
    prepared: the facts of the data, see `open_values.fill_in`.
    allow: the packages beside ours whose classes the config may name, see `config.allowed.resolve`;
      binaries say `ANYTHING`, since the user wrote what they are given.

  Returns:
    The run.

  Raises:
    UserError: for parts that do not fit together.
  """
  _check_keys(config)
  seed_of(config)
  config = fill_in(config, prepared=prepared, checks_data=num_examples is None, allow=allow)
  keys = ("objective", "lora", "data", "optimizer", "train", "parallel", "evals")
  named = {key: config[key] for key in keys if key in config} | {
    "train": _switched_off(config.train)
  }
  parts = {key: build(value, path=f"config.{key}", allow=allow) for key, value in named.items()}
  parts["objective"] = adapted(parts["objective"], parts.get("lora"))
  parallel = parts.get("parallel") or Parallel()
  data, train = parts["data"], parts["train"]
  parallel.check_batch(data.batch_size)
  if data.batch_size % (train.accumulate * parallel.num_shards):
    raise UserError(
      f"--config.train.accumulate: found {train.accumulate}, expected a divisor of the batch of "
      f"{data.batch_size // parallel.num_shards} examples a device"
    )
  train.gradient.check(parts["objective"])
  is_there = num_examples is None
  if num_examples is None:
    num_examples = data.num_examples
    parts["objective"].check(data)
  sizes = {"batch_size": data.batch_size, "num_examples": num_examples}
  with _told_as("config.train.duration"):
    total_steps = train.duration.in_steps(**sizes)
  graphdef, params, extras = abstract_split(parts["objective"])
  module = nnx.merge(graphdef, params, extras)
  check_encoder(parts["objective"].encoder(module), key="config.objective.backbone")
  opened = Opened(switched_on(parts.get("evals")), {})
  if is_there:
    opened = _open_evaluators(opened.evaluators, parts, module=module)
  with _told_as("config.optimizer"):
    tx, learning_rate = parts["optimizer"].build(params, total_steps=total_steps, **sizes)
  return Run(
    config=config,
    objective=parts["objective"],
    data=data,
    parallel=parallel,
    train=train,
    evaluators=opened.evaluators,
    left_out=opened.left_out,
    graphdef=graphdef,
    tx=_only_trained(tx, parts["objective"], params),
    learning_rate=learning_rate,
    total_steps=total_steps,
  )


def _open_evaluators(
  evaluators: Mapping[str, Evaluator], parts: Mapping[str, Any], *, module: nnx.Module
) -> Opened:
  """Opens what evaluators read, and refuses what they could not measure."""
  encoder, data = parts["objective"].encoder(module), parts["data"]
  opened = open_evaluators(evaluators, encoder=encoder, module=module)
  check_metric(parts["train"].keep.metric, opened)
  if (tokenizer := tokenizer_of(data)) is not None:  # or they would measure nothing
    others = data_of(opened.evaluators)
    check_tokenizers(others, tokenizer)
  return opened


def _check_keys(config: ConfigDict) -> None:
  """Refuses a config without a part that every run needs."""
  for key in ("seed", "objective", "data", "optimizer", "train"):
    if key not in config:
      raise UserError(f"--config: get_config() sets no '{key}'")
    if config[key] is None:
      raise UserError(f"--config.{key}: found None, which every run needs")


def _switched_off(train: ConfigDict) -> dict[str, Any]:
  """The settings of training, where what is None is switched off: no tracking, all steps stay."""
  off = {
    "keep": Keep(last=LARGEST),
    "spikes": Spikes(action="off"),
    "tracking": Tracking(tensorboard=False),
  }
  return {key: off.get(key) if train[key] is None else train[key] for key in train}


@contextlib.contextmanager
def _told_as(key: str) -> Iterator[None]:
  """Turns the ValueError of a part that does not fit the others into the user's mistake."""
  try:
    yield
  except ValueError as error:
    raise UserError(f"{key}: {one_line(error)}") from error


def _only_trained(
  tx: optax.GradientTransformation, objective: Objective, params: Any
) -> optax.GradientTransformation:
  """Keeps the optimizer, weight decay included, away from what the objective holds fixed."""
  labels = jax.tree_util.tree_map_with_path(
    lambda path, _: "train" if objective.is_trained(tuple(k.key for k in path)) else "hold", params
  )
  if "hold" not in jax.tree.leaves(labels):
    return tx
  return optax.partition({"train": tx, "hold": optax.set_to_zero()}, labels)
