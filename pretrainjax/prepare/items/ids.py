"""Ids of users or items as numbers: a compact dictionary that lasts with the journal's files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from pretrainjax.prepare.stages.appended import Appended

_TEXT = pa.large_string()


class Ids:
  """Different ids in the order in which they came first, about 16 bytes beside their letters each.

  Two files of the work folder hold them: NAME.letters and NAME.lengths.
  """

  def __init__(self, name: str, folder: Path, files: Appended):
    """Takes up what the files hold, as the last commit left them.

    Args:
      name: the name of the files.
      folder: the folder of the files.
      files: the files that it can append to.
    """
    self._name, self._files = name, files
    # What a run wrote that was stopped before its first commit is not known, and begun anew.
    is_begun = files.size(f"{name}.lengths") > 0
    self._known = read_ids(name, folder) if is_begun else pa.array([], _TEXT)

  def __len__(self) -> int:
    return len(self._known)

  def numbers(self, names: pa.Array) -> Int64[np.ndarray, " N"]:
    """The number of each id, from 0; new ones are taken up.

    Args:
      names: ids, none of them null, with a dictionary or without.
    """
    encoded = names if pa.types.is_dictionary(names.type) else names.dictionary_encode()
    places = encoded.indices.cast(pa.int64()).to_numpy(zero_copy_only=False)
    is_used = np.bincount(places, minlength=len(encoded.dictionary)) > 0
    used = encoded.dictionary.cast(_TEXT).filter(pa.array(is_used))
    different = pc.unique(used)
    found = pc.index_in(different, value_set=self._known)
    is_new = found.is_null()
    self._append(different.filter(is_new), first=len(self._known))
    fresh = is_new.to_numpy(zero_copy_only=False)
    of_different = found.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    of_different[fresh] = len(self._known) - int(fresh.sum()) + np.arange(int(fresh.sum()))
    of_used = pc.index_in(used, value_set=different).to_numpy(zero_copy_only=False)
    of_places = np.zeros(len(is_used), np.int64)
    of_places[is_used] = of_different[of_used]
    return of_places[places]

  def _append(self, new: pa.Array, *, first: int) -> None:
    if not len(new):
      return
    lengths = pc.binary_length(new).cast(pa.int64()).to_numpy(zero_copy_only=False)
    self._files.append(f"{self._name}.lengths", lengths.astype(np.int32).tobytes())
    self._files.append(f"{self._name}.letters", "".join(new.to_pylist()).encode())
    self._known = pa.concat_arrays([self._known, new]) if first else new


def read_ids(name: str, folder: Path) -> pa.Array:
  """All ids that `Ids` wrote, by their numbers.

  Args:
    name: the name of the files.
    folder: the folder of the files.
  """
  if not (folder / f"{name}.lengths").exists():
    return pa.array([], _TEXT)
  lengths = np.fromfile(folder / f"{name}.lengths", np.int32)
  ends = np.cumsum(np.append(np.int64(0), lengths.astype(np.int64)))
  letters = (folder / f"{name}.letters").read_bytes()
  return pa.LargeStringArray.from_buffers(len(lengths), pa.py_buffer(ends), pa.py_buffer(letters))
