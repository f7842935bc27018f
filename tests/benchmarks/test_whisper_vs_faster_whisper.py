import whisper_vs_faster_whisper
from whisper_vs_faster_whisper import Turn


def test_a_turn_is_timed_and_keeps_its_texts():
  turn = whisper_vs_faster_whisper.timed(lambda: {"a.wav": str(sum(range(200_000)))})
  assert turn.texts == {"a.wav": "19999900000"} and 0 < turn.cpu and 0 < turn.wall


def test_ratios_are_by_turn_and_to_the_last_side():
  turns = {
    "ours": [Turn(2.0, 2.0, {}), Turn(6.0, 3.0, {}), Turn(4.0, 1.0, {})],
    "theirs": [Turn(4.0, 4.0, {}), Turn(4.0, 2.0, {}), Turn(8.0, 2.0, {})],
  }
  *_, ours, theirs = whisper_vs_faster_whisper.rows(turns, seconds=40.0)
  assert ours == "| ours | 4.00 | 2.00 | 10.0 | 0.50 (0.50 to 1.50) |"
  assert theirs == "| theirs | 4.00 | 2.00 | 10.0 | 1.00 (1.00 to 1.00) |"
