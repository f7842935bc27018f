"""Frames a second of our prefix beam search and of flashlight-text's, on the same frames.

    python benchmarks/beam_vs_flashlight.py --rounds=5

They take turns, and the best round of each counts, in seconds of the processor. flashlight-text has
wheels to Python 3.12: `pip install flashlight-text` into an environment of its own.
"""

import argparse
import time

import numpy as np

from pretrainjax.generation.ctc_beam import beam_search


def random_frames(count: int, classes: int) -> np.ndarray:
  """Log-probabilities of a network that is unsure: the worst case of a search."""
  x = np.random.default_rng(0).normal(size=(count, classes)) * 3
  return (x - np.log(np.exp(x).sum(axis=1, keepdims=True))).astype(np.float32)


def theirs(logs: np.ndarray, width: int):
  """A search by flashlight-text, to be called."""
  from flashlight.lib.text import decoder  # of an environment of its own

  options = decoder.LexiconFreeDecoderOptions(
    beam_size=width,
    beam_size_token=logs.shape[1],
    beam_threshold=1e3,
    lm_weight=0.0,
    sil_score=0.0,
    log_add=True,
    criterion_type=decoder.CriterionType.CTC,
  )
  made = decoder.LexiconFreeDecoder(options, decoder.ZeroLM(), 0, 0, [])
  return lambda: made.decode(logs.ctypes.data, *logs.shape)


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--frames", type=int, default=200)
  parser.add_argument("--classes", type=int, default=32)
  parser.add_argument("--width", type=int, default=50)
  parser.add_argument("--rounds", type=int, default=5)
  options = parser.parse_args()
  logs = random_frames(options.frames, options.classes)
  searches = {
    "ours": lambda: beam_search(logs, blank_id=0, width=options.width),
    "flashlight-text": theirs(logs, options.width),
  }
  seconds: dict[str, list[float]] = {name: [] for name in searches}
  for _ in range(options.rounds):
    for name, search in searches.items():
      start = time.process_time()
      search()
      seconds[name].append(time.process_time() - start)
  for name, found in seconds.items():
    print(f"{name}: {options.frames / min(found):,.0f} frames/s")
  return 0


if __name__ == "__main__":
  raise SystemExit(main())
