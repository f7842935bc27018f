"""The folder of an adapter of PEFT: the updates, and the code that puts them onto a base model."""

import argparse
import tempfile
from pathlib import Path

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.export.adapter import Adapter, write_adapter
from pretrainjax.export.check import differences, lines_of
from pretrainjax.export.made import Made
from pretrainjax.export.tokenizer import write_tokenizer
from pretrainjax.export.write import write_transformers


def make_adapter(
  folder: Path, loaded: Loaded, *, reference: Reference, options: argparse.Namespace
) -> Made:
  """Writes the low-rank updates of a run, see `made.Maker`."""
  base, init = options.base_model, loaded.config.get("init")
  if base is None and isinstance(init, str) and init.startswith("hf:"):
    base = str(Reference.parse(init).folder)
  how = {"part": reference.part, "kind": options.architecture, "base": base}
  adapter = write_adapter(folder, loaded, **how)
  networks, written = adapter.networks, adapter.written
  if networks.text is not None:
    write_tokenizer(folder, loaded.tokenizer, networks.text, kind=written.kind)
  is_classifier = written.kind.endswith("Classification")
  labels = f", num_labels={networks.recipes['head'].num_classes}" if is_classifier else ""
  code = (
    f"from peft import PeftModel\nfrom transformers import {written.kind}\n"
    f'base = {written.kind}.from_pretrained("{base or "BASE"}"{labels})\n'
    'model = PeftModel.from_pretrained(base, "FOLDER")'
  )
  described = written._replace(kind=f"adapter of {written.kind}")
  return Made(described, "peft", {"PEFT": code}, lambda: _check(folder, adapter))


def _check(folder: Path, adapter: Adapter) -> str:
  """Compares it on its base model, which is written for this."""
  with tempfile.TemporaryDirectory() as base:
    kind = adapter.written.kind
    written = write_transformers(Path(base), adapter.base, tokenizer=None, kind=kind)
    return lines_of(differences(Path(base), adapter.networks, written, adapter=folder))
