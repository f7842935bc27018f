"""Folders of texts, as people have them, and what was prepared of them."""

import json


def fill(root, files: dict):
  """Writes files by their paths: text, bytes, or records as lines of JSON."""
  for name, content in files.items():
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list):
      content = "".join(json.dumps(record) + "\n" for record in content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
  return root


def documents(report: dict) -> dict[str, int]:
  return {split: counts["documents"] for split, counts in report["splits"].items()}
