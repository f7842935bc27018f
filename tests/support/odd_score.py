"""Texts with scores, one of which is odd: a batch whose loss is what a test wants it to be."""

from pathlib import Path

import binaries
import numpy as np
import tiny_texts

from pretrainjax.data.prepared import PreparedSplit

CONFIG = str(binaries.ROOT / "configs/finetune/text/bert_score.py") + ":smoke"
SEED = 4  # has the odd record in the third batch of 8, and then not before the 13th


def prepare(folder: Path, *, odd: float) -> None:
  """Writes "scored" of 64 records, 63 with scores in [0, 5].

  Args:
    folder: where datasets lie.
    odd: the other one's score.
  """
  rng = np.random.default_rng(0)

  def record(i: int) -> dict:
    tokens = rng.integers(tiny_texts.FIRST_ID, tiny_texts.tokenizer().vocab_size, (2, 9)).tolist()
    score = odd if i == 20 else float(rng.uniform(0, 5))
    return {"tokens": tokens[0], "second": tokens[1], "score": score}

  splits = {split: [record(i) for i in numbers] for split, numbers in _SPLITS.items()}
  tiny_texts.write("scored", folder, splits)


_SPLITS = {"train": range(64), "test": range(100, 164)}


def key_of_odd(folder: Path) -> str:
  """The key of the odd record; tfds shuffles as it writes."""
  source = PreparedSplit("scored", "train", folder)
  records = source.records(np.arange(len(source)))
  scores = [fields["score"].float_list.value[0] for fields in records]
  return f"scored/train/{int(np.argmax(scores))}"


def arguments(workdir: Path, data: Path, *, mode: str, steps: int) -> tuple[str, ...]:
  """Of `finetune` on it."""
  return (
    f"--config={CONFIG}",
    f"--workdir={workdir}",
    f"--data_dir={data}",
    f"--config.parallel.mode={mode}",
    f"--config.train.duration.steps={steps}",
    f"--config.seed={SEED}",
    # Not the range and the share of the set that the config takes from it: 1e25 would be in range.
    "--config.objective.score_range=(0.0,5.0)",
    "--config.data.part=all",
    "--config.train.tracking.tensorboard=false",
  )
