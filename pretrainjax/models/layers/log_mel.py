"""Log-mel spectrograms of sound, computed on the device in float32."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pretrainjax.models.layers.frames import (
  Frames,
  as_float,
  moments,
  num_windows,
  real_frames,
  windows,
)
from pretrainjax.ranges import (
  Finite,
  NonNegativeFloat,
  PositiveFloat,
  PositiveInt,
  Rate,
  check_ranges,
)
from pretrainjax.types import Sound

Scale = Literal["htk", "slaney", "kaldi"]
Window = Literal["hann", "hann_symmetric", "povey"]


@dataclasses.dataclass(frozen=True)
class LogMel:
  """The logarithm of the energy in bands of a mel scale, frame by frame.

      log(max(floor, filters . |rfft(window * frame)|^2))

  By rfft, which takes 0.1 ms for a second of sound on a CPU; a product with a table of cosines and
  sines takes 0.26 ms (docs/log.md).

  Args:
    num_mels: number of bands.
    sample_rate: samples a second.
    window_length: samples of a frame.
    hop_length: samples from one frame to the next.
    fft_length: samples of the transform; a frame is followed by zeros up to it.
    window: "hann" is the periodic one of Whisper, "hann_symmetric" that of AST, "povey" Kaldi's.
    scale: "slaney" is Whisper's, linear up to 1 kHz, with bands of equal area; "htk" and "kaldi"
      are logarithmic, with bands that are triangles in Hz, or in mel.
    lowest: the frequency where the first band begins, in Hz.
    highest: the frequency where the last one ends, in Hz.
    preemphasis: each sample loses so much of the one before, within its frame.
    remove_offset: whether each frame loses its mean.
    logarithm: natural ("ln") or "log10".
    floor: the least energy that is told apart.
    normalise: "utterance" gives each band mean 0 and variance 1 over the real frames of a row,
      padding is 0; "whisper" cuts a row at 8 below its highest value, then adds 4 and divides by 4;
      "fixed" is (x - mean) / std.
    mean: what "fixed" subtracts.
    std: what "fixed" divides by.
    length: the number of frames of each row, cut or padded: with zeros before "fixed" is applied,
      or where frames are centred with silence. None takes what the audio gives.
    centred: whether frame t has its middle at sample t * hop_length, with what lies before the
      first sample mirrored; needs a `length`, so that what follows the end does not depend on
      the batch.

  Raises:
    ValueError: for numbers that do not fit together.
  """

  num_mels: PositiveInt = 80
  sample_rate: PositiveInt = 16_000
  window_length: PositiveInt = 400
  hop_length: PositiveInt = 160
  fft_length: PositiveInt = 512
  window: Window = "hann"
  scale: Scale = "htk"
  lowest: NonNegativeFloat = 20.0
  highest: PositiveFloat = 8000.0
  preemphasis: Rate = 0.0
  remove_offset: bool = False
  logarithm: Literal["ln", "log10"] = "ln"
  floor: PositiveFloat = 1e-10
  normalise: Literal["utterance", "whisper", "fixed", "none"] = "none"
  mean: Finite = 0.0
  std: PositiveFloat = 1.0
  length: PositiveInt | None = None
  centred: bool = False

  def __post_init__(self) -> None:
    check_ranges(self)
    if self.fft_length < self.window_length:
      raise ValueError(
        f"fft_length={self.fft_length}: expected at least window_length={self.window_length}"
      )
    if not self.lowest < self.highest <= self.sample_rate / 2:
      raise ValueError(
        f"highest={self.highest}: expected above lowest={self.lowest}, and at most half of "
        f"sample_rate={self.sample_rate}"
      )
    if self.centred and self.length is None:
      raise ValueError("length=None: expected a number of frames, as they are centred")

  def __call__(self, sound: Sound) -> Frames:
    """The spectrogram of each row, "B T num_mels"; a frame is real where all its samples are.

    Centred frames are real where their middle is.
    """
    audio, num_samples = as_float(sound.audio), jnp.asarray(sound.num_samples)
    audio = jnp.where(real_frames(num_samples, audio.shape[1]), audio, 0.0)
    if self.centred:
      audio = self._centred(audio)
      counts = -(-num_samples // self.hop_length)
    else:
      size = {"size": self.window_length, "stride": self.hop_length}
      counts = jnp.asarray(num_windows(num_samples, **size))
    short = max(self.window_length - audio.shape[1], 0)
    values = self._logarithms(jnp.pad(audio, ((0, 0), (0, short))))
    valid = real_frames(counts, values.shape[1])
    if self.length is not None and not self.centred:
      values = jnp.where(valid[..., None], values, 0.0)
      more = max(self.length - values.shape[1], 0)
      values = jnp.pad(values, ((0, 0), (0, more), (0, 0)))[:, : self.length]
      valid = real_frames(counts, self.length)
    return Frames(self._normalised(values, valid), valid)

  def _centred(self, audio: Float[Array, "B S"]) -> Float[Array, "B _"]:
    """Audio of the length that gives `length` frames, mirrored at both ends."""
    wanted, half = self.length * self.hop_length, self.fft_length // 2
    more = max(wanted - audio.shape[1], 0)
    audio = jnp.pad(audio, ((0, 0), (0, more)))[:, :wanted]
    # The last frame, whose middle is the end, is left out, as Whisper has it.
    mirrored = jnp.pad(audio, ((0, 0), (half, half)), mode="reflect")
    return mirrored[:, : (self.length - 1) * self.hop_length + self.window_length]

  def _logarithms(self, audio: Float[Array, "B S"]) -> Float[Array, "B T F"]:
    x = windows(audio[..., None], size=self.window_length, stride=self.hop_length)
    if self.remove_offset:
      x = x - jnp.mean(x, axis=-1, keepdims=True)
    if self.preemphasis:
      before = jnp.concatenate([x[..., :1], x[..., :-1]], axis=-1)
      x = x - self.preemphasis * before
    x = x * window_table(self.window, self.window_length).reshape(1, 1, -1)
    bins = jnp.fft.rfft(x, self.fft_length)
    power = jnp.square(bins.real) + jnp.square(bins.imag)
    energy = jnp.matmul(power, self.filters(), precision=jax.lax.Precision.HIGHEST)
    logarithm = jnp.log if self.logarithm == "ln" else jnp.log10
    return logarithm(jnp.maximum(energy, self.floor))

  def _normalised(self, x, valid) -> Float[Array, "B T F"]:
    if self.normalise == "fixed":
      return (x - self.mean) / self.std
    if self.normalise == "whisper":
      highest = jnp.max(x, axis=(1, 2), keepdims=True)
      return (jnp.maximum(x, highest - 8.0) + 4.0) / 4.0
    if self.normalise == "none":
      return x
    mean, variance = moments(x, valid)
    return jnp.where(valid[..., None], (x - mean) * jax.lax.rsqrt(variance + 1e-5), 0.0)

  def filters(self) -> Float[np.ndarray, "bins F"]:
    """The share of each frequency of the transform in each band."""
    return mel_filters(
      num_mels=self.num_mels,
      num_bins=self.fft_length // 2 + 1,
      sample_rate=self.sample_rate,
      lowest=self.lowest,
      highest=self.highest,
      scale=self.scale,
    )


def speech_log_mel(num_mels: int = 80, *, length: int | None = None) -> LogMel:
  """What our own encoders read: 25 ms every 10 ms, each band normalised over its utterance.

  Args:
    num_mels: number of bands.
    length: number of frames; None takes what the audio gives.
  """
  kaldi = {"window": "povey", "scale": "kaldi", "preemphasis": 0.97, "remove_offset": True}
  return LogMel(num_mels=num_mels, **kaldi, normalise="utterance", length=length)


def whisper_log_mel(num_mels: int = 80, *, length: int = 3000) -> LogMel:
  """Whisper's spectrogram (arXiv 2212.04356, section 2.2), of 30 seconds.

  Args:
    num_mels: number of bands: 80, and 128 in its third version.
    length: number of frames.
  """
  bands = {"num_mels": num_mels, "fft_length": 400, "scale": "slaney", "lowest": 0.0}
  return LogMel(**bands, logarithm="log10", normalise="whisper", length=length, centred=True)


def kaldi_log_mel(
  num_mels: int = 128, *, length: int | None = 1024, mean: float, std: float
) -> LogMel:
  """The filter bank of Kaldi as AST reads it (arXiv 2104.01778, section 2.1).

  Args:
    num_mels: number of bands.
    length: number of frames; None takes what the audio gives.
    mean: the mean of the training data.
    std: what is divided by: in AST's code two standard deviations.
  """
  frame = {"window": "hann_symmetric", "preemphasis": 0.97, "remove_offset": True}
  bands = {"num_mels": num_mels, "scale": "kaldi", "floor": float(np.finfo(np.float32).eps)}
  return LogMel(**frame, **bands, normalise="fixed", mean=mean, std=std, length=length)


def window_table(name: Window, length: int) -> Float[np.ndarray, " L"]:
  """The weights of a frame's samples.

  Args:
    name: the kind of window.
    length: samples of a frame.
  """
  period = length if name == "hann" else max(length - 1, 1)
  hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / period)
  return (hann**0.85 if name == "povey" else hann).astype(np.float32)


def to_mel(hertz: Float[np.ndarray, "*N"], scale: Scale) -> Float[np.ndarray, "*N"]:
  """Frequencies in Hz on a mel scale."""
  if scale != "slaney":
    return 1127.0 * np.log1p(hertz / 700.0)
  high = 15.0 + 27.0 * np.log(np.maximum(hertz, 1000.0) / 1000.0) / np.log(6.4)
  return np.where(hertz < 1000.0, hertz * 3.0 / 200.0, high)


def from_mel(mel: Float[np.ndarray, "*N"], scale: Scale) -> Float[np.ndarray, "*N"]:
  """Places on a mel scale in Hz, the inverse of `to_mel`."""
  if scale != "slaney":
    return 700.0 * np.expm1(mel / 1127.0)
  high = 1000.0 * np.exp((np.maximum(mel, 15.0) - 15.0) * np.log(6.4) / 27.0)
  return np.where(mel < 15.0, mel * 200.0 / 3.0, high)


def mel_filters(
  *, num_mels: int, num_bins: int, sample_rate: int, lowest: float, highest: float, scale: Scale
) -> Float[np.ndarray, "bins F"]:
  """Triangles whose corners stand at equal distances on a mel scale.

  Args:
    num_mels: number of bands, F.
    num_bins: number of frequencies of the transform, from 0 to half of the rate.
    sample_rate: samples a second.
    lowest: where the first band begins, in Hz.
    highest: where the last one ends, in Hz.
    scale: the scale, and with "slaney" that bands have equal areas; see `LogMel`.
  """
  ends = to_mel(np.array([lowest, highest]), scale)
  corners, places = np.linspace(*ends, num_mels + 2), np.linspace(0, sample_rate / 2, num_bins)
  if scale == "kaldi":
    places = to_mel(places, scale)
  else:
    corners = from_mel(corners, scale)
  left, middle, right = corners[:-2], corners[1:-1], corners[2:]  # each F
  rising = (places[:, None] - left[None]) / (middle - left)[None]
  falling = (right[None] - places[:, None]) / (right - middle)[None]
  filters = np.maximum(0.0, np.minimum(rising, falling))
  if scale == "slaney":
    filters = filters * (2.0 / (right - left))[None]
  return filters.astype(np.float32)
