"""New names of what stored configs may still call by an old one; entries stay for good."""

_OLD, _NEW = "pretrainjax.data.builders", "pretrainjax.prepare"

# Old "module:Name" -> new one, which may have moved again since.
MOVED: dict[str, str] = {
  "pretrainjax.augment:ColorAugment": "pretrainjax.augment.color:ColorAugment",
  "pretrainjax.evaluators.classification:ClassificationAccuracy": (
    "pretrainjax.evaluators.classification_accuracy:ClassificationAccuracy"
  ),
  "pretrainjax.evaluators.regression:RegressionScore": (
    "pretrainjax.evaluators.regression_score:RegressionScore"
  ),
  "pretrainjax.objectives.contrastive.simclr:SimCLR": "pretrainjax.objectives.joint.simclr:SimCLR",
  "pretrainjax.objectives.contrastive.simcse:SimCSE": "pretrainjax.objectives.joint.simcse:SimCSE",
  f"{_OLD}.digits.source:Source": f"{_NEW}.image.sets.digits:Source",
  f"{_OLD}.fashion_mnist.source:Source": f"{_NEW}.image.sets.fashion_mnist:Source",
  f"{_OLD}.image_folder.source:Source": f"{_NEW}.image.folder:Source",
  f"{_OLD}.sotu.source:Source": f"{_NEW}.text.sets.sotu:Source",
  f"{_OLD}.spam_assassin.source:Source": f"{_NEW}.text.sets.spam_assassin:Source",
  f"{_OLD}.wordnet.source:Source": f"{_NEW}.text.sets.wordnet:Source",
  f"{_OLD}.text.source:Source": f"{_NEW}.text.folder:Source",
  f"{_OLD}.text.cleaning:Cleaning": f"{_NEW}.text.cleaning:Cleaning",
  f"{_OLD}.text.duplicates:Duplicates": f"{_NEW}.text.duplicates:Duplicates",
  f"{_OLD}.text.fields:Fields": f"{_NEW}.text.fields:Fields",
  f"{_OLD}.text.form:Form": f"{_NEW}.text.form:Form",
  f"{_OLD}.text.holdout:Holdout": f"{_NEW}.stages.holdout:Holdout",
  f"{_OLD}.text.training:Tokenization": f"{_NEW}.text.training:Tokenization",
}
# New "module:Name" -> its arguments by their old names -> by their new ones.
RENAMED: dict[str, dict[str, str]] = {}


def today(name: str) -> str:
  """The name of today for "module:Name"; one that never moved is its own.

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
  """The name of today for an argument of "module:Name", which is a name of today too."""
  return RENAMED.get(name, {}).get(argument, argument)
