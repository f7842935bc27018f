"""The folders that transformers, sentence-transformers and timm load, each by its `made.Maker`."""

import argparse
from pathlib import Path

from pretrainjax.checkpoint.encoder import Loaded
from pretrainjax.checkpoint.reference import Reference
from pretrainjax.export.card import uses_of
from pretrainjax.export.check import differences, lines_of
from pretrainjax.export.made import Made
from pretrainjax.export.networks import Networks, networks_of
from pretrainjax.export.sentence_transformers import write_sentence_transformers
from pretrainjax.export.timm import write_timm
from pretrainjax.export.whisper import write_whisper_texts
from pretrainjax.export.write import Written, write_transformers
from pretrainjax.generation.whisper import is_whisper
from pretrainjax.generation.whisper_tokens import WhisperTokens


def make_transformers(
  folder: Path, loaded: Loaded, *, reference: Reference, options: argparse.Namespace
) -> Made:
  """Writes a run as a folder of transformers, see `made.Maker`."""
  networks = networks_of(loaded, reference.part)
  written = _written(folder, loaded, networks, options)
  writes = written.kind.endswith("ForConditionalGeneration") and is_whisper(loaded)
  if writes and loaded.tokenizer is not None:
    write_whisper_texts(folder, WhisperTokens.of(loaded))
  return _made(folder, loaded, networks, written, options)


def make_sentence_transformers(
  folder: Path, loaded: Loaded, *, reference: Reference, options: argparse.Namespace
) -> Made:
  """Writes an encoder of texts with what sentence-transformers says of it, see `made.Maker`."""
  networks = networks_of(loaded, reference.part or "encoder")
  written = _written(folder, loaded, networks, options)
  write_sentence_transformers(folder, networks.recipes["backbone"], kind=written.kind)
  return _made(folder, loaded, networks, written, options)


def make_timm(
  folder: Path, loaded: Loaded, *, reference: Reference, options: argparse.Namespace
) -> Made:
  """Writes a run by timm's names, see `made.Maker`."""
  networks = networks_of(loaded, reference.part)
  written = write_timm(folder, networks, kind=options.architecture, dtype=options.dtype)
  return _made(folder, loaded, networks, written, options)


def _written(
  folder: Path, loaded: Loaded, networks: Networks, options: argparse.Namespace
) -> Written:
  return write_transformers(
    folder,
    networks,
    tokenizer=loaded.tokenizer,
    kind=options.architecture,
    dtype=options.dtype,
    max_shard_size=options.max_shard_size,
  )


def _made(
  folder: Path,
  loaded: Loaded,
  networks: Networks,
  written: Written,
  options: argparse.Namespace,
) -> Made:
  uses = uses_of(written, networks.image or networks.text)

  def check() -> str:
    return lines_of(differences(folder, networks, written, dtype=options.dtype))

  return Made(written, written.library, uses, check)
