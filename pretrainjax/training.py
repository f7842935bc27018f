"""What `pretrain` and `finetune` share: a run in its folder, from its config to its last step."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from pretrainjax.checkpoint.best import Best, best_step
from pretrainjax.checkpoint.chosen import reason
from pretrainjax.checkpoint.class_names import keep_class_names
from pretrainjax.checkpoint.manager import FOLDER, Checkpoints
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Preempted, Request
from pretrainjax.config.allowed import ANYTHING, add_allow_flag, names_of_others
from pretrainjax.errors import UserError
from pretrainjax.process.distributed import barrier, is_main
from pretrainjax.process.watchdog import Watchdog
from pretrainjax.report.curves import curves_png
from pretrainjax.report.outcome import outcome_rows
from pretrainjax.report.start import config_changes, start_text
from pretrainjax.report.table import config_table, results_table
from pretrainjax.train import warm_start
from pretrainjax.train.assemble import Run, assemble
from pretrainjax.train.learn_first import learns_first, learnt_first
from pretrainjax.train.loop import Stopped, fit
from pretrainjax.train.open_values import filled_in
from pretrainjax.train.parallel import scalar
from pretrainjax.train.roll_back import resume
from pretrainjax.train.room import check_room
from pretrainjax.train.state import TrainState
from pretrainjax.train.tracking import METRICS, Tracker
from pretrainjax.workdir.claim import check_shared, claim, make_workdir
from pretrainjax.workdir.lock import acquire
from pretrainjax.workdir.provenance import (
  Provenance,
  check_provenance,
  check_same_everywhere,
  provenance,
)
from pretrainjax.workdir.tokenizer import check_tokenizers, keep_tokenizer


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of every binary that trains."""
  add_allow_flag(parser)
  parser.add_argument(
    "--allow_config_change",
    action="store_true",
    help="go on from the workdir's checkpoints though the config differs",
  )
  parser.add_argument(
    "--allow_data_change",
    action="store_true",
    help="go on from the workdir's checkpoints though the data are others under the same name",
  )
  parser.add_argument("--verbose", action="store_true", help="print the whole config at the start")
  parser.add_argument("--profile", action="store_true", help="write a trace to WORKDIR/profile")
  parser.add_argument(
    "--stuck_after",
    metavar="SECONDS",
    default="900",
    help="of no progress, after which the run ends with 124 and says where it is; 0 waits for ever",
  )


def run_config(request: Request, *, verb: str) -> None:
  """Trains as the config says, from parts of other runs where `config.init` names some.

  Args:
    request: the parsed command line.
    verb: the name of the binary, for messages.
  """
  config, options, workdir = request.config, request.options, request.workdir
  if Reference.parse(workdir).source != "run":
    raise UserError(
      f"--workdir: found '{workdir}', expected the folder of the new run; --config.init={workdir} "
      "begins with that model"
    )
  changes = config_changes(request.defaults, config)
  trusted = (*options.allow, *names_of_others(config))
  taken = warm_start.take_parts(config, defaults=request.defaults, allow=trusted)
  run = assemble(config, allow=ANYTHING)
  check_room(run)
  for tokenizer in [one.loaded.tokenizer for one in taken]:
    if tokenizer is not None:
      check_tokenizers({"data": run.data}, tokenizer)
  _announce(run, request, changes=changes)
  made_with = provenance(run.data, run.evaluators)
  check_same_everywhere(made_with)
  with _own_workdir(run, made_with, request):
    first = None
    if taken:
      first, lines = warm_start.first_state(run, taken)
      if is_main():
        print("\n".join(lines))
    train(
      run,
      workdir,
      profile=options.profile,
      verb=verb,
      first=first,
      made_with=made_with,
      watchdog=request.watchdog,
    )


def _announce(run: Run, request: Request, *, changes: Sequence[str]) -> None:
  """Prints what is about to be trained, on the main process; with --verbose the whole config."""
  if not is_main():
    return
  if request.options.verbose:
    print(config_table(run.config))
  open_values = filled_in(request.config, run.config)
  text = start_text(run, request.workdir, changes=changes, filled_in=open_values)
  print(text, flush=True)


@contextlib.contextmanager
def _own_workdir(run: Run, made_with: Provenance, request: Request) -> Iterator[None]:
  """Locks and claims the workdir for a run while inside, and keeps its tokenizer there.

  Args:
    run: the run, built from its config.
    made_with: the data and code of the run, to be those of the checkpoints that are there.
    request: the parsed command line.
  """
  workdir, options, ending = request.workdir, request.options, request.ending
  allow_change = options.allow_config_change
  with contextlib.ExitStack() as held:
    if is_main():
      make_workdir(workdir)
      lock = acquire(workdir, on_lost=lambda line: ending.end(line, status=1))
      held.callback(lock.release)
      ending.before_exit(lock.release)
      check_provenance(workdir, made_with, allow_change=options.allow_data_change)
      claim(workdir, run.config, allow_change=allow_change)
      keep_tokenizer(workdir, run.data, allow_change=allow_change)
      keep_class_names(workdir, getattr(run.data, "class_names", ()))
    check_shared(workdir)
    yield


def train(
  run: Run,
  workdir: Path,
  *,
  profile: bool,
  verb: str,
  first: TrainState | None = None,
  made_with: Provenance | None = None,
  watchdog: Watchdog | None = None,
) -> TrainState:
  """Trains `run` in `workdir` to its end, from the newest checkpoint there if there is one.

  Args:
    run: the run, built from its config.
    workdir: the run's folder, already claimed.
    profile: whether to write a profiler trace.
    verb: the name of the binary, for messages.
    first: the state to start from where there is no checkpoint; None makes a new one.
    made_with: the data and code of the run, for its checkpoints; None leaves them out.
    watchdog: the watchdog that is told each phase and step; None has none.

  Returns:
    The last state, whole.

  Raises:
    Preempted: after SIGTERM, with the state saved.
  """
  stopped, watchdog = None, watchdog or Watchdog(0.0)
  opened = Checkpoints(workdir, keep=run.train.keep, made_with=made_with)
  with watchdog.phase("checkpoint"), opened as checkpoints:
    state = resume(run, checkpoints, workdir)
    if state is None:
      with watchdog.phase("start"):
        state = _new(run, first)
    barrier("the start of training")
    step = int(scalar(state.step))
    if step and is_main():
      print(f"{verb}: going on from step {step} of {run.total_steps} in {workdir}")
    tracker = Tracker(workdir, run.train.tracking, step=step)
    try:
      folder = str(workdir / "profile") if profile else None
      state = fit(
        run,
        state,
        workdir=workdir,
        checkpoints=checkpoints,
        tracker=tracker,
        profile_to=folder,
        watchdog=watchdog,
      )
    except Stopped as stop:
      stopped = stop
    finally:
      tracker.close()
    steps, best = checkpoints.steps(), best_step(checkpoints, run.train.keep)
  if stopped is not None:
    raise Preempted(
      f"asked to stop; saved step {stopped.step} of {run.total_steps} in {workdir}; start the same "
      "command again to go on"
    )
  if is_main():
    _print_outcome(run, workdir, steps=steps, best=best)
  return run.parallel.whole(state)


def _print_outcome(run: Run, workdir: Path, *, steps: Sequence[int], best: Best | None) -> None:
  """Prints what was measured at the end of a run, and where its files are."""
  metrics, picture, drawn = workdir / METRICS, workdir / "curves.png", ""
  with contextlib.suppress(ValueError):  # so few steps make no line
    curves_png(metrics, picture, title=workdir.name)
    drawn = f", drawn in {picture}"
  step = None if best is None else best.step
  if best is not None:
    why = reason(best, run.train.keep, last=run.total_steps)
    print(f"chosen       step {best.step}: {why}")
  print(results_table(outcome_rows(run, metrics, workdir=workdir, step=step)))
  print(f"checkpoints  {workdir / FOLDER}: steps {', '.join(map(str, steps))}")
  print(f"metrics      {metrics}{drawn}")


def _new(run: Run, first: TrainState | None) -> TrainState:
  if learns_first(run.objective):
    first = learnt_first(run, run.init() if first is None else first)
  # From the host: one process's device cannot send to another one's.
  if first is not None:
    return run.parallel.place(jax.device_get(first))
  return run.parallel.make(run.init, run.abstract_state)
