"""Fine-tunes a pretrained encoder on labels: the same loop, with a loaded encoder.

`python -m pretrainjax.finetune --config=FILE --workdir=DIR --config.init=WORKDIR[@STEP]`; without
init the same network is trained from scratch.
"""

from collections.abc import Sequence

import jax
from ml_collections import ConfigDict

from pretrainjax.checkpoint.encoder import Loaded, load
from pretrainjax.checkpoint.surgery import transfer
from pretrainjax.command import Request, launch
from pretrainjax.config.allowed import TARGET
from pretrainjax.config.objects import RECIPE
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.distributed import is_main
from pretrainjax.ending import as_process
from pretrainjax.errors import UserError, nearest
from pretrainjax.objectives.split import split
from pretrainjax.pretrain import add_flags, announce, start_in, train
from pretrainjax.report.start import config_changes
from pretrainjax.train.assemble import Run, assemble
from pretrainjax.train.state import TrainState
from pretrainjax.train.vocabulary import check_tokenizers


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary; returns its exit status."""
  return launch(
    _work,
    verb="finetune",
    description="Fine-tune a pretrained encoder on labels (--config.init=WORKDIR[@STEP]).",
    argv=argv,
    add_flags=add_flags,
    many_processes=True,
  )


def _work(request: Request) -> None:
  config = request.config
  changes = config_changes(request.defaults, config)
  loaded = load(config.init) if config.get("init") else None
  if loaded is not None:
    adopt(config, loaded.config)
  run = assemble(config)
  if loaded is not None and loaded.tokenizer_path is not None:
    expected = Tokenizer.load(loaded.tokenizer_path)
    check_tokenizers({"data": run.data}, expected, path=loaded.tokenizer_path)
  announce(run, request, changes=changes)
  options, workdir = request.options, request.workdir
  with start_in(workdir, run, allow_change=options.allow_config_change, ending=request.ending):
    first = None if loaded is None else first_state(run, loaded)
    about = {"profile": options.profile, "watchdog": request.watchdog}
    train(run, workdir, verb="finetune", first=first, **about)


def adopt(config: ConfigDict, pretrained: ConfigDict) -> None:
  """Puts the pretrained backbone's config into `config.objective`, with `config.changes` on it.

  Raises:
    UserError: for a change that names no argument of the backbone.
  """
  backbone = pretrained.objective.backbone.copy_and_resolve_references()
  for name in config.changes:
    if name not in backbone:
      if backbone[TARGET] == config.objective.backbone[TARGET]:
        choices = [k for k in backbone if k not in (TARGET, RECIPE)]
        raise UserError(f"--config.changes.{name}: no such argument{nearest(name, choices)}")
      continue  # a change meant for another architecture
    with backbone.ignore_type():
      backbone[name] = config.changes[name]
  config.objective.backbone = backbone


def first_state(run: Run, loaded: Loaded) -> TrainState:
  """A new state whose encoder holds the pretrained arrays; prints what became of each."""
  state = jax.jit(run.init)()
  _, saved_params, saved_extras = split(loaded.encoder)
  allow = {
    "allow_fresh": tuple(run.config.transfer.fresh),
    "allow_unused": tuple(run.config.transfer.unused),
  }
  moved = transfer(saved_params, state.params["encoder"], **allow)
  if is_main():
    print(f"init from {run.config.init}, step {loaded.step}: {moved.summary()}; the rest is new")
  params = {**state.params, "encoder": moved.params}
  extras = dict(state.extras)
  if saved_extras:
    extras["encoder"] = transfer(saved_extras, state.extras["encoder"], **allow).params
  ema = None if state.ema is None else jax.tree.map(jax.numpy.copy, params)
  # The optimizer's state holds no copy of parameters, so that it needs no change.
  return state.replace(params=params, extras=extras, ema=ema)


if __name__ == "__main__":
  as_process(main)
