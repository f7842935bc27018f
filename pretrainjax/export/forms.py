"""What `--form` may ask for: folders of other libraries, programs, and adapters."""

import argparse
from pathlib import Path

from pretrainjax.checkpoint.encoder import load
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.errors import UserError, nearest
from pretrainjax.export.card import card
from pretrainjax.export.folders import make_sentence_transformers, make_timm, make_transformers
from pretrainjax.export.made import Maker, summary
from pretrainjax.export.onnx import check_converter, make_onnx
from pretrainjax.export.peft import make_adapter
from pretrainjax.export.program import PLACES, PLATFORMS, check_serializer
from pretrainjax.export.stablehlo import make_program
from pretrainjax.export.write import new_folder

FORMS: dict[str, Maker] = {
  "transformers": make_transformers,
  "sentence-transformers": make_sentence_transformers,
  "timm": make_timm,
  "stablehlo": make_program,
  "onnx": make_onnx,
  "peft": make_adapter,
}
_WITH_FLAGS = ("stablehlo", "onnx", "peft")  # those of `add_flags`
_COMPUTE_DTYPES = ("float32", "bfloat16")


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of programs and adapters."""
  default = "cpu,cuda,tpu"
  parser.add_argument("--platforms", default=default, help=f"of a program (default: {default})")
  parser.add_argument(
    "--weights_place", default="beside", help="of a program: beside it (the default), or inside"
  )
  parser.add_argument("--compute_dtype", help="of a program: float32, bfloat16; else the run's")
  parser.add_argument(
    "--base_model", help="of an adapter: folder or name; else the hf: model of config.init"
  )


def write_form(out: Path, reference: Reference, *, options: argparse.Namespace) -> str:
  """Writes a run in one of `FORMS`, whole or not at all.

  Args:
    out: the folder to make.
    reference: the reference that the user typed.
    options: the flags of the command.

  Returns:
    What the user is told of it, lines of text.

  Raises:
    UserError: for flags that the form does not have, or a run that it cannot hold.
  """
  if options.form in _WITH_FLAGS:
    _check_flags(options)
  updates = "beside" if options.form == "peft" else "merged"
  how = {"weights": options.weights, "updates": updates, "allow": options.allow}
  loaded = load(str(reference.whole), **how)
  with new_folder(out) as folder:
    made = FORMS[options.form](folder, loaded, reference=reference, options=options)
    text = card(
      loaded,
      made.written,
      license_name=options.license,
      reference=reference,
      library=made.library,
      uses=made.uses,
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    lines = [made.check()] if options.check else []
  return "\n".join([*lines, summary(made.written, loaded, out)])


def _check_flags(options: argparse.Namespace) -> None:
  if options.form == "stablehlo":
    check_serializer()
  if options.form == "onnx":
    check_converter(options)
  platforms = options.platforms.split(",")
  for name, found, choices in (
    *(("platforms", one, PLATFORMS) for one in platforms),
    ("weights_place", options.weights_place, PLACES),
    ("compute_dtype", options.compute_dtype or "float32", _COMPUTE_DTYPES),
  ):
    if found not in choices:
      raise UserError(f"--{name}: found '{found}'{nearest(found, choices)}")
  if options.check and "cpu" not in platforms:
    raise UserError(f"--check: found --platforms={options.platforms}, expected cpu among them")
