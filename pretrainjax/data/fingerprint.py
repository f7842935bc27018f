"""Fingerprints of prepared datasets: whether a set is what it was, without reading all of it."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pretrainjax.untrusted import BadFile, open_file, read_json

# Bytes that are read of all files of a set together, about, and at least of each end of a file.
_ALL, _LEAST, _MOST = 1 << 26, 1 << 12, 1 << 18
_SHARDS = (".array_record-", ".tfrecord-")
Fingerprint = dict[str, Any]


def dataset_fingerprint(folder: Path) -> Fingerprint:
  """The fingerprint of a prepared dataset, plain values.

  It is made of what `prepare` wrote of the set, and of sizes and both ends of its files: a set of a
  terabyte takes no longer than reading 64 MiB.

  Args:
    folder: the folder of the newest version.

  Returns:
    "examples": their number by split; "features": a digest of features.json; "records": a digest of
    all records in their order, None where something else than `prepare` wrote the set; "files": a
    digest of sizes and ends of its files, which depends on how records were packed.

  Raises:
    BadFile: where a file is damaged.
  """
  info = read_json(folder / "dataset_info.json", inside=folder)
  try:
    examples = {
      str(split["name"]): sum(int(length) for length in split["shardLengths"])
      for split in info["splits"]
    }
  except (KeyError, TypeError, ValueError) as error:
    raise BadFile(folder / "dataset_info.json", "names no splits with lengths") from error
  features = read_json(folder / "features.json", inside=folder)
  return {
    "examples": dict(sorted(examples.items())),
    "features": _digest(json.dumps(features, sort_keys=True).encode()),
    "records": _noted_records(folder),
    "files": _files(folder),
  }


def difference(name: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
  """Says in what a dataset differs from what it was, "" where it is the same.

  Args:
    name: the name of the dataset.
    before: an earlier fingerprint.
    now: the fingerprint of today.
  """
  if before.get("examples") != now["examples"]:
    return f"'{name}' has {_counts(now['examples'])}, and had {_counts(before.get('examples'))}"
  if before.get("features") != now["features"]:
    return f"'{name}' has other features than it had"
  # What was packed anew, by another version or on another machine, is the same set.
  kind = "records" if before.get("records") and now["records"] else "files"
  if before.get(kind) != now[kind]:
    return (
      f"'{name}' has as many examples as it had, but others ({kind} {now[kind]}, and had "
      f"{before.get(kind)})"
    )
  return ""


def _noted_records(folder: Path) -> str | None:
  """The digest of all records, as `prepare` noted it by split; None without."""
  path = folder / "prepared.json"
  if not os.path.lexists(path):
    return None
  found = read_json(path, inside=folder)
  noted = found.get("record_digests") if isinstance(found, dict) else None
  return _digest(json.dumps(noted, sort_keys=True).encode()) if isinstance(noted, dict) else None


def _files(folder: Path) -> str:
  paths = sorted(p for p in folder.iterdir() if any(kind in p.name for kind in _SHARDS))
  length = min(max(_ALL // max(2 * len(paths), 1), _LEAST), _MOST)
  whole = hashlib.blake2b(digest_size=8)
  for path in paths:
    try:
      with open_file(path, inside=folder) as file:
        size = file.seek(0, 2)
        whole.update(f"{path.name.partition('-')[2]} {size}\n".encode("utf-8", "backslashreplace"))
        for start in (0, max(size - length, 0)):
          file.seek(start)
          whole.update(file.read(length))
    except OSError as error:
      raise BadFile(path, f"cannot be read ({error.strerror})") from error
  return whole.hexdigest()


def _counts(examples: Any) -> str:
  if not isinstance(examples, Mapping):
    return "an unknown number of examples"
  return " + ".join(f"{count} {split}" for split, count in examples.items()) or "no split"


def _digest(data: bytes) -> str:
  return hashlib.blake2b(data, digest_size=8).hexdigest()
