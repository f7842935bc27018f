"""A run of ours fine-tuned here and, exported, in transformers: same data, recipe and seeds.

  python benchmarks/circle_vs_torch.py images --init=runs/mae --data_dir=data --out=runs/circle
  python benchmarks/circle_vs_torch.py spam --init=runs/bert_sotu --data_dir=data --out=runs/circle

Needs the extra "parity". A side starts from the same pretrained encoder, draws its head anew by the
seed, and takes the same batches in the same order, with the same rates and weight decay; dropout is
each library's own. What was fine-tuned here is exported too, and measured by transformers. The
test split is measured once, after the last step; nothing is chosen by it.
"""

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from pretrainjax import finetune
from pretrainjax.config import build
from pretrainjax.config.text import from_json
from pretrainjax.export.command import main as export
from pretrainjax.train.assemble import Run, assemble


class Task(NamedTuple):
  """What is fine-tuned.

  Attributes:
    flags: of `finetune`: a recipe that both libraries have.
    kind: the class of transformers.
    changes: of its config.json.
  """

  flags: tuple[str, ...]
  kind: str
  changes: dict[str, Any]


TASKS = {
  # On the class token, without augmentation's and layer decay's own rules.
  "images": Task(
    (
      "--config=vit_fashion_mnist:published",
      "--config.changes.pool=cls",
      "--config.changes.final_norm=True",
      "--config.changes.pool_norm=False",
      "--config.changes.drop_path=0.0",
      "--config.transfer.fresh=()",
      "--config.transfer.unused=()",
      "--config.objective.head.init_std=0.02",
      "--config.optimizer.layer_decay=None",
      "--config.optimizer.learning_rate=1e-3",
    ),
    "ViTForImageClassification",
    {},
  ),
  # With BERT's pooler, which is our head's hidden layer.
  "spam": Task(
    (
      "--config=bert_spam_assassin:published",
      "--config.objective.head.hidden_dim=128",
      "--config.objective.head.dropout=0.0",
      "--config.objective.head.init_std=0.02",
      "--config.optimizer.layer_decay=None",
    ),
    "BertForSequenceClassification",
    # What was pretrained without dropout is fine-tuned with it.
    {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "classifier_dropout": 0.0},
  ),
}


def main() -> None:
  """Prints one row a seed, then means and their difference."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("task", choices=list(TASKS))
  parser.add_argument("--init", required=True, help="the pretrained run")
  parser.add_argument("--data_dir", required=True)
  parser.add_argument("--out", required=True, type=Path, help="folder for the runs, new")
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument("--steps", type=int, help="of fine-tuning, instead of the config's")
  flags = parser.parse_args()
  pretrained = flags.out / "pretrained"
  assert export([f"--workdir={flags.init}:encoder", f"--out={pretrained}"]) == 0
  print(f"{'seed':>4} {'pretrainjax':>12} {'exported':>12} {'transformers':>13}")
  rows = []
  for seed in range(flags.seeds):
    rows.append(one_seed(flags, pretrained, seed))
    print(f"{seed:>4} {rows[-1][0]:>12.2%} {rows[-1][1]:>12.2%} {rows[-1][2]:>13.2%}", flush=True)
  ours, _, theirs = zip(*rows, strict=True)
  difference = statistics.mean(ours) - statistics.mean(theirs)
  noise = math.sqrt((statistics.variance(ours) + statistics.variance(theirs)) / flags.seeds)
  print(f"mean {statistics.mean(ours):>12.2%} {'':>12} {statistics.mean(theirs):>13.2%}")
  print(f"difference {difference:+.2%}, standard error of a difference of such means {noise:.2%}")


def one_seed(flags: argparse.Namespace, pretrained: Path, seed: int) -> tuple[float, float, float]:
  """Test accuracy of ours, of ours as transformers computes it, and of theirs."""
  task, workdir = TASKS[flags.task], flags.out / f"ours_{seed}"
  common = [f"--config.init={flags.init}", f"--workdir={workdir}", f"--data_dir={flags.data_dir}"]
  common += [f"--config.seed={seed}", f"--config.data.label_seed={seed}"]
  if flags.steps:
    common.append(f"--config.train.duration.steps={flags.steps}")
  assert finetune.main([*task.flags, *common]) == 0
  metrics = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  ours = [row["accuracy/top1"] for row in metrics if "accuracy/top1" in row][-1]
  run = assemble(from_json((workdir / "config.json").read_text()))
  test = list(build(run.config.evals.accuracy.data, path="data").one_pass())
  exported = workdir / "exported"
  assert export([f"--workdir={workdir}", f"--out={exported}", f"--architecture={task.kind}"]) == 0
  kind = getattr(transformers, task.kind)
  same = accuracy(kind.from_pretrained(exported), test, exported)
  torch.manual_seed(seed)
  model = kind.from_pretrained(pretrained, num_labels=run.objective.num_classes, **task.changes)
  tune(model, run, pretrained)
  return ours, same, accuracy(model, test, pretrained)


def tune(model: Any, run: Run, folder: Path) -> None:
  """Our recipe in torch, on our batches."""
  settings = run.config.optimizer
  for name, parameter in model.named_parameters():
    if name.endswith("vit.embeddings.position_embeddings"):
      parameter.requires_grad_(False)  # a fixed table of sines in ours
  named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
  weights = [p for n, p in named if is_weight(n, p)]
  others = [p for n, p in named if not is_weight(n, p)]
  groups = [{"params": weights, "weight_decay": settings.weight_decay}]
  groups += [{"params": others, "weight_decay": 0.0}]
  betas = (settings.b1, settings.b2)
  optimizer = torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=settings.eps)
  loss_of = torch.nn.CrossEntropyLoss(label_smoothing=run.objective.label_smoothing)
  batches = run.data.batches(seed=run.config.seed)
  model.train()
  for step in range(run.total_steps):
    batch = next(batches)
    loss = loss_of(model(**inputs(batch, folder)).logits, torch.from_numpy(batch["label"]).long())
    optimizer.zero_grad()
    loss.backward()
    if settings.clip_norm:
      torch.nn.utils.clip_grad_norm_([p for _, p in named], settings.clip_norm)
    for group in optimizer.param_groups:
      group["lr"] = float(run.learning_rate(step))
    optimizer.step()
  batches.close()


def is_weight(name: str, parameter: Any) -> bool:
  """Whether weight decay applies: as `train.parameters.is_weight`, by their names."""
  is_learned_token = name.endswith(
    ("cls_token", "position_embeddings", "position_embeddings.weight")
  )
  return parameter.ndim > 1 and not is_learned_token


@torch.no_grad()
def accuracy(model: Any, batches: list[dict[str, np.ndarray]], folder: Path) -> float:
  """The share of examples whose class is the most likely one."""
  model.eval()
  right = count = 0
  for batch in batches:
    valid = batch.get("valid", np.ones(len(batch["label"]), bool))
    found = model(**inputs(batch, folder)).logits.argmax(-1).numpy()
    right += int(np.sum((found == batch["label"]) & valid))
    count += int(valid.sum())
  return right / count


def inputs(batch: dict[str, np.ndarray], folder: Path) -> dict[str, torch.Tensor]:
  """A batch of ours as the arguments of a model of transformers."""
  if "image" not in batch:
    ids, mask = (torch.from_numpy(x).long() for x in (batch["tokens"], batch["segments"] > 0))
    return {"input_ids": ids, "attention_mask": mask}
  said = json.loads((folder / "preprocessor_config.json").read_text())
  pixels = batch["image"].astype(np.float32)
  if batch["image"].dtype == np.uint8:
    pixels = pixels * np.float32(said["rescale_factor"])
  mean, std = (np.asarray(said[key], np.float32) for key in ("image_mean", "image_std"))
  return {"pixel_values": torch.from_numpy(((pixels - mean) / std).transpose(0, 3, 1, 2).copy())}


if __name__ == "__main__":
  main()
