"""What config files import: `spec`, `recipe` and `build`."""

from pretrainjax.config.objects import build, recipe, spec

__all__ = ["build", "recipe", "spec"]
