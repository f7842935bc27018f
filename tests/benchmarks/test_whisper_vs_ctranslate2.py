import wave

import numpy as np
import pytest
import whisper_vs_ctranslate2
from whisper_vs_ctranslate2 import Clip


def write(path, samples, channels=1):
  with wave.open(str(path), "wb") as file:
    file.setnchannels(channels)
    file.setsampwidth(2)
    file.setframerate(16_000)
    file.writeframes(samples.tobytes())


def test_clips_are_floats_and_rows_of_one_length(tmp_path):
  samples = np.array([-32768, 0, 16384], np.int16)
  write(tmp_path / "a.wav", samples)
  clip = whisper_vs_ctranslate2.read_clip(tmp_path / "a.wav")
  assert clip.name == "a.wav" and clip.samples.tolist() == [-1.0, 0.0, 0.5]
  sound = whisper_vs_ctranslate2.sound_of([clip, Clip("b", np.ones(5, np.float32))])
  assert sound.audio.shape == (2, 5) and sound.num_samples.tolist() == [3, 5]


def test_two_channels_are_refused(tmp_path):
  write(tmp_path / "a.wav", np.zeros(4, np.int16), channels=2)
  with pytest.raises(SystemExit, match="expected 16 bits and one channel"):
    whisper_vs_ctranslate2.read_clip(tmp_path / "a.wav")
