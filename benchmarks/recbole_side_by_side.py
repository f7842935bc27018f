"""SASRec or BERT4Rec by us and by RecBole 1.2.1: the same events, network and loss, in turn.

  python benchmarks/recbole_side_by_side.py --python=VENV/bin/python --datasets=movielens \\
    --model=SASRec --epochs=10 --out=FOLDER

VENV is an environment of its own, Python 3.11: pip install recbole==1.2.1 numpy==1.26.4
pandas==2.2.3 'scipy<1.14' 'setuptools<81' torch==2.13.0 (the CPU's).

The split that is prepared is written as RecBole's benchmark files. An epoch predicts the newest
--targets events of each user's training events once: on RecBole's side a row an event, with the
--length events before it; on ours a row a user, whose events see those before them in the row
(BERT4Rec hides items of the same rows on both sides: one a user). Both take Adam at 1e-3, the
batch sizes below, and as many threads as the process may use, epochs in turn.

Scores of all test rows are exchanged as .npz, with targets, and both are measured by both
evaluators, with seen items shown (RecBole's way) and, by ours, filtered. With --our_epochs ours
goes on alone after that, which is told.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from alternate import Side, serve

NAME = "log"  # RecBole's dataset
SIZES = {"n_layers": 2, "n_heads": 2, "hidden_size": 64, "inner_size": 64}
DROPOUT = 0.2
# Rows of a batch: RecBole's SASRec has a row an event, ours and BERT4Rec a row a user.
EVENT_ROWS, USER_ROWS = 512, 32
METRICS = {"ndcg@10": "ndcg@10", "hit@10": "hr@10", "map@10": "map@10"}  # theirs: ours


def training_rows(
  items: np.ndarray, *, length: int, targets: int, by_user: bool
) -> Iterator[tuple[np.ndarray, int]]:
  """Histories and what comes next of a user's training events.

  Args:
    items: the training events, oldest first.
    length: the most events of a history.
    targets: the newest events that are predicted.
    by_user: whether the newest alone is, so that there is one row.
  """
  last = len(items) - 1
  first = last if by_user else max(1, last - targets + 1)
  for place in range(first, last + 1) if last > 0 else ():
    yield items[max(0, place - length) : place], int(items[place])


def write_files(splits: Mapping[str, Any], folder: Path, **options: Any) -> dict[str, int]:
  """Writes RecBole's benchmark files; returns the number of rows of each.

  Args:
    splits: `Interactions` by name, "train", "validation" and "test".
    folder: the folder of the files, made here.
    **options: those of `training_rows`.
  """
  folder.mkdir(parents=True, exist_ok=True)
  counts = {}
  for name, theirs in {"train": "train", "validation": "valid", "test": "test"}.items():
    split, lines = splits[name], ["user_id:token\titem_id:token\titem_id_list:token_seq"]
    for row, user in enumerate(split.users.tolist()):
      items = split.items[split.row(row)]
      if name == "train":
        rows = training_rows(items, **options)
      else:
        rows = iter([(items[-options["length"] :], int(split.targets[row]))])
      lines += [f"{user}\t{target}\t{' '.join(map(str, seen))}" for seen, target in rows]
    (folder / f"{NAME}.{theirs}.inter").write_text("\n".join(lines) + "\n")
    counts[name] = len(lines) - 1
  return counts


def recbole_settings(folder: Path, flags: argparse.Namespace) -> dict[str, Any]:
  """What RecBole is told; all else is its default."""
  is_bert = flags.model == "BERT4Rec"
  return {
    "model": flags.model,
    "dataset": NAME,
    "data_path": str(folder),
    "checkpoint_dir": str(folder / "saved"),
    "benchmark_filename": ["train", "valid", "test"],
    "load_col": {"inter": ["user_id", "item_id", "item_id_list"]},
    "alias_of_item_id": ["item_id_list"],
    "MAX_ITEM_LIST_LENGTH": flags.length,
    "loss_type": "CE",
    "train_neg_sample_args": None,
    "train_batch_size": USER_ROWS if is_bert else EVENT_ROWS,
    "eval_batch_size": 256,
    "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "mode": "full"},
    "metrics": ["NDCG", "Hit", "MAP"],
    "topk": [10],
    "hidden_dropout_prob": DROPOUT,
    "attn_dropout_prob": DROPOUT,
    "learning_rate": 1e-3,
    "seed": flags.seed,
    "use_gpu": False,
    "show_progress": False,
    **SIZES,
  }


class Ours:
  """Our side: the same network by `ItemTransformer`, trained as `pretrain` does."""

  def __init__(self, flags: argparse.Namespace):
    import jax
    from flax import nnx

    from pretrainjax.objectives.split import abstract_split
    from pretrainjax.train.optimizer import Optimizer
    from pretrainjax.train.parallel import Parallel
    from pretrainjax.train.state import init_state
    from pretrainjax.train.step import make_train_step

    self.flags, self.step, self._nnx = flags, 0, nnx
    is_bert = flags.model == "BERT4Rec"
    self.data = self._split("train", next_item=not is_bert)
    self.per_epoch = -(-self.data.num_examples // USER_ROWS)
    self.objective = _objective(flags, num_items=self.data.num_items)
    self.graphdef, params, _ = abstract_split(self.objective)
    optimizer = Optimizer(learning_rate=1e-3, weight_decay=0.0)
    total = self.per_epoch * flags.epochs
    tx, rate = optimizer.build(
      params, total_steps=total, batch_size=USER_ROWS, num_examples=self.data.num_examples
    )
    parallel = Parallel()
    make = lambda: init_state(self.objective, tx, seed=flags.seed, with_ema=False)  # noqa: E731
    self.state, self.put = parallel.make(make), parallel.put
    options = {"learning_rate": rate, "total_steps": total}
    train_step = make_train_step(self.objective, self.graphdef, tx, **options)
    self.program = parallel.program(train_step, self.state)
    self.batches = self.data.batches(seed=flags.seed)
    self.num_parameters = sum(int(np.prod(x.shape)) for x in jax.tree.leaves(params))

  def train(self, steps: int) -> float:
    """Trains so many epochs; returns the seconds of one, compilation among those of the first."""
    import time

    start = time.perf_counter()
    for _ in range(steps * self.per_epoch):
      batch = {name: x for name, x in next(self.batches).items() if name != "valid"}
      self.state, metrics = self.program(self.state, self.put(batch))
    float(metrics["loss"])
    return (time.perf_counter() - start) / steps

  def about(self) -> dict[str, Any]:
    """The size of the model and of an epoch, and the version."""
    import jax

    found = {"num_parameters": self.num_parameters, "batches": self.per_epoch}
    return found | {"rows": self.data.num_examples, "jax": jax.__version__}

  def scores(self, out: str, num_items: int) -> dict[str, Any]:
    """Writes the scores of all items for each test row, with users and targets."""
    module = self._nnx.merge(self.graphdef, self.state.params, self.state.extras)
    encoder, found, targets, users = module.encoder, [], [], []
    vectors, bias = (None if x is None else np.asarray(x) for x in encoder.candidates())
    for batch in self._split("test").one_pass():
      valid = batch["valid"]
      queries = np.asarray(encoder.queries(encoder(encoder.inputs(batch))))[valid]
      found.append(queries @ vectors.T + (0 if bias is None else bias))
      targets.append(batch["target"][valid])
      users.append(batch["user"][valid])
    scores = np.concatenate(found)[:, : num_items + 1]
    scores[:, 0] = -np.inf
    names = {"targets": np.concatenate(targets), "users": np.concatenate(users)}
    np.savez(out, scores=scores.astype(np.float32), **names)
    return {"rows": len(scores)}

  def _split(self, split: str, **options: Any) -> Any:
    from pretrainjax.data.item_data import ItemData

    flags = self.flags
    length = flags.targets if split == "train" and flags.model == "SASRec" else flags.length
    return ItemData(
      datasets=flags.datasets,
      data_dir=flags.data_dir,
      split=split,
      batch_size=USER_ROWS,
      length=length,
      cache="memory",
      **options,
    )


def _objective(flags: argparse.Namespace, *, num_items: int) -> Any:
  """Post-norm blocks of RecBole's sizes under full softmax."""
  import functools

  from pretrainjax.models.item_transformer import ItemTransformer
  from pretrainjax.objectives.autoregressive.next_item import NextItem
  from pretrainjax.objectives.masked.masked_items import MaskedItems

  is_bert = flags.model == "BERT4Rec"
  backbone = functools.partial(
    ItemTransformer,
    num_items=num_items,
    max_length=flags.length if is_bert else max(flags.length, flags.targets),
    embed_dim=SIZES["hidden_size"],
    num_layers=SIZES["n_layers"],
    num_heads=SIZES["n_heads"],
    mlp_dim=SIZES["inner_size"],
    unroll=SIZES["n_layers"],
    order="post",
    eps=1e-12,
    dropout=DROPOUT,
    attention_dropout=DROPOUT,
    causal=not is_bert,
    use_head=is_bert,
    use_bias=is_bert,
  )
  if is_bert:
    return MaskedItems(backbone=backbone, mask_rate=0.2, last_share=0.5)
  return NextItem(backbone=backbone, criterion="softmax")


def measured(path: Path, splits: Mapping[str, Any], *, seen: str) -> dict[str, float]:
  """Our metrics of the scores in a file of either side."""
  from pretrainjax.evaluators.ranked_items import rank_scores
  from pretrainjax.evaluators.ranking_base import asked_of
  from pretrainjax.evaluators.ranking_metrics import ranking_metrics

  rows = splits["test"]
  with np.load(path) as file:
    scores = file["scores"]
  asked = asked_of(rows, seen=seen)
  ranked = rank_scores(lambda part: scores[part], asked, k=10, num_items=rows.num_items)
  counts = np.bincount(splits["train"].items, minlength=rows.num_items + 1)
  cold = rows.num_train == 0
  return ranking_metrics(ranked, rows.targets, counts=counts, cold=cold, k=(10,))


def with_targets(path: Path, rows: Any) -> None:
  """Puts the rows of a file of scores into the order of ours, with their targets.

  Args:
    path: the file of RecBole's side.
    rows: the `Interactions` of the test split, with a row a user.
  """
  with np.load(path) as file:
    users, scores = file["users"], file["scores"]
  place = {user: row for row, user in enumerate(users.tolist())}
  order = [place[user] for user in rows.users.tolist()]
  np.savez(path, scores=scores[order], users=rows.users, targets=rows.targets)


def main() -> None:
  """Prints sizes, seconds an epoch in turn, and metrics of both sides by both evaluators."""
  flags = _flags()
  if flags.side:
    side = Ours(flags)
    serve({"time": side.train, "about": side.about, "scores": side.scores})
    return
  from pretrainjax.data.interactions import Interactions
  from pretrainjax.data.prepared import open_datasets

  options = {"data_dir": flags.data_dir}
  splits = {
    name: Interactions.read(open_datasets(flags.datasets, split=name, **options)[0])
    for name in ("train", "validation", "test")
  }
  out = flags.out.absolute() / f"{flags.model}_{flags.seed}"
  by_user = flags.model == "BERT4Rec"
  sizes = {"length": flags.length, "targets": flags.targets, "by_user": by_user}
  print(f"rows: {write_files(splits, out / NAME, **sizes)}, {sizes}", flush=True)
  environment = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
  folder, settings = Path(__file__).parent, json.dumps(recbole_settings(out, flags))
  command = [flags.python, str(folder / "recbole_side.py"), f"--settings={settings}"]
  own = [sys.executable, *sys.argv, "--side"]
  sides = {"RecBole": Side(command, environment), "pretrainjax": Side(own)}
  seconds: dict[str, list[float]] = {name: [] for name in sides}
  for _ in range(flags.epochs):
    for name, side in sides.items():
      seconds[name].append(side.ask(do="time", steps=1))
      print(f"{name}: {seconds[name][-1]:.2f} s", flush=True)
  if (more := flags.our_epochs - flags.epochs) > 0:
    each = sides["pretrainjax"].ask(do="time", steps=more)
    print(f"pretrainjax alone: {more} epochs more, {each:.2f} s each", flush=True)
  _report(sides, seconds, splits, out)


def _report(
  sides: Mapping[str, Side],
  seconds: Mapping[str, list[float]],
  splits: Mapping[str, Any],
  out: Path,
) -> None:
  num_items = splits["test"].num_items
  for name, side in sides.items():
    told = side.ask(do="scores", out=str(out / f"{name}.npz"), num_items=num_items)
    print(f"{name}: {side.ask(do='about')}, {told}")
  with_targets(out / "RecBole.npz", splits["test"])
  warm = {name: statistics.median(found[1:] or found) for name, found in seconds.items()}
  ratio = warm["pretrainjax"] / warm["RecBole"]
  print(f"median seconds an epoch after the first: {warm}; ours / theirs {ratio:.3f}")
  for name in sides:
    path = out / f"{name}.npz"
    own = measured(path, splits, seen="shown")
    theirs = sides["RecBole"].ask(do="evaluate", path=str(path))
    differ = max(abs(own[ours] - theirs[key]) for key, ours in METRICS.items())
    filtered = measured(path, splits, seen="filtered")
    print(f"{name}: theirs {theirs}; ours { {k: own[k] for k in METRICS.values()} }")
    print(f"{name}: evaluators differ by {differ:.1e}; seen filtered: {filtered}")


def _flags() -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
  parser.add_argument("--python", default=sys.executable, help="of RecBole's environment")
  parser.add_argument("--datasets", default="movielens")
  parser.add_argument("--data_dir", default=os.environ.get("PRETRAINJAX_DATA", "data"))
  parser.add_argument("--model", choices=("SASRec", "BERT4Rec"), default="SASRec")
  parser.add_argument("--epochs", type=int, default=10)
  parser.add_argument("--our_epochs", type=int, default=0, help="ours goes on alone to so many")
  parser.add_argument("--length", type=int, default=20)
  parser.add_argument("--targets", type=int, default=20)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--out", type=Path, required=True)
  parser.add_argument("--side", action="store_true", help=argparse.SUPPRESS)
  return parser.parse_args()


if __name__ == "__main__":
  main()
