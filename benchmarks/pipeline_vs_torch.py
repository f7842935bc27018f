"""The input pipeline alone: images/s from JPEG files to uint8 batches of 224x224, against PyTorch.

  python benchmarks/pipeline_vs_torch.py --torch_python=TORCH_VENV/bin/python --out=runs/pipeline \\
    [--photos=FOLDER] [--images=1000] [--seconds=15] [--repeats=3]

Cuts JPEGs of 500x375 out of real photos (those that scikit-learn ships, and whatever lies in
--photos), prepares them, and lets both sides read, decode, cut (random-resized crop, scale .08 to
1), flip and batch them by 128, alternating, pinned to the same cores. PyTorch decodes with Pillow
as torchvision does, and once more with our decoder, which leaves only the loaders to compare.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from account import processor

BATCH, SIZE, WIDTH, HEIGHT = 128, 224, 500, 375
# Name, side, cores, and the side's own options: threads of ours, worker processes of PyTorch's.
CASES = (
  ("pretrainjax, 1 thread", "ours", 1, {"workers": 1}),
  ("DataLoader, in process, Pillow", "torch", 1, {"workers": 0, "decoder": "pillow"}),
  ("DataLoader, in process, our decoder", "torch", 1, {"workers": 0, "decoder": "fast"}),
  ("pretrainjax, 2 threads", "ours", 2, {"workers": 2}),
  ("DataLoader, 2 workers, Pillow", "torch", 2, {"workers": 2, "decoder": "pillow"}),
  ("DataLoader, 2 workers, our decoder", "torch", 2, {"workers": 2, "decoder": "fast"}),
)


def main() -> None:
  """Makes the data, runs every case in turn, writes OUT/pipeline.json and prints the table."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--torch_python", required=True, help="of a venv with torch")
  parser.add_argument("--out", required=True, type=Path, help="folder for data and results")
  parser.add_argument("--photos", type=Path, help="more photos to cut from")
  parser.add_argument("--images", type=int, default=1000)
  parser.add_argument("--seconds", type=float, default=15.0)
  parser.add_argument("--repeats", type=int, default=3)
  parser.add_argument("--case", help=argparse.SUPPRESS)  # one measurement, in a process of its own
  flags = parser.parse_args()
  if flags.case:
    print(json.dumps(measure(json.loads(flags.case), flags)))
    return
  folder = make_jpegs(flags)
  prepare(folder, flags.out)
  runs: dict[str, list[dict]] = {name: [] for name, *_ in CASES}
  cores = sorted(os.sched_getaffinity(0))
  for repeat in range(flags.repeats):
    for name, side, count, options in CASES:
      if count > len(cores):
        continue
      result = run_case(side, cores[:count], options, flags)
      runs[name].append(result)
      print(f"{repeat + 1}/{flags.repeats} {name}: {result['wall']:.0f} images/s", file=sys.stderr)
  results = [summary(name, count, runs[name]) for name, _, count, _ in CASES if runs[name]]
  report = {"machine": processor(), "batch": BATCH, "size": SIZE, "images": flags.images}
  report |= {"jpeg_bytes": mean_size(folder), "results": results, "runs": runs}
  (flags.out / "pipeline.json").write_text(json.dumps(report, indent=2))
  show(results)


def run_case(side: str, cores: list[int], options: dict, flags: argparse.Namespace) -> dict:
  """One measurement in a fresh process, pinned to `cores`."""
  python = sys.executable if side == "ours" else flags.torch_python
  case = json.dumps({"side": side, "cores": cores, **options})
  command = [python, __file__, f"--case={case}", f"--torch_python={flags.torch_python}"]
  command += [f"--out={flags.out}", f"--seconds={flags.seconds}"]
  done = subprocess.run(command, capture_output=True, text=True, check=False)
  if done.returncode:
    sys.exit(f"{' '.join(command)}\n{done.stderr}")
  return json.loads(done.stdout.splitlines()[-1])


def measure(case: dict, flags: argparse.Namespace) -> dict[str, float]:
  """Images per second by the clock, and per second of processor time of all processes."""
  os.sched_setaffinity(0, case["cores"])
  open_batches = our_batches if case["side"] == "ours" else torch_batches
  batches, processes = open_batches(case, flags.out)
  for _ in range(4):  # start-up and whatever was read ahead
    next(batches)
  pids, images = processes(), 0
  start, busy = time.perf_counter(), cpu_seconds(pids)
  while time.perf_counter() - start < flags.seconds:
    images += len(next(batches))
  wall, cpu = time.perf_counter() - start, cpu_seconds(pids) - busy
  return {"wall": images / wall, "cpu": images / cpu, "busy_cores": cpu / wall}


def our_batches(case: dict, out: Path) -> tuple[Iterator, Callable[[], list[int]]]:
  """Batches of `pretrainjax`, and the processes that make them."""
  from pretrainjax.data.image import RandomResizedCrop
  from pretrainjax.data.image_data import ImageData

  data = ImageData(
    datasets="photos",
    data_dir=str(out / "data"),
    batch_size=BATCH,
    transform=RandomResizedCrop(SIZE),
    num_threads=case["workers"],
  )
  batches = data.batches(seed=0)
  return (batch["image"] for batch in batches), lambda: [os.getpid()]


def torch_batches(case: dict, out: Path) -> tuple[Iterator, Callable[[], list[int]]]:
  """Batches of a DataLoader over the files, as in PyTorch's ImageNet example."""
  import torch
  from torch.utils.data import DataLoader

  torch.set_num_threads(1)
  files = sorted((out / "jpegs").rglob("*.jpg"))
  view = pillow_view if case["decoder"] == "pillow" else fast_view()

  class Files(torch.utils.data.Dataset):
    def __len__(self) -> int:
      return len(files)

    def __getitem__(self, index: int) -> tuple[Any, int]:
      return torch.from_numpy(view(files[index], torch)), 0

  workers = case["workers"]
  options = {"num_workers": workers, "persistent_workers": workers > 0}
  loader = DataLoader(Files(), BATCH, shuffle=True, drop_last=True, **options)
  iterator: list[Any] = []

  def forever() -> Iterator:
    while True:
      iterator[:] = [iter(loader)]
      yield from (images for images, _ in iterator[0])

  def processes() -> list[int]:
    return [os.getpid(), *(w.pid for w in getattr(iterator[0], "_workers", []))]

  return forever(), processes


def crop_box(width: int, height: int, torch: Any) -> tuple[int, int, int, int]:
  """Random-resized crop with torch's generator: left, top, width, height (arXiv 1409.4842)."""
  ratios = torch.log(torch.tensor([3 / 4, 4 / 3]))
  for _ in range(10):
    area = width * height * torch.empty(1).uniform_(0.08, 1.0).item()
    ratio = torch.exp(torch.empty(1).uniform_(ratios[0].item(), ratios[1].item())).item()
    w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
    if 0 < w <= width and 0 < h <= height:
      top = torch.randint(0, height - h + 1, (1,)).item()
      return torch.randint(0, width - w + 1, (1,)).item(), top, w, h
  side = min(width, height)
  return (width - side) // 2, (height - side) // 2, side, side


def pillow_view(path: Path, torch: Any) -> Any:
  """What torchvision does with a file: Pillow decodes, cuts, resizes (bilinear) and flips."""
  import numpy as np
  import PIL.Image

  with PIL.Image.open(path) as image:
    image = image.convert("RGB")
  left, top, width, height = crop_box(*image.size, torch)
  image = image.crop((left, top, left + width, top + height))
  image = image.resize((SIZE, SIZE), PIL.Image.Resampling.BILINEAR)
  if torch.rand(1) < 0.5:
    image = image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
  return np.array(image)


def fast_view() -> Callable[[Path, Any], Any]:
  """The same with simplejpeg and OpenCV, the decoder and the resizer of `pretrainjax`."""
  import cv2
  import numpy as np
  import simplejpeg

  cv2.setNumThreads(0)

  def view(path: Path, torch: Any) -> Any:
    image = simplejpeg.decode_jpeg(path.read_bytes(), "RGB")
    left, top, width, height = crop_box(image.shape[1], image.shape[0], torch)
    part = image[top : top + height, left : left + width]
    strong = width >= 2 * SIZE and height >= 2 * SIZE
    method = cv2.INTER_AREA if strong else cv2.INTER_LINEAR
    part = cv2.resize(part, (SIZE, SIZE), interpolation=method)
    return np.ascontiguousarray(part[:, ::-1]) if torch.rand(1) < 0.5 else part

  return view


def make_jpegs(flags: argparse.Namespace) -> Path:
  """Cuts OUT/jpegs/class/*.jpg out of photos; what is there already stays."""
  import cv2
  import numpy as np

  folder = flags.out / "jpegs"
  if len(list(folder.rglob("*.jpg"))) == flags.images:
    return folder
  spec = importlib.util.find_spec("sklearn")
  roots = [] if spec is None else [Path(spec.submodule_search_locations[0], "datasets", "images")]
  roots += [flags.photos] if flags.photos else []
  paths = sorted(p for r in roots for p in r.rglob("*") if p.suffix in (".jpg", ".jpeg", ".png"))
  photos = [photo for p in paths if (photo := cv2.imread(str(p))) is not None]
  photos = [p for p in photos if min(p.shape[:2]) >= 300]
  if not photos:
    sys.exit("--photos: no photo of 300 pixels or more there, nor in scikit-learn")
  rng = np.random.default_rng(0)
  for i in range(flags.images):
    photo = photos[i % len(photos)]
    scale = max(WIDTH / photo.shape[1], HEIGHT / photo.shape[0], rng.uniform(0.6, 1.2))
    photo = cv2.resize(photo, None, fx=scale + 1e-3, fy=scale + 1e-3)
    top, left = (
      rng.integers(0, side - cut + 1)
      for side, cut in zip(photo.shape, (HEIGHT, WIDTH), strict=False)
    )
    path = folder / f"class{i % 10}" / f"{i:05d}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(92, 98))]
    cv2.imwrite(str(path), photo[top : top + HEIGHT, left : left + WIDTH], quality)
  return folder


def prepare(folder: Path, out: Path) -> None:
  """Writes the same files as a dataset of array_record."""
  command = [sys.executable, "-m", "pretrainjax.prepare", "image_folder", f"--source={folder}"]
  command += ["--name=photos", f"--data_dir={out / 'data'}", "--config.source.test_fraction=0.0"]
  subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def cpu_seconds(pids: list[int]) -> float:
  """User and system time that processes have used so far (Linux)."""
  ticks = 0
  for pid in pids:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks += int(fields[11]) + int(fields[12])
  return ticks / os.sysconf("SC_CLK_TCK")


def summary(name: str, cores: int, runs: list[dict]) -> dict[str, Any]:
  """Medians of a case; per core by the clock, and per second of processor time."""
  medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
  return {"name": name, "cores": cores, "per_core": medians["wall"] / cores, **medians}


def mean_size(folder: Path) -> float:
  """Bytes of a file."""
  return statistics.mean(p.stat().st_size for p in folder.rglob("*.jpg"))


def show(results: list[dict]) -> None:
  """Prints the table."""
  print("| loader | cores | images/s | images/s/core | images per CPU second |")
  print("| --- | ---: | ---: | ---: | ---: |")
  for r in results:
    print(
      f"| {r['name']} | {r['cores']} | {r['wall']:.0f} | {r['per_core']:.0f} | {r['cpu']:.0f} |"
    )


if __name__ == "__main__":
  main()
