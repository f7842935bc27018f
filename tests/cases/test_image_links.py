"""Folders of images whose files and classes are links, as download caches and DVC make them."""

from pathlib import Path

from image_folders import draw, tree


def cache(root: Path) -> tuple[Path, Path]:
  """A cache of downloads, whose pictures are links, and a class folder that is one."""
  blobs, one = root / "cache/blobs", root / "cache/snapshots/one"
  for split in ("train", "test"):
    for label in ("cat", "dog"):
      (one / split / label).mkdir(parents=True)
      for i in range(2):
        draw(blobs, f"{split}{label}{i}.png")
        link = one / split / label / f"{i}.png"
        link.symlink_to(f"../../../../blobs/{split}{label}{i}.png")
  draw(root, *tree("linked/cat", "elsewhere/dog"))
  (root / "linked/dog").symlink_to(root / "elsewhere/dog")
  return one, root / "linked"


def test_links_out_are_followed_on_demand(run, tmp_path):
  one, linked = cache(tmp_path)
  found = run(one)
  assert found.status == 2 and "link out of the folder" in found.error
  assert "--config.source.follow_links=true" in found.error
  followed = run(one, "--config.source.follow_links=true")
  assert followed.report["written"] == {"train": 4, "test": 4}
  assert set(followed.keys("test").values()) == {"cat", "dog"}


def test_links_to_nothing_are_told_without_a_flag_that_does_not_help(run, tmp_path):
  folder = tmp_path / "in" / "cat"
  folder.mkdir(parents=True)
  (folder / "0.png").symlink_to("../blobs/0.png")
  found = run(tmp_path / "in", "--config.source.follow_links=true")
  assert found.status == 2 and "link to nothing" in found.error
  assert "follow_links" not in found.error


def test_a_class_that_vanished_with_its_link_is_told(run, tmp_path):
  _, linked = cache(tmp_path)
  found = run(linked)
  assert "lost           class dog: linked folder; --config.source.follow_links=true" in found.out
  followed = run(linked, "--config.source.follow_links=true")
  assert set(followed.keys("train").values()) == {"cat", "dog"} and "lost" not in followed.out


def test_a_class_of_which_nothing_can_be_read_is_told(run, tmp_path):
  draw(tmp_path / "in", *tree("cat"))
  (tmp_path / "in/dog").mkdir()
  (tmp_path / "in/dog/0.jpg").write_bytes(b"nonsense")
  (tmp_path / "in/docs").mkdir()
  (tmp_path / "in/docs/readme.md").write_text("no class")
  found = run(tmp_path / "in", max_dropped=0.5)
  assert (
    "lost           class dog: not decodable" in found.out
    and "docs" not in found.out.split("lost")[1].splitlines()[0]
  )


def test_a_link_that_leads_back_ends(run, tmp_path):
  root = draw(tmp_path / "in", *tree("cat"))
  (root / "cat/again").symlink_to(root)
  found = run(root, "--config.source.follow_links=true")
  assert found.report["written"] == {"train": 2}
