"""Generates texts after prompts: `predict generate --workdir=WORKDIR --prompt=TEXT`.

Conversations among --prompts (a field "messages") become prompts as by `prepare text`. A text ends
with the model's context, which is said, or goes on from its last half with --slide. One prompt is
shown as it is written; several, and what goes to --out, are one JSON object a line with "prompt",
"text", "reason" (end, stop, length, context) and "tokens" (how many).
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.command import Request
from pretrainjax.errors import UserError
from pretrainjax.generation.model import Completion, GenerationOptions, TextModel, text_model
from pretrainjax.generation.sampling import Sampling
from pretrainjax.predict.texts import FORMS, read_texts, text_field
from pretrainjax.predict.texts import add_flags as add_text_flags
from pretrainjax.user_path import user_path


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict generate`."""
  parser.add_argument("--prompt", metavar="TEXT", help="what to go on after; may be empty")
  parser.add_argument("--prompts", metavar="FILE", help=f"many: {FORMS}")
  add_text_flags(parser, usual="prompt")
  parser.add_argument("--max_new_tokens", type=int, default=128, help="(default: 128)")
  parser.add_argument(
    "--temperature", type=float, default=1.0, help="0 always takes the best token (default: 1)"
  )
  parser.add_argument("--top_k", type=int, help="draw from so many best tokens (default: all)")
  parser.add_argument(
    "--top_p", type=float, default=1.0, help="draw from the best whose odds sum to it (default: 1)"
  )
  parser.add_argument(
    "--stop", metavar="TEXT", action="append", default=[], help="ends a text; may be repeated"
  )
  parser.add_argument(
    "--slide",
    action="store_true",
    help="go on where the model's context ends, from the text's beginning token and its last half",
  )
  parser.add_argument("--seed", type=int, default=0, help="of the draws (default: 0)")
  parser.add_argument("--batch_size", type=int, default=32, help="prompts at once (default: 32)")
  parser.add_argument("--out", metavar="FILE.jsonl", help="where to write; unless given, here")


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict generate`."""
  options = request.options
  if (options.prompt is None) == (options.prompts is None):
    raise UserError("--prompt, --prompts: found none or both, expected one of them")
  out = None if options.out is None else _new_file(user_path(options.out))
  writing = _generation_options(options)
  model = text_model(loaded, workdir=request.workdir)
  if options.prompt is not None and out is None:
    _show(model, options.prompt, writing)
    return
  prompts = [options.prompt]
  if options.prompts is not None:
    prompts = _prompts(options)
  completions = model.complete(prompts, writing, batch_size=options.batch_size)
  lines = [_line(p, c) for p, c in zip(prompts, completions, strict=True)]
  _tell_of_context(completions, model, writing)
  if out is None:
    print("\n".join(lines))
    return
  temporary = out.with_name(f".{out.name}.{os.getpid()}")
  temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
  os.replace(temporary, out)
  print(f"{len(lines)} texts: {out}")


def _prompts(options: argparse.Namespace) -> list[str]:
  path = user_path(options.prompts)
  how: dict[str, str] = {"flag": "--prompts", "encoding": options.encoding}
  field = text_field(path, named=options.field, usual="prompt", **how)
  return list(read_texts(path, field=field, conversations=True, **how))


def _new_file(out: Path) -> Path:
  if out.suffix != ".jsonl":
    raise UserError(f"--out: found '{out}', expected a .jsonl")
  if out.exists():
    raise UserError(f"--out: '{out}' is there already; remove it, or choose another")
  if not out.absolute().parent.is_dir():
    raise UserError(f"--out: there is no folder '{out.parent}'")
  return out


def _generation_options(options: argparse.Namespace) -> GenerationOptions:
  if options.batch_size < 1:
    raise UserError(f"--batch_size: found {options.batch_size}, expected at least 1")
  try:
    return GenerationOptions(
      max_new_tokens=options.max_new_tokens,
      sampling=Sampling(options.temperature, options.top_k, options.top_p),
      stop=tuple(options.stop),
      seed=options.seed,
      slide=options.slide,
    )
  except ValueError as error:  # it names the argument, which is the flag
    raise UserError(f"--{error}") from error


def _show(model: TextModel, prompt: str, writing: GenerationOptions) -> None:
  """Streams; the prompt is shown once all that can be wrong with the model has been found."""
  pieces, shown = model.stream(prompt, writing), prompt
  while True:
    try:
      piece = next(pieces)
    except StopIteration as ended:
      print(shown, flush=True)
      _tell_of_context([ended.value], model, writing)
      return
    print(shown + piece, end="", flush=True)
    shown = ""


def _tell_of_context(
  completions: Sequence[Completion], model: TextModel, writing: GenerationOptions
) -> None:
  """Says on the error stream how many texts end before they should."""
  cut = [completion for completion in completions if completion.reason == "context"]
  if cut:
    counts = f"{len(cut)} of {len(completions)} texts end" if len(completions) > 1 else "it ends"
    print(
      f"predict generate: {counts} after {len(cut[0].tokens)} of {writing.max_new_tokens} tokens, "
      f"where the model's context of {model.encoder.max_length} is full; --slide goes on",
      file=sys.stderr,
    )


def _line(prompt: str, completion: Completion) -> str:
  text, tokens, reason = completion
  fields = {"prompt": prompt, "text": text, "reason": reason, "tokens": len(tokens)}
  return json.dumps(fields, ensure_ascii=False)
