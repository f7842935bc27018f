"""Moved, never deleted, with the reason."""

from pretrainjax.checkpoint import quarantine


def make(folder):
  folder.mkdir(parents=True)
  (folder / "data").write_text(str(folder))
  return folder


def test_the_same_step_is_moved_as_often_as_it_takes(tmp_path):
  aside = tmp_path / "quarantine"
  assert quarantine.contents(aside) == []
  for name, reason in [("STEP-7", "torn"), ("STEP-7.1", "empty"), ("STEP-7.2", "a copy")]:
    step = make(tmp_path / "checkpoints" / "7")
    moved = quarantine.move(step, aside, reason=reason)
    assert moved == aside / name and not step.exists()
    assert (moved / "data").read_text() == str(step)
    assert (moved / "reason.txt").read_text().startswith(f"{reason}\n")
  assert quarantine.contents(aside) == ["STEP-7", "STEP-7.1", "STEP-7.2"]


def test_what_cannot_be_moved_is_told_and_ends_no_run(tmp_path, caplog):
  quarantine.move(tmp_path / "7", tmp_path / "quarantine", reason="torn")
  assert "cannot be set aside" in caplog.text
