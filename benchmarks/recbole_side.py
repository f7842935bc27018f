"""RecBole's side of recbole_side_by_side.py, in an environment of its own without pretrainjax.

It reads RecBole's benchmark files, trains one model epoch by epoch as it is asked to, and answers
on standard output, see `alternate.serve`. TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 is for its imports.
"""

import argparse
import json
import logging
import os
import sys
import time
from typing import Any

import numpy as np
import torch
from alternate import serve
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.evaluator import Collector, Evaluator
from recbole.utils import get_model, get_trainer, init_seed


class RecBole:
  """A model with its data and its trainer.

  Args:
    settings: of RecBole, by their names there, "model" and "dataset" among them.
  """

  def __init__(self, settings: dict[str, Any]):
    model, dataset = settings.pop("model"), settings.pop("dataset")
    os.chdir(settings["data_path"])  # where it leaves its logs
    self.config = Config(model=model, dataset=dataset, config_dict=settings)
    init_seed(self.config["seed"], self.config["reproducibility"])
    self.dataset = create_dataset(self.config)
    self.train_data, _, self.test_data = data_preparation(self.config, self.dataset)
    init_seed(self.config["seed"], self.config["reproducibility"])
    self.model = get_model(model)(self.config, self.train_data.dataset)
    self.trainer = get_trainer(self.config["MODEL_TYPE"], model)(self.config, self.model)
    self.epoch = 0

  def train(self, steps: int) -> float:
    """Trains so many epochs; returns the seconds of one."""
    start = time.perf_counter()
    for _ in range(steps):
      self.trainer._train_epoch(self.train_data, self.epoch)
      self.epoch += 1
    return (time.perf_counter() - start) / steps

  def about(self) -> dict[str, Any]:
    """The size of the model and of an epoch, and versions."""
    return {
      "num_parameters": sum(p.numel() for p in self.model.parameters()),
      "rows": len(self.train_data.dataset),
      "batches": len(self.train_data),
      "threads": torch.get_num_threads(),
      "torch": torch.__version__,
    }

  def scores(self, out: str, num_items: int) -> dict[str, Any]:
    """Writes the scores of all items for each test row, in our numbers of users and items."""
    self.model.eval()
    users, found = [], []
    with torch.no_grad():
      for interaction, *_ in self.test_data:
        found.append(self.model.full_sort_predict(interaction).view(len(interaction), -1).numpy())
        users.append(interaction[self.dataset.uid_field].numpy())
    columns = self.dataset.field2id_token[self.dataset.iid_field]
    scores = np.full((sum(map(len, found)), num_items + 1), -np.inf, np.float32)
    known = np.array([int(token) for token in columns[1:]])  # what occurs in no file has no number
    scores[:, known] = np.concatenate(found)[:, 1 : len(columns)]
    names = self.dataset.field2id_token[self.dataset.uid_field][np.concatenate(users)]
    np.savez(out, scores=scores, users=names.astype(np.int64))
    return {"rows": len(scores), "unknown_items": int(num_items - len(known))}

  def evaluate(self, path: str) -> dict[str, float]:
    """RecBole's metrics of the scores and targets in a file of either side."""
    with np.load(path) as file:
      scores, targets = torch.tensor(file["scores"]), torch.tensor(file["targets"])
    collector = Collector(self.config)
    collector.eval_batch_collect(scores, None, torch.arange(len(scores)), targets)
    self.config["metric_decimal_place"] = 12
    found = Evaluator(self.config).evaluate(collector.get_data_struct())
    return {name: float(value) for name, value in found.items()}


def main() -> None:
  """Serves until the input ends."""
  parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
  parser.add_argument("--settings", required=True, help="JSON")
  answers, sys.stdout = sys.stdout, sys.stderr  # what RecBole prints is no answer
  logging.disable(logging.INFO)
  side = RecBole(json.loads(parser.parse_args().settings))
  sys.stdout = answers
  served = {"time": side.train, "about": side.about, "scores": side.scores}
  serve(served | {"evaluate": side.evaluate})


if __name__ == "__main__":
  main()
