"""How far outputs of an export may be from those of the networks that it was made of."""

import numpy as np
from jaxtyping import Float

from pretrainjax.errors import UserError

# Of the largest output, by the dtype that weights were written in. Float32 differs by the order of
# sums alone, through all layers; in the others each weight is rounded.
TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


def largest_difference(
  name: str,
  ours: Float[np.ndarray, "..."],
  theirs: Float[np.ndarray, "..."],
  *,
  tolerance: float,
) -> float:
  """The largest difference of two outputs, max |ours - theirs|.

  Args:
    name: what the outputs are of, for the error.
    ours: outputs of the networks.
    theirs: outputs of the export.
    tolerance: the part of the largest output, or of 1 where that is less, that is allowed.

  Raises:
    UserError: where they differ by more, or are no numbers.
  """
  ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
  found, scale = float(np.abs(ours - theirs).max()), max(1.0, float(np.abs(ours).max()))
  if not found <= tolerance * scale:  # NaN is not
    raise UserError(
      f"--check: of {name}, outputs up to {scale:.2e} differ by {found:.2e}, expected at most "
      f"{tolerance * scale:.2e}; nothing is exported"
    )
  return found
