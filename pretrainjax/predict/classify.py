"""Tells classes: `predict classify --workdir=WORKDIR --input=FILES`, of images, sounds or texts.

The likeliest classes of each example are shown, or written to --out: .jsonl, .csv or .parquet.
Order is kept, and a command that was stopped goes on where it was when it is given again: finished
parts lie in OUT.parts until all are there.
"""

import argparse
import contextlib
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx
from jaxtyping import Float

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.command import Request
from pretrainjax.convert.folder import scores_classes_alone
from pretrainjax.data.dataset_folder import data_folder, newest_version
from pretrainjax.data.prepared import PreparedSplit
from pretrainjax.errors import UserError
from pretrainjax.models.heads import Head
from pretrainjax.models.image_encoder import ImageEncoder
from pretrainjax.models.sound_encoder import SoundEncoder
from pretrainjax.objectives.imported import Imported
from pretrainjax.objectives.supervised.classification import Classification
from pretrainjax.predict import embed_images, embed_sounds
from pretrainjax.predict.class_file import SUFFIXES, Classified, write_classified
from pretrainjax.predict.encoded_inputs import Inputs, encoded_parts, identity_of, left_out
from pretrainjax.predict.feature_file import new_file
from pretrainjax.predict.parts import claim
from pretrainjax.predict.text_inputs import Texts, open_texts
from pretrainjax.predict.texts import FORMS
from pretrainjax.predict.texts import add_flags as add_text_flags
from pretrainjax.types import Batch, Encoded


class Scores(nnx.Module):
  """A classifier as an encoder, whose pooled feature is the logits of the classes.

  Args:
    encoder: the encoder of the run.
    head: the classifier of its features.
  """

  def __init__(self, encoder: Any, head: Head):
    self.encoder, self.head = encoder, head
    self.embed_dim = head.num_classes
    self.max_length = getattr(encoder, "max_length", None)

  def inputs(self, batch: Batch) -> Any:
    """What the encoder reads of a batch."""
    return self.encoder.inputs(batch)

  def __call__(self, inputs: Any, **options: Any) -> Encoded:
    """The encoder's result with logits in place of its pooled feature."""
    encoded = self.encoder(inputs, **options)
    return encoded._replace(pooled=self.head(encoded.pooled))


def add_flags(parser: argparse.ArgumentParser) -> None:
  """Adds the flags of `predict classify`."""
  parser.add_argument(
    "--input",
    metavar="FILE",
    nargs="+",
    help=f"images: files, a folder or a prepared set; sounds: files, or folders; texts: {FORMS}",
  )
  parser.add_argument("--out", metavar="FILE", help=f"{', '.join(SUFFIXES)}; unless given, shown")
  parser.add_argument("--top", type=int, default=5, help="classes of each (default: 5)")
  add_text_flags(parser, usual="text")
  parser.add_argument("--batch_size", type=int, default=64, help="at once (default: 64)")
  embed_images.add_flags(parser)
  embed_sounds.add_flags(parser)


def work(request: Request, loaded: Loaded) -> None:
  """Runs `predict classify`."""
  options = request.options
  if not options.input:
    raise UserError("--input: found nothing, expected images, sounds or texts")
  for flag in ("top", "batch_size"):
    if getattr(options, flag) < 1:
      raise UserError(f"--{flag}: found {getattr(options, flag)}, expected at least 1")
  out = None if options.out is None else new_file(options.out, SUFFIXES)
  scores = _scores(loaded, Reference.parse(request.workdir).folder)
  inputs = _inputs(loaded, options)
  names = _class_names(loaded, options, num_classes=scores.embed_dim)
  top, missing = min(options.top, len(names)), []
  theirs = loaded.workdir if loaded.source == "hf" else None
  alone = theirs is not None and scores_classes_alone(theirs)
  with _folder(out) as folder:
    claim(folder, identity_of(inputs, scores) | {"top": top})
    parts = encoded_parts(
      inputs, scores, folder, arrays=lambda logits: ranked(logits, top=top, alone=alone)
    )
    rows = _classified(inputs, parts, names, missing)
    count = _show(rows) if out is None else _write(out, rows, inputs, top)
  if not count:
    raise UserError(f"--input: none of {inputs.num_examples} {inputs.kind} can be read")
  if out is not None:
    shutil.rmtree(folder)
    print(f"classes of {count} {inputs.kind}: {out}")
  if missing:
    print(left_out(missing), file=sys.stderr if out is None else sys.stdout)


def ranked(
  logits: Float[np.ndarray, "N K"], *, top: int, alone: bool = False
) -> dict[str, np.ndarray]:
  """The likeliest classes of each example, likeliest first.

  Args:
    logits: the scores of all classes.
    top: the number of classes that are wanted, at most K.
    alone: whether each class is true or not by itself, by a sigmoid; else one is, by softmax.

  Returns:
    "classes", their numbers int32 "N top", and "probabilities", float32 alike.
  """
  found = logits.astype(np.float64)
  if alone:
    shares = 0.5 * (1 + np.tanh(found / 2))
  else:
    shares = np.exp(found - found.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
  classes = np.argsort(-shares, axis=1, kind="stable")[:, :top]
  probabilities = np.take_along_axis(shares, classes, axis=1)
  return {
    "classes": classes.astype(np.int32),
    "probabilities": probabilities.astype(np.float32),
  }


def _scores(loaded: Loaded, workdir: Path) -> Scores:
  head = getattr(loaded.module, "head", None)
  is_classifier = isinstance(loaded.objective, (Classification, Imported))
  if not is_classifier or not isinstance(head, Head) or head.num_classes < 2:
    raise UserError(f"--workdir: '{workdir}' is {loaded.title}, expected a classifier")
  return Scores(loaded.module.encoder, head)


def _inputs(loaded: Loaded, options: argparse.Namespace) -> Inputs:
  if isinstance(loaded.encoder, ImageEncoder):
    return embed_images.open_images(loaded, options)
  if isinstance(loaded.encoder, SoundEncoder):
    return embed_sounds.open_sounds(loaded, options)
  return open_texts(loaded, options)


def _class_names(
  loaded: Loaded, options: argparse.Namespace, *, num_classes: int
) -> tuple[str, ...]:
  """The names that the run kept, else those of its dataset where it is there, else numbers."""
  numbers = tuple(str(i) for i in range(num_classes))
  data = loaded.config.get("data") or {}
  data_dir = data_folder(options.data_dir or data.get("data_dir"))
  names, dataset = loaded.class_names, data.get("datasets")
  if not names and isinstance(dataset, str) and newest_version(dataset, data_dir) is not None:
    names = PreparedSplit(dataset, data.get("split", "train"), data_dir).class_names
  return names if len(names) == num_classes else numbers


@contextlib.contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
  """The folder of the parts; of what is shown it is not kept."""
  if out is not None:
    yield out.with_name(out.name + ".parts")
    return
  with tempfile.TemporaryDirectory() as folder:
    yield Path(folder)


def _classified(
  inputs: Inputs,
  parts: Iterator[Mapping[str, np.ndarray]],
  class_names: tuple[str, ...],
  missing: list[str],
) -> Iterator[Classified]:
  """The examples of all parts; what could not be read is put into `missing`."""
  texts = inputs.texts() if isinstance(inputs, Texts) else None
  for part in parts:
    missing += part["missing"].tolist()
    count = len(part["classes"])
    names = part["names"].tolist() if texts is None else itertools.islice(texts, count)
    pairs = (part["classes"].tolist(), part["probabilities"].tolist())
    for name, classes, shares in zip(names, *pairs, strict=True):
      yield Classified(name, [class_names[i] for i in classes], shares)


def _show(rows: Iterator[Classified]) -> int:
  count = 0
  for count, row in enumerate(rows, start=1):  # noqa: B007
    print(row.line, flush=True)
  return count


def _write(out: Path, rows: Iterator[Classified], inputs: Inputs, top: int) -> int:
  key = "text" if isinstance(inputs, Texts) else "file"
  return write_classified(out, rows, key=key, top=top)
