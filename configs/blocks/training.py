"""The parts of a run that most configs set alike."""

from ml_collections import ConfigDict, config_dict

from pretrainjax.checkpoint.manager import Keep
from pretrainjax.config import spec
from pretrainjax.objectives.lora import LoRA
from pretrainjax.train.assemble import Train
from pretrainjax.train.duration import Duration
from pretrainjax.train.mesh import Axes
from pretrainjax.train.parallel import Parallel
from pretrainjax.train.spikes import Spikes
from pretrainjax.train.tracking import Tracking


def run(
  *,
  objective: ConfigDict,
  data: ConfigDict,
  optimizer: ConfigDict,
  duration: ConfigDict,
  evals: ConfigDict | None = None,
  seed: int = 0,
  **train,
) -> ConfigDict:
  """A whole config from its parts; `train` are further arguments of `Train`."""
  config = ConfigDict(sort_keys=False)
  config.seed = seed
  config.objective, config.data, config.optimizer = objective, data, optimizer
  options = {"keep": spec(Keep), "spikes": spec(Spikes), "tracking": spec(Tracking)} | train
  config.train = spec(Train, duration=duration, **options)
  config.parallel = spec(Parallel, mesh=spec(Axes))
  config.evals = evals if evals is not None else ConfigDict()
  config.init = config_dict.placeholder(object)  # a reference, or several
  return config


def from_checkpoint(
  config: ConfigDict,
  *,
  changes: dict | None = None,
  fresh: tuple[str, ...] = (),
  unused: tuple[str, ...] = (),
) -> ConfigDict:
  """Adds what becomes of the encoder of `config.init` to a run's config.

  Args:
    config: of `run`.
    changes: arguments of the checkpoint's backbone.
    fresh: arrays that may be new because of that.
    unused: arrays that may be left behind.
  """
  config.changes = changes or {}
  config.transfer = {"fresh": fresh, "unused": unused}
  config.lora = spec(LoRA)  # off, unless --config.lora.rank says otherwise
  return config


def from_teacher(config: ConfigDict) -> ConfigDict:
  """Gives a run of distillation places for the runs that its parts come from.

  Args:
    config: of `run`; `--config.init.teacher` names the teacher's run.
  """
  parts = ("encoder", "teacher", "teacher_head")
  del config.init  # one reference, which is no dict
  config.init = ConfigDict({part: config_dict.placeholder(str) for part in parts})
  return config


def chosen_by(metric: str, *, every: int, mode: str = "max") -> dict:
  """Arguments of `run` that save where a number is measured, and keep the best step and the last.

  Args:
    metric: an evaluator's number, "validation/top1".
    every: the steps between two measurements of it.
    mode: whether the highest or the lowest is best.
  """
  return {"checkpoint_every": every, "keep": spec(Keep, last=1, metric=metric, mode=mode)}


def published(arg: str | None) -> bool:
  """Whether a form is of the figures in docs/results.md, which chose no checkpoint.

  They were measured before checkpoints were chosen: trained on all labels, the last step's.
  """
  return arg is not None and arg.startswith("published")


def steps(count: int) -> ConfigDict:
  """A duration in steps."""
  return spec(Duration, steps=count)


def epochs(count: float) -> ConfigDict:
  """A duration in epochs."""
  return spec(Duration, epochs=float(count))
