"""The misuse table: one line for each mistake, exit status 2, and nothing written is lost."""

import importlib.util
import subprocess
import sys
import types

import binaries
import pytest
import synthetic
from ml_collections import ConfigDict

from pretrainjax import command
from pretrainjax.errors import UserError
from pretrainjax.prepare.image import example
from pretrainjax.process import distributed, preemption


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  folder = tmp_path_factory.mktemp("data")
  synthetic.prepare("fashion_mnist", folder)
  return folder


def tree(folder):
  return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(ended: binaries.Ended, *parts: str) -> None:
  """One line, with these words in it."""
  assert ended.status == 2, ended
  assert len(ended.errors) == 1, ended.errors
  (line,) = ended.errors
  assert ": error: " in line and "Traceback" not in line
  for part in parts:
    assert part in line, line


# What is typed after `pretrain --config=... --workdir=... --data_dir=...`, and what is answered.
MISUSES = {
  "unknown flag": (["--workdri=x"], "unknown flag '--workdri=x'", "did you mean '--workdir'?"),
  "stray word": (["go"], "unknown flag 'go'"),
  "misspelt key": (
    ["--config.objective.mask_rati=0.5"],
    "--config.objective.mask_rati",
    "did you mean 'mask_ratio'?",
  ),
  "misspelt part": (["--config.optimiser.eps=1"], "did you mean 'optimizer'?"),
  "key below a value": (["--config.seed.x=1"], "config.seed has no key 'x'"),
  "no value": (["--config.seed"], "--config.seed: found no value"),
  "word for a number": (["--config.data.batch_size=many"], "found 'many' (str), expected int"),
  "fraction for a count": (["--config.data.batch_size=2.5"], "data.batch_size", "expected int"),
  "out of range": (
    ["--config.objective.mask_ratio=1.5"],
    "--config.objective.mask_ratio: found '1.5' (float), expected in (0, 1)",
  ),
  "unknown choice": (["--config.parallel.mode=pmapp"], "parallel.mode", "'pmapp'", "jit, pmap"),
  "two durations": (["--config.train.duration.epochs=1"], "config.train.duration", "epochs"),
  "unknown split": (["--config.data.split=trian"], "'trian'", "did you mean 'train'?"),
  "split beyond the end": (["--config.data.split=train[:9x]"], "train[:9x]"),
  "unknown dataset": (["--config.data.datasets=fashion_mnst"], "did you mean 'fashion_mnist'?"),
  "ours, not prepared": (
    ["--config.data.datasets=digits"],
    "prepare it: python -m pretrainjax.prepare digits --data_dir=",
  ),
  "tfds's, not prepared": (["--config.data.datasets=cifar10"], "tfds build cifar10 "),
  "no part of a batch": (["--config.train.accumulate=3"], "train.accumulate", "divisor"),
  "no such mesh": (["--config.parallel.mesh.fsdp=3"], "fsdp=3", "devices"),
  "service not installed": (
    ["--config.train.tracking.wandb_project=x"],
    "tracking.wandb_project",
    "pip install wandb",
  ),
}


@pytest.mark.parametrize("misuse", MISUSES)
def test_a_mistake_takes_one_line(misuse, capsys, tmp_path, data):
  arguments, *parts = MISUSES[misuse]
  if misuse == "service not installed" and importlib.util.find_spec("wandb"):
    pytest.skip("wandb is installed")
  places = (f"--config={binaries.MAE}", f"--workdir={tmp_path / 'run'}", f"--data_dir={data}")
  refused(binaries.call(capsys, "pretrain", *places, *arguments), *parts)
  # The next command, without the mistake, finds a folder that nobody has claimed.
  assert not list((tmp_path / "run").glob("checkpoints/*"))


def test_a_model_of_transformers_is_no_folder_for_a_run(capsys, tmp_path):
  for verb in ("pretrain", "finetune"):
    arguments = (f"--config={binaries.MAE}", f"--workdir=hf:{tmp_path}/vit")
    refused(
      binaries.call(capsys, verb, *arguments),
      f"--workdir: found 'hf:{tmp_path}/vit'",
      f"--config.init=hf:{tmp_path}/vit begins with that model",
    )


def test_config_and_workdir_are_asked_for(capsys, tmp_path):
  refused(binaries.call(capsys, "pretrain"), "--config: found nothing, expected FILE")
  config = f"--config={binaries.MAE}"
  refused(binaries.call(capsys, "pretrain", config), "--workdir: found nothing")
  near = config.replace("mae_vit", "mae_vti")
  refused(binaries.call(capsys, "pretrain", near), "did you mean 'mae_vit_fashion_mnist.py'?")


@pytest.mark.parametrize(
  ("text", "part"),
  [
    ("x = 1\n", "defines no get_config"),
    ("def get_config(arg=None):\n  return {}[arg]\n", "line 2: KeyError: 'smoke'"),
    ("def get_config(:\n", "line 1: SyntaxError"),
    ("import nothing_of_that_name\n", "line 1: ModuleNotFoundError"),
    ("def get_config(arg=None):\n  return 3\n", "returns int, expected a ConfigDict"),
  ],
  ids=["no function", "unknown form", "syntax", "import", "no config"],
)
def test_a_config_file_with_a_mistake(text, part, capsys, tmp_path):
  file = tmp_path / "mine.py"
  file.write_text(text)
  ended = binaries.call(capsys, "pretrain", f"--config={file}:smoke", f"--workdir={tmp_path}/w")
  refused(ended, str(file), part)


def test_an_unwritable_workdir(capsys, tmp_path, data):
  (tmp_path / "file").write_text("mine")
  for workdir in (tmp_path / "file", tmp_path / "file" / "below"):
    places = (f"--config={binaries.MAE}", f"--workdir={workdir}", f"--data_dir={data}")
    refused(binaries.call(capsys, "pretrain", *places), f"cannot write to '{workdir}'")
  assert (tmp_path / "file").read_text() == "mine"


def test_evaluate_and_finetune_ask_for_a_run(capsys, tmp_path, data):
  (tmp_path / "run" / "checkpoints").mkdir(parents=True)
  for verb, config, flag in (
    ("evaluate", "evaluate/image/fashion_mnist.py", "--workdir={}"),
    ("finetune", "finetune/image/vit_fashion_mnist.py", "--config.init={}"),
  ):
    places = (f"--config={binaries.ROOT}/configs/{config}:smoke", f"--data_dir={data}")
    places = (*places, f"--workdir={tmp_path / 'new'}") if verb == "finetune" else places
    for name, part in (
      ("rum", "did you mean 'run'?"),
      ("run", "any checkpoint"),
      ("run@x", "did you mean 'run'?"),
    ):
      ended = binaries.call(capsys, verb, *places, flag.format(tmp_path / name))
      refused(ended, part)


def test_another_configs_workdir_is_refused(capsys, tmp_path, data):
  places = (f"--config={binaries.MAE}", f"--workdir={tmp_path}", f"--data_dir={data}")
  assert binaries.call(capsys, "pretrain", *places, *binaries.QUICK).status == 0
  before = tree(tmp_path)
  changed = ("--config.objective.mask_ratio=0.5", "--config.seed=7")
  ended = binaries.call(capsys, "pretrain", *places, *binaries.QUICK, *changed)
  refused(ended, "seed: 0 -> 7", "objective.mask_ratio: 0.75 -> 0.5", "--allow_config_change")
  assert tree(tmp_path) == before
  # The same command has nothing left to do, and does no harm.
  ended = binaries.call(capsys, "pretrain", *places, *binaries.QUICK)
  assert ended.status == 0 and "going on from step 2 of 2" in ended.out
  assert tree(tmp_path) == before


@pytest.mark.parametrize("damage", ["no images", "damaged file"])
def test_too_many_corrupt_records_end_the_run(damage, capsys, tmp_path, monkeypatch):
  if damage == "no images":
    monkeypatch.setattr(example, "png", lambda image: b"\x89PNG, so to say")
  synthetic.prepare("fashion_mnist", tmp_path / "data", sizes={"train": 512})
  if damage == "damaged file":
    (file,) = (tmp_path / "data").rglob("*train*array_record*")
    file.write_bytes(file.read_bytes().replace(b"\x89PNG", b"\x89BAD"))
  places = (f"--config={binaries.MAE}", f"--workdir={tmp_path}/run", f"--data_dir={tmp_path}/data")
  ended = binaries.call(capsys, "pretrain", *places)
  assert ended.status == 2
  assert "--config.data.max_bad_fraction: " in ended.errors[-1]
  assert "fashion_mnist/train[:512]/" in ended.errors[-1]
  assert not any("Traceback" in line for line in ended.errors)


def test_debug_shows_the_traceback():
  with pytest.raises(UserError, match="--config: found nothing"):
    command.launch(lambda request: None, verb="v", description="", argv=["--debug"])


def test_help_lists_what_the_config_can_change(capsys):
  ended = binaries.call(capsys, "pretrain", f"--config={binaries.MAE}", "--help")
  assert ended.status == 0 and not ended.errors
  for line in ("objective.mask_ratio = 0.75", "train.duration.steps = 2", "--workdir", "--profile"):
    assert line in ended.out
  assert "_target" not in ended.out
  ended = binaries.call(capsys, "pretrain", "--help", "--config.objective.mask_ratio=0.6")
  assert ended.status == 0 and "Give --config=FILE" in ended.out


def test_the_last_override_wins_and_all_data_moves(tmp_path):
  seen = []
  argv = [f"--config={binaries.MAE}", f"--workdir={tmp_path}", "--data_dir=here", "--config.seed=1"]
  argv += ["--config.seed", "2", "--config.data.transform.scale=0.2,0.9", "--datasets=pets"]
  assert command.launch(seen.append, verb="v", description="", argv=argv) == 0
  config: ConfigDict = seen[0].config
  assert (config.seed, config.data.transform.scale) == (2, (0.2, 0.9))
  assert config.data.data_dir == config.evals.knn.train.data_dir == "here"
  assert config.data.datasets == config.evals.knn.train.datasets == "pets"


@pytest.mark.parametrize(
  ("error", "status"), [(command.Preempted("stopped"), 42), (KeyboardInterrupt(), 130)]
)
def test_other_ends_have_their_own_status(error, status, capsys, tmp_path):
  def work(request):
    raise error

  argv = [f"--config={binaries.MAE}", f"--workdir={tmp_path}"]
  assert command.launch(work, verb="v", description="", argv=argv) == status
  assert len(capsys.readouterr().err.splitlines()) == 1


def test_our_own_failures_keep_their_traceback(tmp_path):
  def work(request):
    raise RuntimeError("a bug")

  with pytest.raises(RuntimeError, match="a bug"):
    argv = [f"--config={binaries.MAE}", f"--workdir={tmp_path}"]
    command.launch(work, verb="v", description="", argv=argv)


def test_the_console_script_finds_the_verb(monkeypatch, capsys):
  for argv, status, part in (
    (["pretrian"], 2, "no verb 'pretrian'; did you mean 'pretrain'?"),
    ([], 2, f"usage: pretrainjax {{{','.join(command.VERBS)}}}"),
    (["--help"], 0, "usage: pretrainjax"),
    (["pretrain"], 2, "pretrain: error: --config: found nothing"),
    (["evaluate", "--help"], 0, "python -m pretrainjax.evaluate"),
  ):
    monkeypatch.setattr(sys, "argv", ["pretrainjax", *argv])
    assert command.main() == status
    captured = capsys.readouterr()
    assert part in captured.out + captured.err


def test_a_batch_that_eight_devices_cannot_share(tmp_path, data):
  places = (f"--config={binaries.MAE}", f"--workdir={tmp_path / 'run'}", f"--data_dir={data}")
  process = binaries.start("pretrain", *places, "--config.data.batch_size=20", devices=8)
  ended = binaries.finish(process)
  refused(ended, "found 20, expected a multiple of data x fsdp = 8 devices", "nearest: 16 or 24")
  assert not (tmp_path / "run").exists()


def test_help_needs_no_backend():
  """A mistake in a flag is told at once: JAX is not even imported for it."""
  program = (
    "import sys\nfrom pretrainjax import command\n"
    "command.launch(print, verb='v', description='', argv=['--help'])\n"
    "assert 'jax' not in sys.modules, 'jax is imported'"
  )
  done = subprocess.run(
    [sys.executable, "-c", program], cwd=binaries.ROOT, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stderr


def test_processes_are_refused_before_they_join(tmp_path, capsys):
  places = (f"--config={binaries.MAE}", f"--workdir={tmp_path / 'run'}")
  ended = binaries.call(capsys, "pretrain", *places, "--num_processes=2")
  refused(ended, "--coordinator_address: found nothing", "beside --num_processes")
  ended = binaries.call(capsys, "pretrain", *places, "--distributed=on")
  refused(ended, "--distributed: found on, but no cluster")


def test_who_listens_for_sigterm_ends_before_the_service(monkeypatch):
  """And not before the others are done, who may still ask."""
  order = []
  heartbeats, agreement, handler = (
    types.SimpleNamespace(stop=lambda: order.append("all are done"), close=lambda: None),
    types.SimpleNamespace(close=lambda: order.append("the listener")),
    preemption.SigtermHandler(),
  )
  handler.agreement = agreement
  monkeypatch.setattr(preemption, "handle_sigterm", lambda: handler)
  monkeypatch.setattr(distributed, "disconnect", lambda: order.append("the service"))
  with command._end_together(heartbeats, debug=False):
    pass
  assert order == ["all are done", "the listener", "the service"]
