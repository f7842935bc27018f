"""Few labels: fine-tuned from MAE, from SimCLR, from scratch, and the MLP baseline.

  python benchmarks/label_efficiency.py --mae=runs/mae --simclr=runs/simclr --data_dir=data \\
    --out=runs/label_efficiency

Runs `python -m pretrainjax.finetune` for each of 1% and 10% of Fashion-MNIST's labels (the seed
chooses the labels too) and prints a table of test top-1. What is there already is not run again.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

VIT, MLP = (f"configs/finetune/image/{name}_fashion_mnist.py" for name in ("vit", "mlp"))
# Steps of 64 images: 32 epochs of 600 labelled images, 6.4 of 6,000.
STEPS = {0.01: 300, 0.1: 600}


def main() -> None:
  """Runs what is missing and prints the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  for flag in ("mae", "simclr", "data_dir", "out"):
    parser.add_argument(f"--{flag}", required=True)
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument(
    "--fractions", type=float, nargs="+", choices=list(STEPS), default=list(STEPS)
  )
  flags = parser.parse_args()
  budgets = {fraction: STEPS[fraction] for fraction in flags.fractions}
  ways = {
    "ViT from MAE": [f"--config={VIT}", f"--config.init={flags.mae}"],
    "ViT from SimCLR": [f"--config={VIT}", f"--config.init={flags.simclr}"],
    "ViT from scratch": [f"--config={VIT}:scratch"],
    "MLP from scratch": [f"--config={MLP}"],
  }
  print("| test top-1, mean +- std of seeds | " + " | ".join(f"{f:.0%}" for f in budgets) + " |")
  print("| --- |" + " ---: |" * len(budgets), flush=True)
  for name, arguments in ways.items():
    cells = []
    for fraction, steps in budgets.items():
      scores = [_score(flags, name, arguments, fraction, steps, s) for s in range(flags.seeds)]
      cells.append(f"{statistics.mean(scores):.2%} +- {statistics.pstdev(scores):.2%}")
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _score(flags, name: str, arguments: list[str], fraction: float, steps: int, seed: int) -> float:
  workdir = Path(flags.out) / f"{name.replace(' ', '_').lower()}_{fraction:g}_{seed}"
  command = [
    *(sys.executable, "-m", "pretrainjax.finetune", *arguments),
    *(f"--workdir={workdir}", f"--data_dir={flags.data_dir}", f"--config.seed={seed}"),
    *(f"--config.data.label_fraction={fraction}", f"--config.data.label_seed={seed}"),
    f"--config.train.duration.steps={steps}",
  ]
  if "mlp" not in name.lower():
    command.append(f"--config.optimizer.schedule.warmup.steps={steps // 10}")
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    sys.exit(f"{' '.join(command)}\n{done.stderr}")
  rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
  return [row["accuracy/top1"] for row in rows if "accuracy/top1" in row][-1]


if __name__ == "__main__":
  main()
