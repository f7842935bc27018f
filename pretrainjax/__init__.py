"""pretrainjax: pretraining without labels in JAX, for research code that loads the result."""

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "describe", "load", "load_encoder", "load_model", "load_params"]


def __getattr__(name: str) -> Any:
  # Lazily, so that importing the package costs nothing and starts no backend.
  if name in ("load", "load_encoder"):
    from pretrainjax.checkpoint import encoder

    return getattr(encoder, name)
  if name == "load_model":
    from pretrainjax.generation.model import load_model

    return load_model
  if name == "load_params":
    from pretrainjax.train.load_params import load_params

    return load_params
  if name == "describe":
    from pretrainjax.report.description import describe

    return describe
  raise AttributeError(f"module 'pretrainjax' has no attribute '{name}'")
