import pytest
from visit import wheels


@pytest.mark.parity
def test_what_must_travel_is_small_and_pure():
  """Where torch and transformers are installed, so that it is known what they bring along."""
  for name in ("torch", "transformers"):
    pytest.importorskip(name)
  found = wheels.needed(wheels.HAVE)
  assert all(wheel.is_pure for wheel in found), found
  assert sum(wheel.kilobytes for wheel in found) < 10_000
  names = {wheel.name.partition("==")[0] for wheel in found}
  heavy = {"tensorflow-datasets", "grain", "array-record", "matplotlib", "opencv-python-headless"}
  assert "jaxtyping" in names and not names & (heavy | {"tensorboardx", "jax", "pretrainjax"})


def test_a_machine_that_has_more_needs_less():
  found = {wheel.name for wheel in wheels.needed((*wheels.HAVE, "jaxtyping"))}
  assert not any(name.startswith("jaxtyping") for name in found)


def test_requirements_are_followed_but_for_extras():
  found = wheels.closure(["flax"])
  assert {"flax", "jax", "jaxlib", "numpy", "optax"} <= found
  assert "pytest" not in found
