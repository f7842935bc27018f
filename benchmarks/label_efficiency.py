"""Few labels: fine-tuned from pretrained encoders, against the same network from scratch.

  python benchmarks/label_efficiency.py images --init MAE=runs/mae SimCLR=runs/simclr \\
    --data_dir=data --out=runs/labels
  python benchmarks/label_efficiency.py spam --init BERT=runs/bert ELECTRA=runs/electra \\
    --data_dir=data --out=runs/spam

Runs `python -m pretrainjax.finetune` for each share of the labels and each seed (which chooses the
labels too) and prints a table of test top-1. What is there already is not run again.
"""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Task:
  """What is compared.

  Attributes:
    config: of the network that starts from a checkpoint; its form ":published", which trains on
      that share of all labels and takes the last step, and ":published_scratch" that starts from
      none.
    steps: of each share of the labels.
    others: further ways by name, each a config.
  """

  config: str
  steps: dict[float, int]
  others: dict[str, str] = dataclasses.field(default_factory=dict)


TASKS = {
  "images": Task(
    "configs/finetune/image/vit_fashion_mnist.py",
    # Steps of 64 images: 32 epochs of 600 labelled images, 6.4 of 6,000.
    {0.01: 300, 0.1: 600},
    {"MLP": "configs/finetune/image/mlp_fashion_mnist.py:published"},
  ),
  "spam": Task(
    "configs/finetune/text/bert_spam_assassin.py",
    # Steps of 32 e-mails.
    {0.01: 100, 0.1: 200, 1.0: 450},
  ),
}


def main() -> None:
  """Runs what is missing and prints the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("task", choices=list(TASKS))
  parser.add_argument("--init", nargs="+", default=[], metavar="NAME=WORKDIR")
  for flag in ("data_dir", "out"):
    parser.add_argument(f"--{flag}", required=True)
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument("--fractions", type=float, nargs="+")
  flags = parser.parse_args()
  task = TASKS[flags.task]
  budgets = {f: task.steps[f] for f in flags.fractions or task.steps}
  ways = {}
  for named in flags.init:
    name, _, workdir = named.partition("=")
    ways[f"from {name}"] = [f"--config={task.config}:published", f"--config.init={workdir}"]
  ways["from scratch"] = [f"--config={task.config}:published_scratch"]
  ways |= {f"{name}, from scratch": [f"--config={file}"] for name, file in task.others.items()}
  print("| test top-1, mean +- std of seeds | " + " | ".join(f"{f:.0%}" for f in budgets) + " |")
  print("| --- |" + " ---: |" * len(budgets), flush=True)
  for name, arguments in ways.items():
    cells = []
    for fraction, steps in budgets.items():
      scores = [_score(flags, name, arguments, fraction, steps, s) for s in range(flags.seeds)]
      cells.append(f"{statistics.mean(scores):.2%} +- {statistics.pstdev(scores):.2%}")
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _score(flags, name: str, arguments: list[str], fraction: float, steps: int, seed: int) -> float:
  folder = name.replace(" ", "_").replace(",", "").lower()
  workdir = Path(flags.out) / f"{folder}_{fraction:g}_{seed}"
  command = [
    sys.executable,
    "-m",
    "pretrainjax.finetune",
    *arguments,
    f"--workdir={workdir}",
    f"--data_dir={flags.data_dir}",
    f"--config.seed={seed}",
    f"--config.data.label_fraction={fraction}",
    f"--config.data.label_seed={seed}",
    f"--config.train.duration.steps={steps}",
  ]
  if "MLP" not in name:
    command.append(f"--config.optimizer.schedule.warmup.steps={steps // 10}")
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    sys.exit(f"{' '.join(command)}\n{done.stderr}")
  rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  return [row["accuracy/top1"] for row in rows if "accuracy/top1" in row][-1]


if __name__ == "__main__":
  main()
