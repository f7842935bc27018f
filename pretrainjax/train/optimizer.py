"""The optimizers: optax's, made to see stacked layers as layers."""

import dataclasses
from typing import Any, ClassVar, Literal, get_args

import optax
from optax.contrib import scale_by_muon

from pretrainjax.config.follow import Follows, scaled
from pretrainjax.errors import nearest
from pretrainjax.ranges import (
  NonNegativeFloat,
  NonNegativeInt,
  PositiveFloat,
  PositiveFraction,
  Rate,
  check_ranges,
)
from pretrainjax.train import parameters
from pretrainjax.train.schedule import Constant, CosineRamp, Schedule
from pretrainjax.train.transforms import held, per_layer, scale_by_name, with_standard_promotion

Name = Literal["adamw", "sgd", "lars", "lamb", "lion", "muon", "adafactor"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
  """One optimizer with its schedules; `build` makes the optax transformation.

  By name, with what is peculiar:
    adamw: arXiv 1711.05101.
    sgd: weight decay is added to the gradient before the momentum, as in torch.
    lars: arXiv 1708.03888. Ratios are per layer, and 1 for biases, norms, learned tokens and
      position tables. The learning rate is applied before the momentum.
    lamb: arXiv 1904.00962, ratios likewise. The paper's eps is 1e-6.
    lion: arXiv 2302.06675. The paper's b2 is .99, its learning rate 3 to 10 times below AdamW's.
    muon: hidden matrices are orthogonalised layer by layer, everything else is AdamW's; scaled to
      AdamW's usual RMS, so that both share rate and decay (arXiv 2502.16982). The usual momentum
      is .95, with nesterov.
    adafactor: arXiv 1804.04235, without momentum. `learning_rate` is relative to the RMS of the
      parameter (T5: 1e-2); moments are factored where a layer's matrix has two axes >= 128. Ours
      multiplies weight decay by the learning rate, as all others here.

  Attributes:
    learning_rate: the peak learning rate, > 0. A config leaves it open (None) where it gives
      `base_learning_rate`.
    name: the name of the optimizer.
    schedule: the factor of the peak over the run; None is constant.
    weight_decay: the weight decay, >= 0; multiplied by the learning rate, as in torch and optax.
    weight_decay_schedule: its value over the run instead; `weight_decay` must then be 0.
    b1: the decay of the first moment, for adamw, lamb, lion and muon's AdamW, in [0, 1).
    b2: the decay of the second moment, likewise.
    eps: the number added to the root of the second moment, > 0.
    momentum: the decay of the momentum for sgd, lars and muon, in [0, 1).
    momentum_schedule: replaces `momentum` (`b1` in adamw, lamb, lion) by a value over the run;
      Adam's bias correction then takes the newest b1 for that of all steps.
    nesterov: whether the momentum of sgd, lars and muon is Nesterov's.
    trust_coefficient: the trust coefficient of lars, > 0.
    clip_norm: the largest global norm of the gradient (of trained parameters); None clips nothing.
    layer_decay: the factor by which each layer learns slower than the one above it, in (0, 1]; see
      `parameters.layer_scales`.
    decay_bias_and_norm: whether to decay all parameters, as torch does unless told; otherwise only
      those of `parameters.is_weight`.
    frozen: the patterns of parameters that stay as they are: "encoder", "*/patch_embed"; they have
      no optimizer state.
    frozen_at_first: the patterns of parameters that stay so for the first steps alone; their
      moments begin behind these, with the schedules' values of that step.
    frozen_steps: the number of these steps.
    base_learning_rate: the peak for 256 examples a step: the linear-scaling rule (arXiv 1706.02677)
      then gives `learning_rate` = base x batch / 256. None where that is given itself.
  """

  learning_rate: PositiveFloat
  name: Name = "adamw"
  schedule: Schedule | None = None
  weight_decay: NonNegativeFloat = 0.0
  weight_decay_schedule: CosineRamp | None = None
  b1: Rate = 0.9
  b2: Rate = 0.999
  eps: PositiveFloat = 1e-8
  momentum: Rate = 0.9
  momentum_schedule: CosineRamp | None = None
  nesterov: bool = False
  trust_coefficient: PositiveFloat = 0.001
  clip_norm: PositiveFloat | None = None
  layer_decay: PositiveFraction | None = None
  decay_bias_and_norm: bool = False
  frozen: tuple[str, ...] = ()
  frozen_at_first: tuple[str, ...] = ()
  frozen_steps: NonNegativeInt = 0
  base_learning_rate: PositiveFloat | None = None

  follows: ClassVar[Follows] = {
    "learning_rate": scaled("optimizer.base_learning_rate", times="data.batch_size", over=256.0)
  }

  def __post_init__(self):
    names = get_args(Name)
    if self.name not in names:
      hint = nearest(self.name, names)
      raise ValueError(f"name: found '{self.name}', expected an optimizer{hint}")
    check_ranges(self)
    if self.weight_decay and self.weight_decay_schedule:
      raise ValueError(
        f"weight_decay={self.weight_decay} and weight_decay_schedule are both given; "
        "the schedule holds values, so set weight_decay=0"
      )
    if self.momentum_schedule and self.name == "adafactor":
      raise ValueError("momentum_schedule: adafactor has no momentum here")
    if bool(self.frozen_at_first) != bool(self.frozen_steps):
      raise ValueError(
        f"frozen_at_first={self.frozen_at_first} and frozen_steps={self.frozen_steps}: expected "
        "both or neither"
      )

  def build(
    self, params: Any, *, total_steps: int, batch_size: int, num_examples: int | None
  ) -> tuple[optax.GradientTransformation, optax.Schedule]:
    """Makes the transformation for parameters of these names and shapes.

    Args:
      params: nested dicts of arrays or ShapeDtypeStructs.
      total_steps: the number of steps of the run.
      batch_size: the examples of one step, over all devices and hosts.
      num_examples: the examples of one epoch, None where not known.

    Returns:
      The transformation, and the learning rate as a function of the step, for the log.

    Raises:
      ValueError: for a pattern of `frozen` that fits nothing, or layer decay without layers.
    """
    run = {"total_steps": total_steps, "batch_size": batch_size, "num_examples": num_examples}
    factor = (self.schedule or Constant()).build(**run)
    peak = self.learning_rate
    builder = _Builder(self, params, lambda step: peak * factor(step), run)
    parameters.check_patterns(self.frozen, params)
    parameters.check_patterns(self.frozen_at_first, params)

    parts = self._held_gradient()
    if self.clip_norm is not None:
      parts.append(optax.clip_by_global_norm(self.clip_norm))
    parts += self._descent(builder)
    if self.layer_decay is not None:
      parts.append(scale_by_name(parameters.layer_scales(params, self.layer_decay)))
    tx = optax.chain(*parts)
    if self.frozen:
      tx = _partition(self.frozen, frozen=optax.set_to_zero(), trained=tx)
    return with_standard_promotion(tx), builder.learning_rate

  def _held_gradient(self) -> list[optax.GradientTransformation]:
    """Zeros for what is frozen at first, so that it is no part of the norm that is clipped."""
    if not self.frozen_steps:
      return []
    zeros = held(optax.identity(), self.frozen_steps)
    return [_partition(self.frozen_at_first, frozen=zeros, trained=optax.identity())]

  def _descent(self, builder: "_Builder") -> list[optax.GradientTransformation]:
    """From gradient to signed update; what is frozen at first has a chain of its own."""
    parts = getattr(builder, self.name)()
    if not self.frozen_steps:
      return parts
    late = getattr(dataclasses.replace(builder, first_step=self.frozen_steps), self.name)()
    late = held(optax.chain(*late), self.frozen_steps)
    return [_partition(self.frozen_at_first, frozen=late, trained=optax.chain(*parts))]


def _partition(
  patterns: tuple[str, ...],
  *,
  frozen: optax.GradientTransformation,
  trained: optax.GradientTransformation,
) -> optax.GradientTransformation:
  """One transformation for the parameters that patterns name, another one for the rest."""

  def label(name: str, leaf: Any) -> str:
    return "frozen" if parameters.matches(name, patterns) else "trained"

  transforms = {"trained": trained, "frozen": frozen}
  return optax.partition(transforms, lambda params: parameters.map_with_names(label, params))


@dataclasses.dataclass(frozen=True)
class _Builder:
  """The chain of each optimizer, one method a name, from gradient to signed update.

  It counts its steps from 0; schedules see them from `first_step` on.
  """

  config: Optimizer
  params: Any
  learning_rate: optax.Schedule
  run: dict[str, int | None]
  first_step: int = 0

  def adamw(self) -> list[optax.GradientTransformation]:
    return [self._adam(), *self._decay(), self._rate()]

  def sgd(self) -> list[optax.GradientTransformation]:
    return [*self._decay(), self._momentum(), self._rate()]

  def lars(self) -> list[optax.GradientTransformation]:
    ratio = self._trust_ratio(self.config.trust_coefficient)
    return [*self._decay(), ratio, self._rate(), self._momentum()]

  def lamb(self) -> list[optax.GradientTransformation]:
    return [self._adam(), *self._decay(), self._trust_ratio(1.0), self._rate()]

  def lion(self) -> list[optax.GradientTransformation]:
    sign = self._scheduled(optax.scale_by_lion, "b1", self.config.b1, b2=self.config.b2)
    return [sign, *self._decay(), self._rate()]

  def muon(self) -> list[optax.GradientTransformation]:
    def label(name: str, leaf: Any) -> str:
      return "adam" if parameters.muon_dimensions(name, leaf) is None else "muon"

    def to_adams_rms(name: str, update: Any) -> Any:
      fan_in, fan_out = _matrix_shape(name, update)
      return update * (0.2 * max(fan_in, fan_out) ** 0.5)

    orthogonal = self._scheduled(
      scale_by_muon,
      "beta",
      self.config.momentum,
      nesterov=self.config.nesterov,
      weight_dimension_numbers=lambda p: parameters.map_with_names(parameters.muon_dimensions, p),
    )
    rms = optax.stateless(lambda updates, _: parameters.map_with_names(to_adams_rms, updates))
    c = self.config
    adam = optax.scale_by_adam(c.b1, c.b2, c.eps)
    both = {"muon": optax.chain(orthogonal, rms), "adam": adam}
    split = optax.partition(both, lambda p: parameters.map_with_names(label, p))
    return [split, *self._decay(), self._rate()]

  def adafactor(self) -> list[optax.GradientTransformation]:
    # optax's chain, but with the learning rate last.
    direction = optax.chain(
      optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0), optax.scale_by_param_block_rms()
    )
    return [per_layer(direction, self.params), *self._decay(), self._rate()]

  def _adam(self) -> optax.GradientTransformation:
    c = self.config
    return self._scheduled(optax.scale_by_adam, "b1", c.b1, b2=c.b2, eps=c.eps)

  def _momentum(self) -> optax.GradientTransformation:
    c = self.config
    if c.momentum == 0 and c.momentum_schedule is None:
      return optax.identity()
    return self._scheduled(optax.trace, "decay", c.momentum, nesterov=c.nesterov)

  def _scheduled(
    self, factory: Any, argument: str, value: float, **fixed: Any
  ) -> optax.GradientTransformation:
    """`factory` with `argument` either fixed or following `momentum_schedule`."""
    if self.config.momentum_schedule is None:
      return factory(**{argument: value}, **fixed)
    schedule = self._late(self.config.momentum_schedule.build(**self.run))
    return optax.inject_hyperparams(factory, static_args=tuple(fixed))(
      **{argument: schedule}, **fixed
    )

  def _decay(self) -> list[optax.GradientTransformation]:
    c = self.config
    decay = c.weight_decay
    if c.weight_decay_schedule is not None:
      decay = self._late(c.weight_decay_schedule.build(**self.run))
    elif not decay:
      return []
    mask = None if c.decay_bias_and_norm else parameters.weight_mask
    return [optax.add_decayed_weights(decay, mask=mask)]

  def _trust_ratio(self, coefficient: float) -> optax.GradientTransformation:
    ratio = optax.scale_by_trust_ratio(trust_coefficient=coefficient)
    return optax.masked(per_layer(ratio, self.params), parameters.weight_mask)

  def _rate(self) -> optax.GradientTransformation:
    return optax.scale_by_learning_rate(self._late(self.learning_rate))

  def _late(self, schedule: optax.Schedule) -> optax.Schedule:
    return (lambda step: schedule(step + self.first_step)) if self.first_step else schedule


def _matrix_shape(name: str, leaf: Any) -> tuple[int, int]:
  """(in, out) of the matrix that Muon sees in one layer."""
  shape = leaf.shape[int(parameters.is_stacked(name)) :]
  fan_in = 1
  for size in shape[:-1]:
    fan_in *= size
  return fan_in, shape[-1]
