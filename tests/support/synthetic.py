"""Prepared datasets of the shapes that configs name, filled with noise: tests need no download."""

from pathlib import Path
from typing import Any, NamedTuple

import interactions
import numpy as np
import tiny_datasets
import tiny_sounds
import tiny_texts

from pretrainjax.prepare.audio.example import Facts, Sound
from pretrainjax.prepare.image.example import array_corpus


class Texts(NamedTuple):
  """What records of a set of texts hold.

  Attributes:
    length: of packed blocks; None has a text a record.
    second: whether there are two texts.
    class_names: of "label", () without.
    score: whether there is one, in [0, 5].
    tag_names: of "tags", () without.
    questions: whether they are questions about their second text, with an answer or without.
  """

  length: int | None = None
  second: bool = False
  class_names: tuple[str, ...] = ()
  score: bool = False
  tag_names: tuple[str, ...] = ()
  questions: bool = False


# Name: (H, W, C) of the images and how many classes.
SHAPES = {
  "fashion_mnist": ((28, 28, 1), 10),
  "mnist": ((28, 28, 1), 10),
  "cifar10": ((32, 32, 3), 10),
  "imagenet2012": ((48, 64, 3), 1000),
  "images": ((32, 32, 3), 10),  # of the user's own
}
TEXTS = {
  "sotu": Texts(length=256),
  "spam_assassin": Texts(class_names=("ham", "spam")),
  "wordnet": Texts(second=True, class_names=("noun", "verb", "adjective", "adverb")),
  # Sets of the user's own.
  "corpus": Texts(length=2048),
  "tagged": Texts(
    tag_names=("O", *(f"{mark}-{kind}" for kind in ("PER", "LOC", "ORG", "MISC") for mark in "BI"))
  ),
  "prompts": Texts(second=True),
  "scored": Texts(second=True, score=True),
  "questions": Texts(questions=True),
  "labelled": Texts(class_names=("bad", "good")),
}
# Name: seconds of the longest sound, and how many classes; all have transcripts.
SOUNDS = {"sounds": (0.8, 10)}
# Name: users and items.
LOGS = {"interactions": (64, 50)}
# The smoke form of a config names no more examples than these.
SIZES = {"train": 512, "test": 64, "validation": 64}
TEXT_SIZES = SIZES | {"held_out": 64}


def prepare(name: str, data_dir: Path, *, sizes: dict[str, int] | None = None) -> None:
  """Writes DATA_DIR/NAME as tfds would find it, the same at every call.

  Args:
    name: one of SHAPES, TEXTS, SOUNDS or LOGS.
    data_dir: where datasets lie.
    sizes: examples by split; None takes SIZES or TEXT_SIZES.
  """
  if name in TEXTS:
    _prepare_text(name, data_dir, sizes or TEXT_SIZES)
  elif name in SOUNDS:
    _prepare_sounds(name, data_dir, sizes or SIZES)
  elif name in LOGS:
    _prepare_interactions(name, data_dir)
  else:
    _prepare_images(name, data_dir, sizes or SIZES)


def _prepare_images(name: str, data_dir: Path, sizes: dict[str, int]) -> None:
  shape, num_classes = SHAPES[name]
  rng = np.random.default_rng(0)
  splits = {
    split: (rng.integers(0, 256, (count, *shape), np.uint8), np.arange(count) % num_classes)
    for split, count in sizes.items()
  }
  classes = tuple(str(label) for label in range(num_classes))
  corpus = array_corpus(splits, class_names=classes, origin="noise")
  tiny_datasets.write_corpus(name, data_dir, corpus)


def _prepare_sounds(name: str, data_dir: Path, sizes: dict[str, int]) -> None:
  (longest, num_classes), rng = SOUNDS[name], np.random.default_rng(0)

  def sound(split: str, index: int) -> Sound:
    length = int(16_000 * (longest if index == 0 else rng.uniform(longest / 2, longest)))
    audio = rng.integers(-9000, 9000, length).astype(np.int16)
    said = " ".join(rng.choice(["no", "so", "on"], 2))
    facts = Facts(label=str(index % num_classes), text=said, split=split)
    return Sound(f"{split}_{index}", audio, facts)

  tiny_sounds.write(
    name, data_dir, [sound(s, i) for s, count in sizes.items() for i in range(count)]
  )


def _prepare_interactions(name: str, data_dir: Path) -> None:
  """Each user's last event is of "test", the one before of "validation"; items have features."""
  (num_users, num_items), rng = LOGS[name], np.random.default_rng(0)
  rows = [rng.integers(1, num_items + 1, rng.integers(5, 20)).tolist() for _ in range(num_users)]
  splits = {"train": [row[:-2] for row in rows], "validation": [row[:-1] for row in rows]}
  interactions.write_interactions(
    data_dir / name,
    splits | {"test": rows},
    num_items=num_items,
    item_features=[{"kind": ["even", "odd"][i % 2], "tags": ["a", "b"]} for i in range(num_items)],
  )


def _prepare_text(name: str, data_dir: Path, sizes: dict[str, int]) -> None:
  texts, rng = TEXTS[name], np.random.default_rng(0)
  make = _block if texts.length else _example
  splits = {split: [make(texts, i, rng) for i in range(n)] for split, n in sizes.items()}
  names = {"class_names": texts.class_names, "tag_names": texts.tag_names}
  tiny_texts.write(name, data_dir, splits, length=texts.length, **names)


def _block(texts: Texts, index: int, rng: np.random.Generator) -> dict[str, Any]:
  """One document, two or three, and padding in every 16th row."""
  room = texts.length - (20 if index % 16 == 15 else 0)
  cuts = np.sort(rng.choice(np.arange(8, room - 8, 8), index % 3, replace=False))
  lengths = np.diff(np.concatenate([[0], cuts, [room]])) - 2
  return tiny_texts.block([_ids(rng, int(n)) for n in lengths], texts.length)


def _example(texts: Texts, index: int, rng: np.random.Generator) -> dict[str, Any]:
  if texts.questions:
    words = rng.choice(tiny_texts.WORDS, int(rng.integers(3, 12))).tolist()
    answer = "" if index % 3 == 2 else words[int(rng.integers(len(words)))]
    question, made = f"is it {index} ?", tiny_texts.tokenizer()
    return tiny_texts.window(question, " ".join(words), answer, made=made)
  count = int(rng.integers(3, 40))
  record: dict[str, Any] = {"tokens": _ids(rng, count)}
  if texts.second:
    record["second"] = _ids(rng, int(rng.integers(1, 20)))
  if texts.class_names:
    record["label"] = index % len(texts.class_names)
  if texts.score:
    record["score"] = float(rng.uniform(0, 5))
  if texts.tag_names:
    tags = rng.integers(0, len(texts.tag_names), count)
    record["tags"] = np.where(rng.random(count) < 0.3, tiny_texts.NO_TAG, tags)
  return record


def _ids(rng: np.random.Generator, count: int) -> list[int]:
  return rng.integers(tiny_texts.FIRST_ID, tiny_texts.tokenizer().vocab_size, count).tolist()
