"""Which split the name of a folder or a file means: "Train", "val2017", "test-00000-of-00001"."""

import re

# The words are those of Hugging Face's datasets ("eval" is a test set there too), of scikit-learn
# ("holdout") and of CoNLL-2003, whose "testa" is for choosing and "testb" for the report.
_WORDS = {
  "train": ("train", "training", "trainval"),
  "validation": ("validation", "validate", "valid", "val", "dev", "devel", "development", "testa"),
  "test": ("test", "testing", "testb", "eval", "evaluation", "heldout", "holdout"),
}
_SPLIT_OF = {word: split for split, words in _WORDS.items() for word in words}
# What says that a split is one, written beside it or in one word with it: "test_set", "trainset".
_BESIDE = "set data dataset split part images image imgs img pics photos files texts".split()
_FUSED = re.compile(rf"(?:{'|'.join(_BESIDE)})?({'|'.join(_SPLIT_OF)})(?:{'|'.join(_BESIDE)})?")
_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])")  # "testSet"
_SHARD = re.compile(r"\d+-of-\d+")


def split_of_name(name: str) -> str | None:
  """The split that a name means by one of its words, in letters of any case.

  A word ends where anything but a letter stands, or a capital after a small letter. A title can
  hold such a word by chance ("The last train"): `rest_of_name` shows whether others are alike.

  >>> [split_of_name(name) for name in ("Train", "pets.valid.jsonl", "test_set", "trainer")]
  ['train', 'validation', 'test', None]

  Args:
    name: of a folder or a file, without the folders that it lies in.

  Returns:
    "train", "validation" or "test"; None for a name that means none of them or several, but
    for "train_val", which is for training.
  """
  found = {split for word in _words(name) if (split := _split_of_word(word)) is not None}
  if found == {"train", "validation"}:
    return "train"
  return found.pop() if len(found) == 1 else None


def rest_of_name(name: str) -> str:
  """What a name says beside its split: "" where that is all, and alike for the splits of one set.

  >>> rest_of_name("imdb_train-00000-of-00001.csv"), rest_of_name("imdb_test.csv")
  ('imdb csv', 'imdb csv')

  Args:
    name: as of `split_of_name`.
  """
  return " ".join(w for w in _words(name) if _split_of_word(w) is None and w not in _BESIDE)


def _words(name: str) -> list[str]:
  parts = _BORDER.sub(" ", _SHARD.sub(" ", name))
  return re.findall(r"[^\W\d_]+", parts.lower())


def _split_of_word(word: str) -> str | None:
  match = _FUSED.fullmatch(word)
  return _SPLIT_OF[match[1]] if match else None
