"""The command line of `predict`: its verbs, and what they start."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from pretrainjax.command import Request, launch, refused
from pretrainjax.config.allowed import add_allow_flag


class _Use(NamedTuple):
  """A module with `add_flags(parser)` and `work(request, loaded)`, and what it does."""

  module: str
  description: str


_USES = {
  "generate": _Use("generate_text", "Write on after prompts, with a causal language model."),
  "fill-mask": _Use("fill_mask", "Fill [MASK] in texts, with a masked language model."),
  "answer": _Use("answer", "Answer questions about texts, with a fine-tuned encoder."),
  "transcribe": _Use("transcribe", "Write what is said in sounds, with a recogniser of speech."),
  "ngrams": _Use("ngrams", "Count n-grams of texts: the language model of transcribe."),
  "classify": _Use("classify", "Tell the classes of images, sounds or texts."),
  "recommend": _Use("recommend", "Say what to show next, to users or by histories."),
  "similar-items": _Use("similar_items", "Say which items are like one."),
  "start-items": _Use("start_items", "Start a recommender's items by the texts of a table."),
  "embed": _Use("embed", "Write the features of texts, images or sounds."),
}


def main(argv: Sequence[str] | None = None) -> int:
  """Runs a verb of `predict` on a trained run; returns its exit status."""
  arguments = list(sys.argv[1:] if argv is None else argv)
  verb = arguments[0] if arguments else ""
  status = refused(verb, _USES, called="python -m pretrainjax.predict", name="predict")
  if status is not None:
    return status
  use = _USES[verb]
  module = importlib.import_module(f"pretrainjax.predict.{use.module}")
  return launch(
    lambda request: _work(module, request),
    verb=f"predict {verb}",
    description=use.description,
    argv=arguments[1:],
    add_flags=lambda parser: _add_flags(module, parser),
    make_config=lambda flags: ConfigDict(),
  )


def _add_flags(module: Any, parser: argparse.ArgumentParser) -> None:
  add_allow_flag(parser)
  module.add_flags(parser)


def _work(module: Any, request: Request) -> None:
  from pretrainjax.checkpoint.chosen import choose_step
  from pretrainjax.checkpoint.encoder import load

  chosen, why = choose_step(str(request.workdir))
  if why:
    print(f"predict: step {chosen.step} of {chosen.folder}: {why}", file=sys.stderr)
  module.work(request, load(str(chosen), allow=request.options.allow))
