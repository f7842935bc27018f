"""Trains a tiny run and packs it as it was after step 2: `python tests/old_workdirs/make.py NAME`.

What lies beside this file was made by the code of November 2026, before any name had moved, and is
never made anew: it shows that later code reads it. What comes later is another NAME.
"""

import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))

import numpy as np  # noqa: E402
import synthetic  # noqa: E402

import pretrainjax as pj  # noqa: E402
from pretrainjax import pretrain  # noqa: E402

DATASETS = {"mae": "fashion_mnist", "gpt": "sotu"}
SIZES = {"train": 64, "test": 16}


def inputs(name: str) -> np.ndarray:
  """What the expected features are of: pixels or tokens that no generator draws."""
  if name == "mae":
    return (np.arange(2 * 28 * 28) * 7 % 256).astype(np.uint8).reshape(2, 28, 28, 1)
  return (np.arange(2 * 12) * 11 % 290 + 105).astype(np.int32).reshape(2, 12)


def unpack(name: str, folder: Path) -> Path:
  """The workdir NAME as it was left, in a folder of the caller's."""
  with tarfile.open(HERE / f"{name}.tar.xz") as archive:
    archive.extractall(folder, filter="data")
  return folder / name


def main(name: str) -> None:
  """Makes NAME.tar.xz, and beside it what is expected of those who read it."""
  packed = HERE / f"{name}.tar.xz"
  if packed.exists():
    raise SystemExit(f"{packed} is there: it is never made anew")
  with tempfile.TemporaryDirectory() as folder:
    workdir, data = Path(folder) / name, Path(folder) / "data"
    synthetic.prepare(DATASETS[name], data, sizes=SIZES)
    config = f"--config={HERE / f'{name}_config.py'}"
    status = pretrain.main([config, f"--workdir={workdir}", f"--data_dir={data}"])
    assert status == 0
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    features = np.asarray(pj.load_encoder(f"{workdir}@2")(inputs(name)).pooled)
    losses = {str(row["step"]): row["loss"] for row in rows if "loss" in row}
    expected = {"losses": losses, "pooled": features.tolist()}
    (HERE / f"{name}_expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    shutil.rmtree(workdir / "checkpoints" / "4")
    (workdir / "curves.png").unlink(missing_ok=True)
    with tarfile.open(packed, "w:xz") as archive:
      archive.add(workdir, arcname=name)


if __name__ == "__main__":
  main(sys.argv[1])
