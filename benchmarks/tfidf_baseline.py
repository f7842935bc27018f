"""What counting words does: TF-IDF with logistic regression, and TF-IDF alone for retrieval.

  python benchmarks/tfidf_baseline.py classify --datasets=spam_assassin --data_dir=data
  python benchmarks/tfidf_baseline.py retrieve --datasets=wordnet --data_dir=data

The texts are those of a prepared dataset, out of its tokens. `classify` takes the same labelled
examples as --config.data.label_fraction and --config.data.label_seed do (label seed s for seed s),
fits words and pairs of words of these alone, and chooses penalty and weighing of classes on parts
of them. `retrieve` finds the second text of each example of a split by the first, and the other
way round; words are weighed by all texts of that split and of --train. Numbers are called as the
evaluators call them.
"""

import argparse
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold

from pretrainjax.data.text_data import TextData
from pretrainjax.evaluators.accuracy import classification_outcome
from pretrainjax.evaluators.results import is_share
from pretrainjax.evaluators.retrieval import retrieval_metrics
from pretrainjax.report.table import markdown_table

# Strengths of the penalty to choose from, weaker to the right.
C = (0.1, 1.0, 10.0, 100.0, 1000.0)
_CHUNK = 1024


def main() -> None:
  """Prints a table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("task", choices=("classify", "retrieve"))
  parser.add_argument("--datasets", required=True, help="a prepared dataset of texts")
  parser.add_argument("--data_dir", default="data")
  parser.add_argument("--train", default="train", help="split to learn from")
  parser.add_argument("--test", default="test", help="split to measure on")
  parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.1, 1.0])
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument("--length", type=int, default=4096, help="tokens of a text that are read")
  parser.add_argument("--analyzer", choices=("word", "char_wb"), default="word")
  flags = parser.parse_args()
  (classify if flags.task == "classify" else retrieve)(flags)


def classify(flags: argparse.Namespace) -> None:
  """Prints mean and deviation over seeds for each share of the labels."""
  test_texts, test_labels = labelled(data(flags, flags.test))
  header, body = ("labels", "examples"), []
  for fraction in flags.fractions:
    metrics, count = [], 0
    for seed in range(flags.seeds if fraction < 1 else 1):  # all labels are the same for any seed
      train = data(flags, flags.train, label_fraction=fraction, label_seed=seed)
      texts, labels = labelled(train)
      weigh = vectorizer(flags).fit(texts)
      model = fitted(weigh.transform(texts), labels, seed=seed)
      scores = np.full((len(test_texts), train.num_classes), -np.inf, np.float32)
      scores[:, model.classes_] = model.predict_log_proba(weigh.transform(test_texts))
      metrics.append(classification_outcome(np.maximum(scores, -50), test_labels, ()).metrics)
      count = len(texts)
    names = [n for n in metrics[0] if n not in ("nll", "calibration_error")]
    header = ("labels", "examples", *names)
    cells = [spread(name, [m[name] for m in metrics]) for name in names]
    body.append((f"{fraction:.0%}", str(count), *cells))
  print(markdown_table(header, body, right=range(len(header))))


def retrieve(flags: argparse.Namespace) -> None:
  """Prints recall and mean reciprocal rank in both directions."""
  first, second = pairs(data(flags, flags.test, pair="views"))
  others = [t for texts in pairs(data(flags, flags.train, pair="views")) for t in texts]
  weigh = vectorizer(flags).fit([*first, *second, *others])
  queries, candidates = weigh.transform(first), weigh.transform(second)
  metrics = retrieval_metrics(partner_ranks(queries, candidates), k=(1, 5, 10))
  back = retrieval_metrics(partner_ranks(candidates, queries), k=(1, 5, 10))
  metrics |= {f"reverse_{name}": value for name, value in back.items()}
  body = [(name, f"{value:.2%}") for name, value in metrics.items()]
  print(markdown_table((f"TF-IDF, {len(first)} candidates", "value"), body, right=(1,)))


def data(flags: argparse.Namespace, split: str, **changes) -> TextData:
  """A split with long rows."""
  fields = {"datasets": flags.datasets, "data_dir": flags.data_dir, "length": flags.length}
  return TextData(**fields, split=split, batch_size=64, **changes)


def labelled(texts: TextData) -> tuple[list[str], np.ndarray]:
  """Texts and their classes; of a pair both texts, one after the other."""
  found = [(decode(texts, row["tokens"]), row["label"]) for row in rows(texts)]
  return [text for text, _ in found], np.array([label for _, label in found], np.int32)


def pairs(texts: TextData) -> tuple[list[str], list[str]]:
  """First and second texts."""
  found = [[decode(texts, tokens) for tokens in row["tokens"]] for row in rows(texts)]
  return [first for first, _ in found], [second for _, second in found]


def rows(texts: TextData) -> Iterator[dict[str, np.ndarray]]:
  """Each example's arrays."""
  for batch in texts.one_pass():
    for i in np.flatnonzero(batch["valid"]):
      yield {name: array[i] for name, array in batch.items()}


def decode(texts: TextData, tokens: np.ndarray) -> str:
  """Tokens as text; special ones are left out."""
  return texts.tokenizer.decode(tokens.tolist())


def vectorizer(flags: argparse.Namespace) -> TfidfVectorizer:
  """Words and pairs of words, or runs of 3 to 5 letters; a word that comes often counts less."""
  sizes = (1, 2) if flags.analyzer == "word" else (3, 5)
  return TfidfVectorizer(analyzer=flags.analyzer, ngram_range=sizes, sublinear_tf=True)


def fitted(words: Any, labels: np.ndarray, *, seed: int) -> LogisticRegression:
  """Logistic regression, its penalty and weighing of classes chosen on five parts, or fewer."""
  model = LogisticRegression(max_iter=1000)
  folds = min(5, int(np.unique(labels, return_counts=True)[1].min()))
  if folds < 2:
    return model.set_params(C=C[2], class_weight="balanced").fit(words, labels)
  # Of equals the first: few labels of a rare class need the weighing.
  choices = {"class_weight": ("balanced", None), "C": C}
  split = StratifiedKFold(folds, shuffle=True, random_state=seed)
  search = GridSearchCV(model, choices, cv=split, scoring="accuracy")
  return search.fit(words, labels).best_estimator_


def partner_ranks(queries, candidates) -> np.ndarray:
  """As `evaluators.retrieval.partner_ranks`, of sparse matrices."""
  places, parts = np.arange(candidates.shape[0])[None], []
  for start in range(0, queries.shape[0], _CHUNK):
    similarity = (queries[start : start + _CHUNK] @ candidates.T).toarray()
    own = np.arange(start, start + len(similarity))[:, None]
    true = np.take_along_axis(similarity, own, axis=1)
    before = (similarity > true) | ((similarity == true) & (places < own))
    parts.append(before.sum(axis=1))
  return np.concatenate(parts)


def spread(name: str, values: list[float]) -> str:
  """Mean and deviation of a metric."""
  form = "{:.2%}" if is_share(name) else "{:.3f}"
  deviation = f" +- {form.format(statistics.pstdev(values))}" if len(values) > 1 else ""
  return form.format(statistics.mean(values)) + deviation


if __name__ == "__main__":
  main()
