"""What is known of the images that were kept: as of all examples, and their shapes."""

from typing import ClassVar

from pretrainjax.prepare.image.example import Image
from pretrainjax.prepare.stages.example_table import ExampleTable


class ImageTable(ExampleTable):
  """Images in the order in which they came, and what was dropped."""

  content = "pixels"
  further: ClassVar = {
    "height": "INTEGER",
    "width": "INTEGER",
    "channels": "INTEGER",
    "size_before": "INTEGER",
  }

  def add(self, image: Image, offset: int) -> None:
    """Adds an image to the table.

    Args:
      image: one that is kept.
      offset: the offset of its bytes, in the file of all.
    """
    height, width, channels = image.shape
    values = {
      "key": image.key,
      "class": image.label,
      "split": image.split,
      "height": height,
      "width": width,
      "channels": channels,
      "digest": image.digest,
      "start": offset,
      "size": len(image.data),
      "size_before": image.size_before,
    }
    self.insert(values, remarks=image.remarks)

  def shape(self) -> tuple[int | None, int | None, int]:
    """The shape of all images; None where they differ, and 1 channel only where all have that."""
    row = self._database.execute(
      "SELECT MIN(height), MAX(height), COUNT(height), MIN(width), MAX(width), COUNT(width),"
      " MAX(channels), COUNT(*) FROM example"
    ).fetchone()
    sides = [
      low if low == high and count == row[7] else None for low, high, count in (row[:3], row[3:6])
    ]
    return sides[0], sides[1], row[6]

  def shrunk(self) -> tuple[int, int, int]:
    """How many images were shrunk, their files' bytes before that, and after."""
    return self._database.execute(
      "SELECT COUNT(*), IFNULL(SUM(size_before), 0), IFNULL(SUM(size), 0) FROM example"
      " WHERE size_before IS NOT NULL"
    ).fetchone()
