"""A visit: its time limit, the processes it starts, and results that are on disk at once."""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from alternate import Side, SideFailed

SCRIPT = Path(__file__).parents[1] / "gpu_visit.py"
FILE = "visit.json"
# What XLA takes of a GPU's memory at start, otherwise; the other side needs some too.
ENVIRONMENT = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


class Visit:
  """Runs parts until the time is over; `found` is what OUT/visit.json holds.

  Args:
    out: folder for the results.
    minutes: after which all processes are ended.
    sizes: "full" or "tiny".
    dtype: of steps, generation and sweep.
  """

  def __init__(self, out: Path, *, minutes: float, sizes: str, dtype: str):
    out.mkdir(parents=True, exist_ok=True)
    self.out, self.sizes, self.dtype = out, sizes, dtype
    arguments = {"minutes": minutes, "sizes": sizes, "dtype": dtype}
    self.found: dict[str, Any] = {"arguments": arguments, "results": [], "failed": [], "left": []}
    self._start, self._seconds = time.monotonic(), minutes * 60
    self._running: set[Side] = set()
    self._timer = threading.Timer(self._seconds, self._end_all)
    self.is_over = False

  @staticmethod
  def load(out: Path) -> dict[str, Any]:
    """What an earlier visit found."""
    return json.loads((out / FILE).read_text())

  def __enter__(self) -> "Visit":
    self._timer.start()
    return self

  def __exit__(self, *_: object) -> None:
    self._timer.cancel()
    self._end_all()
    self.found["seconds"] = round(time.monotonic() - self._start)
    self._write()

  def attempt(self, body: Callable[[], None], *, part: str, **about: Any) -> None:
    """Calls `body`; what it raises is reported, as failed or, once the time is over, as left out.

    Args:
      body: does and records one thing.
      part: that it belongs to.
      **about: what it is, by name, for the report.
    """
    if self.is_over:
      self._report("left", {"part": part, **about, "reason": "the time was over"})
      return
    try:
      body()
    except Exception as error:
      reason = str(error) if isinstance(error, SideFailed) else f"{type(error).__name__}: {error}"
      place = "left" if self.is_over else "failed"
      self._report(place, {"part": part, **about, "reason": reason[:500]})

  def record(self, part: str, **result: Any) -> None:
    """Writes a result down at once."""
    self.found["results"].append({"part": part, **result})
    self._write()
    words = [f"{k}={v}" for k, v in result.items() if isinstance(v, (str, int, float))]
    self._say(f"{part}: {', '.join(words)}")

  def results(self, part: str) -> list[dict[str, Any]]:
    """What a part has recorded so far."""
    return [r for r in self.found["results"] if r["part"] == part]

  @contextlib.contextmanager
  def process(
    self, serve: str, *more: str, environment: Mapping[str, str] | None = None
  ) -> Iterator[Side]:
    """A process that serves a part, ended with the block; a visit that is over starts none."""
    if self.is_over:
      raise SideFailed("the time is over")
    flags = (f"--out={self.out}", f"--sizes={self.sizes}", f"--dtype={self.dtype}")
    command = [sys.executable, str(SCRIPT), *flags, f"--serve={serve}", *more]
    process = Side(command, {**ENVIRONMENT, **(environment or {})})
    self._running.add(process)
    try:
      yield process
    finally:
      self._running.discard(process)
      process.kill()

  def _end_all(self) -> None:
    self.is_over = True
    for process in list(self._running):
      process.kill()

  def _report(self, place: str, row: dict[str, Any]) -> None:
    self.found[place].append(row)
    self._write()
    self._say(f"{place}: {', '.join(map(str, row.values()))}")

  def _write(self) -> None:
    new = self.out / f"{FILE}.new"
    new.write_text(json.dumps(self.found, indent=1))
    new.replace(self.out / FILE)

  def _say(self, line: str) -> None:
    passed = time.monotonic() - self._start
    print(f"{passed:5.0f} s  {line}", file=sys.stderr, flush=True)
