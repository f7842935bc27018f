"""New names of what stored configs may still call by an old one; entries stay for good."""

# Old "module:Name" -> new one, which may have moved again since.
MOVED: dict[str, str] = {
  "pretrainjax.objectives.contrastive.simclr:SimCLR": "pretrainjax.objectives.joint.simclr:SimCLR",
  "pretrainjax.objectives.contrastive.simcse:SimCSE": "pretrainjax.objectives.joint.simcse:SimCSE",
}
