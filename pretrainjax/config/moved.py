"""New names of what stored configs may still call by an old one; entries stay for good."""

# Old "module:Name" -> new one, which may have moved again since.
MOVED: dict[str, str] = {
  "pretrainjax.objectives.contrastive.simclr:SimCLR": "pretrainjax.objectives.joint.simclr:SimCLR",
  "pretrainjax.objectives.contrastive.simcse:SimCSE": "pretrainjax.objectives.joint.simcse:SimCSE",
}
# New "module:Name" -> its arguments by their old names -> by their new ones.
RENAMED: dict[str, dict[str, str]] = {}


def today(name: str) -> str:
  """What "module:Name" is called now; a name that never moved is its own.

  Raises:
    ValueError: where MOVED leads in a circle.
  """
  seen = [name]
  while name in MOVED:
    name = MOVED[name]
    if name in seen:
      raise ValueError(f"config/moved.py: a circle, {' -> '.join([*seen, name])}")
    seen.append(name)
  return name


def argument_today(name: str, argument: str) -> str:
  """What an argument of "module:Name", a name of today, is called now."""
  return RENAMED.get(name, {}).get(argument, argument)
