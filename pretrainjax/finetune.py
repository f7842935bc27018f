"""Fine-tunes a pretrained encoder on labels: the same loop, with loaded parts.

`python -m pretrainjax.finetune --config=FILE --workdir=DIR --config.init=RUN[@STEP][:PART]`;
without init the same network is trained from scratch.
"""

from collections.abc import Sequence

from pretrainjax.process.ending import as_process


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the binary that fine-tunes.

  Args:
    argv: its arguments; None takes those of the process.

  Returns:
    The exit status.
  """
  # Not above, where Ctrl-C would end in a traceback.
  from pretrainjax.command import launch
  from pretrainjax.training import add_flags, run_config

  return launch(
    lambda request: run_config(request, verb="finetune"),
    verb="finetune",
    description="Fine-tune a pretrained encoder on labels (--config.init=RUN[@STEP][:PART]).",
    argv=argv,
    add_flags=add_flags,
    many_processes=True,
  )


if __name__ == "__main__":
  as_process(main)
