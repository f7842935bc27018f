"""What `pretrain` and `finetune` share: a run in its folder, from its config to its last step."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax

from pretrainjax.checkpoint.manager import FOLDER, Checkpoints
from pretrainjax.command import Preempted, Request
from pretrainjax.config.allowed import ANYTHING, add_allow_flag, names_of_others
from pretrainjax.data.tokenizer import Tokenizer
from pretrainjax.process.distributed import barrier, is_main
from pretrainjax.process.ending import Ending
from pretrainjax.process.watchdog import Watchdog
from pretrainjax.report.curves import curves_png
from pretrainjax.report.start import config_changes, start_text
from pretrainjax.report.table import config_table
from pretrainjax.train import warm_start
from pretrainjax.train.assemble import Run, assemble
from pretrainjax.train.loop import Stopped, fit
from pretrainjax.train.open_values import filled_in
from pretrainjax.train.parallel import scalar
from pretrainjax.train.roll_back import resume
from pretrainjax.train.state import TrainState
from pretrainjax.train.tracking import Tracker
from pretrainjax.workdir.claim import check_shared, claim, make_workdir
from pretrainjax.workdir.lock import acquire
from pretrainjax.workdir.tokenizer import check_tokenizers, keep_tokenizer


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of every binary that trains."""
  add_allow_flag(parser)
  parser.add_argument(
    "--allow_config_change",
    action="store_true",
    help="go on from the workdir's checkpoints though the config differs",
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
  changes = config_changes(request.defaults, config)
  trusted = (*options.allow, *names_of_others(config))
  taken = warm_start.take_parts(config, defaults=request.defaults, allow=trusted)
  run = assemble(config, allow=ANYTHING)
  for path in [one.loaded.tokenizer_path for one in taken]:
    if path is not None:
      check_tokenizers({"data": run.data}, Tokenizer.load(path), path=path)
  _announce(run, request, changes=changes)
  with _own_workdir(workdir, run, allow_change=options.allow_config_change, ending=request.ending):
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
def _own_workdir(workdir: Path, run: Run, *, allow_change: bool, ending: Ending) -> Iterator[None]:
  """Locks and claims `workdir` for a run while inside, and keeps its tokenizer there.

  Args:
    workdir: the run's folder, which is made if it is missing.
    run: the run, built from its config.
    allow_change: whether another config's checkpoints may be there, see `claim`.
    ending: what ends this process if another run takes the folder.
  """
  with contextlib.ExitStack() as held:
    if is_main():
      make_workdir(workdir)
      lock = acquire(workdir, on_lost=lambda line: ending.end(line, status=1))
      held.callback(lock.release)
      ending.before_exit(lock.release)
      claim(workdir, run.config, allow_change=allow_change)
      keep_tokenizer(workdir, run.data, allow_change=allow_change)
    check_shared(workdir)
    yield


def train(
  run: Run,
  workdir: Path,
  *,
  profile: bool,
  verb: str,
  first: TrainState | None = None,
  watchdog: Watchdog | None = None,
) -> TrainState:
  """Trains `run` in `workdir` to its end, from the newest checkpoint there if there is one.

  Args:
    run: the run, built from its config.
    workdir: the run's folder, already claimed.
    profile: whether to write a profiler trace.
    verb: the name of the binary, for messages.
    first: the state to start from where there is no checkpoint; None makes a new one.
    watchdog: the watchdog that is told each phase and step; None has none.

  Returns:
    The last state, whole.

  Raises:
    Preempted: after SIGTERM, with the state saved.
  """
  stopped, watchdog = None, watchdog or Watchdog(0.0)
  with watchdog.phase("checkpoint"), Checkpoints(workdir, keep=run.train.keep) as checkpoints:
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
    steps = checkpoints.steps()
  if stopped is not None:
    raise Preempted(
      f"asked to stop; saved step {stopped.step} of {run.total_steps} in {workdir}; start the same "
      "command again to go on"
    )
  if is_main():
    curves_png(workdir / "metrics.jsonl", workdir / "curves.png", title=workdir.name)
    print(f"checkpoints  {workdir / FOLDER}: steps {', '.join(map(str, steps))}")
    print(f"metrics      {workdir / 'metrics.jsonl'}, drawn in {workdir / 'curves.png'}")
  return run.parallel.whole(state)


def _new(run: Run, first: TrainState | None) -> TrainState:
  # From the host: one process's device cannot send to another one's.
  parallel = run.parallel
  return parallel.make(run.init) if first is None else parallel.place(jax.device_get(first))
