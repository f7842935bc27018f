from visit.page import page, table

ABOUT = {"peak_bytes": 2e9, "compile_seconds": 9.04, "compiled": True, "num_parameters": 3}
MACHINE = {"device": "NVIDIA Xyz", "versions": "jax 1.2", "peak_flops": 1e12, "backend": "gpu"}
STEP = {
  "part": "steps",
  "model": "X",
  "batch": 7,
  "flops": 3e9,
  "seconds": {"peer": [0.04, 0.04, 0.04], "ours": [0.01, 0.02, 0.06]},
  "about": {"peer": ABOUT, "ours": ABOUT},
  "ratio": 0.5,
  "range": [0.25, 1.5],
}


def found(*results, **more):
  arguments = {"minutes": 12, "sizes": "full", "dtype": "bfloat16"}
  return {
    "arguments": arguments,
    "machine": MACHINE,
    "results": list(results),
    "failed": [],
    "left": [],
  } | more


def test_steps_have_medians_ratios_and_the_share_of_the_peak():
  lines = table(found(STEP))
  assert lines[-2:] == [
    "| X | 7 | torch.compile | 40.0 |  | 7.5% | 2.00 | 9.0 |",
    "| X | 7 | ours | 20.0 | 0.50 (0.25 to 1.50) | 15.0% | 2.00 | 9.0 |",
  ]


def test_what_the_peer_does_with_padding_is_no_share_of_the_peak():
  lines = table(found(STEP | {"tokens": {"ours": 1, "peer": 1}}))
  assert "7.5%" not in "".join(lines) and "15.0%" in "".join(lines)


def test_without_a_known_peak_there_is_no_share():
  machine = MACHINE | {"peak_flops": None}
  text = page(found(STEP, machine=machine))
  assert "15.0%" not in text and "peak not known" in text


def test_a_side_alone_is_shown():
  row = {k: v for k, v in STEP.items() if k not in ("ratio", "range")}
  row |= {"seconds": {"ours": [0.02]}, "about": {"ours": ABOUT}}
  assert table(found(row))[-1] == "| X | 7 | ours | 20.0 |  | 15.0% | 2.00 | 9.0 |"


def test_a_check_that_was_not_kept_stands_out():
  errors = {"bfloat16": {"loss_error": 0.5, "gradient_error": 0.25, "limits": [0.02, 0.1]}}
  rows = [
    {"part": "checks", "check": "float32", "name": "MAE", "errors": errors, "kept": False},
    {"part": "checks", "check": "bits", "name": "MAE", "steps": 3, "kept": True},
  ]
  text = "\n".join(table(found(*rows)))
  assert "| MAE | bfloat16 | 5.0e-01 | 2.5e-01 | NO |" in text
  assert "| MAE | 3 | yes |" in text


def test_the_share_in_a_sweep_is_of_useful_work():
  """Steps that compute activations again do more, but none that counts."""
  row = {"part": "sweep", "batch": 2, "remat": "none", "seconds": 0.01, "num_parameters": 3e8}
  row |= {"flops": 4e9, "unseen_flops": 2e9, "peak_bytes": 1e9}
  again = row | {"remat": "full", "flops": 6e9, "batch": 4, "seconds": 0.02}
  lines = table(found(row, again))
  assert lines[-2:] == [
    "| 2 | none | 10.0 | 20.0% | 1.00 |",
    "| 4 | full | 20.0 | 20.0% | 1.00 |",
  ]


def test_the_page_has_the_command_and_what_is_missing():
  left = [{"part": "sweep", "reason": "the time was over"}]
  failed = [{"part": "steps", "model": "Y", "reason": "out of memory"}]
  text = page(found(STEP, failed=failed, left=left))
  assert "--minutes=12 --sizes=full --dtype=bfloat16" in text and "NVIDIA Xyz" in text
  assert "## Failed\n\n* steps, Y: out of memory" in text
  assert "## Left out\n\n* sweep: the time was over" in text
