"""What a run is made with, data and code: noted in its checkpoints, and compared on resume."""

import contextlib
import hashlib
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pretrainjax
from pretrainjax.checkpoint import sealed
from pretrainjax.data.fingerprint import difference
from pretrainjax.errors import UserError
from pretrainjax.process.distributed import gather
from pretrainjax.workdir.tokenizer import data_of

Provenance = dict[str, Any]
_log = logging.getLogger(__name__)


def provenance(data: Any, evaluators: Mapping[str, Any]) -> Provenance:
  """Fingerprints of what a run is made with, plain values, for its checkpoints.

  Args:
    data: the training data.
    evaluators: the evaluators by name, whose data count too.

  Returns:
    "data": a fingerprint of each prepared dataset by its name; "code": the version of this package,
    and a digest of its source.
  """
  sets: dict[str, Any] = {}
  for one in data_of(evaluators).values():
    with contextlib.suppress(UserError):  # what is wrong with it is told where it is read
      sets |= getattr(one, "fingerprints", {})
  sets |= getattr(data, "fingerprints", {})
  return {"data": sets, "code": {"version": pretrainjax.__version__, "source": source_digest()}}


def check_same_everywhere(now: Provenance) -> None:
  """Refuses processes that read other data, or run other code, than process 0.

  Args:
    now: the provenance of this process.

  Raises:
    UserError: naming the processes; on all of them alike.
  """
  for part, flag in (("data", "--data_dir"), ("code", "the package")):
    said = gather(f"the same {part}", repr(now[part]))
    others = [str(index) for index, text in enumerate(said) if text != said[0]]
    if others:
      raise UserError(
        f"{flag}: process {', '.join(others)} has other {part} than process 0, expected the same "
        "on all hosts"
      )


def check_provenance(workdir: Path, now: Provenance, *, allow_change: bool) -> None:
  """Compares what a run's newest checkpoint was made with, to be called on one process only.

  Other data are refused; other code, and checkpoints that do not say, are told in a line.

  Args:
    workdir: the folder of the run.
    now: what the run is made with today.
    allow_change: whether to go on with other data all the same.

  Raises:
    UserError: where a dataset of the same name is another one than before.
  """
  step, before = next(_saved(workdir), (None, None))
  if step is None:
    return
  if before is None:
    _log.warning(
      "step %d does not say with which data and code it was made, as it is of an earlier version: "
      "whether they are the same is not known",
      step,
    )
    return
  saved, data = before["data"], now["data"]
  changed = [difference(name, saved[name], data[name]) for name in data if name in saved]
  changed = [text for text in changed if text]
  if changed and not allow_change:
    raise UserError(
      f"--data_dir: not the data that step {step} of '{workdir}' was trained on: "
      f"{'; '.join(changed)}; put them back, choose another --workdir, or say --allow_data_change "
      "to go on with these"
    )
  if changed:
    _log.warning("going on with other data: %s", "; ".join(changed))
  if before["code"] != now["code"]:
    _log.warning(
      "going on with other code: step %d was saved by pretrainjax %s, this is %s; the numbers that "
      "follow may be others than they would have been",
      step,
      _version(before["code"], now["code"]),
      _version(now["code"], before["code"]),
    )


def source_digest() -> str:
  """A digest of the source of this package, 16 hex digits."""
  folder = Path(pretrainjax.__file__).parent
  whole = hashlib.blake2b(digest_size=8)
  for path in sorted(folder.rglob("*.py")):
    whole.update(f"{path.relative_to(folder).as_posix()}\0".encode())
    whole.update(hashlib.blake2b(path.read_bytes()).digest())
  return whole.hexdigest()


def _saved(workdir: Path) -> Iterator[tuple[int, Provenance | None]]:
  """The intact steps, newest first, with what they were made with; None where they do not say."""
  for step in sorted(sealed.numbered(workdir), reverse=True):
    try:
      meta, _ = sealed.read(workdir / sealed.FOLDER / str(step))
    except sealed.Damaged:  # which is told where the arrays are read
      continue
    yield step, meta.get("made_with")


def _version(code: Mapping[str, str], other: Mapping[str, str]) -> str:
  """The version, and the digest of the source where only that differs."""
  if code["version"] != other["version"]:
    return code["version"]
  return f"{code['version']} with source {code['source']}"
