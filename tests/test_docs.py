"""What the documents say is run: every block of Python, every link, every flag of a config."""

import importlib
import inspect
import re
import shlex
import sys
import types
from pathlib import Path

import binaries
import jax
import numpy as np
import pytest
import synthetic
import tiny_texts
import whispers

import pretrainjax as pj
from pretrainjax.benchmark.stand_in import StandIn
from pretrainjax.checkpoint.manager import Checkpoints
from pretrainjax.command import VERBS
from pretrainjax.config.text import load_config, override
from pretrainjax.train.assemble import assemble

ROOT = Path(__file__).parents[1]
PAGES = sorted(
  [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"), *ROOT.glob("launch/*.md")]
)
RECIPES = ("An objective", "An encoder", "A dataset", "An evaluator")
OWN = "A package of your own"
PRETRAIN_OWN = ("--config=mylab/train.py", "--workdir=runs/dots")
PRETRAIN_OWN += ("--config.train.tracking.tensorboard=false",)
# A block that begins with a path is that file.
FILE = re.compile(r"# (\S+\.py)\n")


def name(page: Path) -> str:
  return page.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
  """The fenced blocks of a language, in order."""
  return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
  """One recipe of extending.md."""
  text = (ROOT / "docs/extending.md").read_text()
  assert f"\n## {title}\n" in text
  return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> Path:
  """A data_dir with a small "fashion_mnist"."""
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder, sizes={"train": 512, "test": 64})
  return folder


@pytest.mark.parametrize("title", RECIPES)
def test_recipes_run(title, noise, tmp_path, monkeypatch):
  monkeypatch.setenv("PRETRAINJAX_DATA", str(noise))
  monkeypatch.chdir(tmp_path)
  typed: dict[str, object] = {"__name__": "__main__"}
  files = []
  for block in blocks(section(title), "python"):
    path = FILE.match(block)
    if path is None:
      exec(compile(block, f"extending.md, {title}", "exec"), typed)
    else:
      place(path.group(1), block, monkeypatch)
      files.append(path.group(1))
  assert any(f.startswith("pretrainjax/") for f in files), "a recipe shows a module"
  assert any(not f.startswith("pretrainjax/") for f in files), "a recipe shows a config"


def test_a_package_of_ones_own_runs(tmp_path, monkeypatch, capsys):
  """Outside of the checkout, commands and all; without --allow its checkpoints are refused."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.delenv("PRETRAINJAX_DATA", raising=False)
  text = section(OWN)
  codes = blocks(text, "python")
  for block in codes:
    if (path := FILE.match(block)) is not None:
      Path(path.group(1)).parent.mkdir(exist_ok=True)
      Path(path.group(1)).write_text(block)
  try:
    for command in commands(text):
      _, _, binary, *arguments = shlex.split(command)
      verb = binary.partition(".")[2]
      if verb in ("pretrain", "finetune"):
        arguments.append("--config.train.tracking.tensorboard=false")
      if verb == "evaluate":
        refused = binaries.call(capsys, verb, *arguments[:-1])
        assert refused.status == 2, refused
        assert "mylab.nets:Matrix" in refused.errors[-1]
        assert "--allow=mylab" in refused.errors[-1] and "DAMAGED" not in str(refused)
      ended = binaries.call(capsys, verb, *arguments)
      assert ended.status == 0, ended.errors
    exec(compile(codes[-1], f"extending.md, {OWN}", "exec"), {})
    again = binaries.call(capsys, "pretrain", *PRETRAIN_OWN)
    assert again.status == 0 and "going on from step 4 of 4" in again.out, again
  finally:
    for name in [n for n in sys.modules if n.partition(".")[0] == "mylab"]:
      del sys.modules[name]
  assert Path("runs/dots/evaluation/results.jsonl").is_file()


@pytest.mark.repeat
def test_research_code_runs(tmp_path, monkeypatch):
  """The Python for users, on checkpoints that hold untrained networks."""
  configs = {"mae": "image/mae_vit_fashion_mnist", "gpt": "text/gpt_sotu", "bert": "text/bert_sotu"}
  for name, file in configs.items():
    config = load_config(str(ROOT / f"configs/pretrain/{file}.py:smoke"))
    run = assemble(config, num_examples=512, prepared=StandIn(config))
    with Checkpoints(tmp_path / "runs" / name) as checkpoints:
      checkpoints.save(0, jax.jit(run.init)(), config=run.config)
    (tmp_path / "runs" / name / "tokenizer.json").write_text(tiny_texts.tokenizer().text)
  monkeypatch.chdir(tmp_path)
  typed: dict[str, object] = {}
  for page in ("README.md", "docs/finetuning.md", "docs/research_code.md"):
    typed.clear()
    found = blocks((ROOT / page).read_text(), "python")
    assert found, page
    for block in found:
      exec(compile(block, page, "exec"), typed)
  assert typed["encoded"].pooled.shape == typed["features"].shape == (8, 16)
  assert np.isfinite(typed["loss"]) and "patch_embed" in typed["names"]
  assert len(typed["texts"]) == 2


def test_a_sound_is_transcribed_as_the_page_of_the_api_does_it(tmp_path, monkeypatch):
  soundfile = pytest.importorskip("soundfile")
  pytest.importorskip("soxr")
  noise = np.random.default_rng(0).integers(-9000, 9000, 6000).astype(np.int16)
  soundfile.write(tmp_path / "talk.mp3", noise, 16_000, format="WAV")
  whispers.make(tmp_path / "FOLDER")
  monkeypatch.chdir(tmp_path)
  typed: dict[str, object] = {}
  (block,) = [b for b in blocks((ROOT / "docs/api.md").read_text(), "python") if "Whisper" in b]
  exec(compile(block, "api.md", "exec"), typed)
  assert typed["spoken"].language == "en"
  assert all(0 <= segment.begin < segment.end < 0.5 for segment in typed["spoken"].segments)


def test_the_page_of_the_api_has_all_names_and_their_arguments():
  """A heading each function, as its signature is."""
  page = (ROOT / "docs/api.md").read_text()
  headings = dict(re.findall(r"^## (\w+)\((.*)\)$", page, flags=re.MULTILINE))
  functions = {name for name in pj.__all__ if callable(getattr(pj, name))}
  assert set(headings) == functions
  for name in pj.__all__:
    assert f"pj.{name}" in page
  for name, arguments in headings.items():
    told = [part.partition("=")[0].strip() for part in arguments.split(", ")]
    assert [one for one in told if one != "*"] == list(
      inspect.signature(getattr(pj, name)).parameters
    ), name


def place(path: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
  """A module of the package is made in memory, a config is written below the current folder."""
  assert not (ROOT / path).exists(), f"{path} exists: the example hides it"
  if not path.startswith("pretrainjax/"):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(code)
    return
  *parents, _ = parts = path.removesuffix(".py").split("/")
  for depth in range(1, len(parents) + 1):
    package = ".".join(parents[:depth])
    if not (ROOT / Path(*parents[:depth])).is_dir():
      monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
  module = types.ModuleType(".".join(parts))
  monkeypatch.setitem(sys.modules, module.__name__, module)
  exec(compile(code, path, "exec"), module.__dict__)


@pytest.mark.parametrize("title", [*RECIPES, OWN])
def test_examples_are_in_our_style(title):
  for block in blocks(section(title), "python"):
    assert block.isascii()
    assert max(map(len, block.splitlines())) <= 100
    if FILE.match(block):
      assert FILE.sub("", block, count=1).startswith('"""'), "a file begins with its docstring"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
  text = page.read_text()
  for target in re.findall(r"\]\(([^)\s]+)\)", text):
    if "://" in target:
      continue
    file, _, anchor = target.partition("#")
    found = page if not file else (page.parent / file)
    assert found.exists(), f"{name(page)} links to {target}"
    if anchor and found.suffix == ".md":
      titles = re.findall(r"^#+ (.+)$", found.read_text(), flags=re.MULTILINE)
      assert anchor in {re.sub(r"[^a-z0-9 -]", "", t.lower()).replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_exist(page):
  """Code and configs that a page names are there (what the recipes make up apart)."""
  text = page.read_text()
  made_up = {path for block in blocks(text, "python") for path in FILE.findall(block)}
  made_up |= {path.removeprefix("pretrainjax/") for path in made_up}
  for path in set(
    re.findall(r"(?<![\w/.])(?:configs|pretrainjax|tests|benchmarks)/[\w/]+\.py", text)
  ):
    assert path in made_up or (ROOT / path).is_file(), f"{name(page)} names {path}"


def commands(text: str) -> list[str]:
  """Command lines of a page that run one of our binaries."""
  lines = "\n".join(blocks(text, "bash")).replace("\\\n", " ").splitlines()
  return [line.split("  #")[0] for line in lines if re.search(r"pretrainjax[. ]", line)]


def named_config(command: str) -> str | None:
  """What a command's --config names, by file or by name; None for a file that a reader has."""
  found = re.search(r"(?:--config=|pretrainjax config )(\S+)", command)
  if found is None or re.match(r"FILE|\.\.\.|\$|[A-Z]+\b", found.group(1)):
    return None
  file = found.group(1).partition(":")[0]
  if file.endswith(".py"):
    return str(ROOT / found.group(1)) if (ROOT / file).is_file() else None
  return found.group(1)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_name_what_is_there(page):
  text = page.read_text()
  for command in commands(text):
    for verb in re.findall(r"-m pretrainjax\.(\w+)", command):
      assert verb in VERBS, command
      importlib.import_module(f"pretrainjax.{verb}")
    for verb in re.findall(r"(?<![\w-])pretrainjax (\w+)", command):
      assert verb in VERBS, command
    reference = named_config(command)
    if reference is None:
      continue
    config = load_config(reference)
    for key, value in re.findall(r"--config\.([\w.]+)=(\S+)", command):
      override(config, key, value)
