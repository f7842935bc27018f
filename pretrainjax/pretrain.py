"""Pretrains a model: `python -m pretrainjax.pretrain --config=FILE --workdir=DIR`.

The same command, started again, resumes the run. `--config.init=RUN[@STEP][:PART]` begins
with what another run was trained to.
"""

from collections.abc import Sequence

from pretrainjax.process.ending import as_process


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that pretrains.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.command import launch
  from pretrainjax.training import add_flags, run_config

  return launch(
    lambda request: run_config(request, verb="pretrain"),
    verb="pretrain",
    description="Pretrain an encoder without labels; the same command goes on where it was.",
    argv=argv,
    add_flags=add_flags,
    many_processes=True,
  )


if __name__ == "__main__":
  as_process(main)
