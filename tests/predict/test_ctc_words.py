import numpy as np
import pytest
import tokenizers
from fake_texts import word_tokenizer
from recognisers import letter_tokenizer

from pretrainjax.data.tokenizer import SPECIALS, Tokenizer
from pretrainjax.generation.ctc import Spans
from pretrainjax.predict.ctc_words import Labels, Recognition
from pretrainjax.predict.sound_windows import Frames


def piece_tokenizer() -> Tokenizer:
  """WordPiece: a, b, ab, and the same within words."""
  vocabulary = {n: i for i, n in enumerate([*SPECIALS, "a", "b", "ab", "##a", "##b", "##ab"])}
  made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
  made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
  made.decoder = tokenizers.decoders.WordPiece()
  made.add_special_tokens(list(SPECIALS))
  return Tokenizer(made.to_str())


def labels_of(tokenizer: Tokenizer) -> Labels:
  return Labels.of(tokenizer, num_classes=tokenizer.vocab_size, blank_id=0)


def frames_of(path, *, step=0.1, num_classes=9, sure=0.99) -> Frames:
  """Frames in which a class is likeliest."""
  rest = (1 - sure) / (num_classes - 1)
  probabilities = np.full((len(path), num_classes), rest)
  probabilities[np.arange(len(path)), path] = sure
  return Frames(np.log(probabilities).astype(np.float32), np.arange(len(path)) * step, step)


@pytest.mark.parametrize("space", [" ", "\u2581"])
def test_a_space_begins_a_word(space):
  labels = labels_of(letter_tokenizer(space))
  assert np.flatnonzero(labels.begins).tolist() == [5]
  assert np.flatnonzero(labels.is_space).tolist() == [5]


def test_pieces_of_words_and_whole_words():
  labels = labels_of(piece_tokenizer())
  assert np.flatnonzero(labels.begins).tolist() == [5, 6, 7] and not labels.is_space.any()
  labels = labels_of(word_tokenizer("the frog"))
  assert np.flatnonzero(labels.begins).tolist() == [5, 6]


def test_words_have_the_times_of_their_letters():
  labels = labels_of(letter_tokenizer())
  frames = frames_of([0, 6, 6, 0, 7, 5, 0, 0, 8, 8, 5, 0])
  ids = np.array([6, 7, 5, 8, 5])
  spans = Spans(np.array([1, 4, 5, 8, 10]), np.array([2, 4, 5, 9, 10]))
  words = list(labels.words(ids, spans, frames))
  assert [word.text for word in words] == ["ab", "c"]
  times = [time for word in words for time in (word.begin, word.end)]
  np.testing.assert_allclose(times, [0.1, 0.5, 0.8, 1.0])
  assert list(labels.words(ids[:0], Spans(ids[:0], ids[:0]), frames)) == []


@pytest.mark.parametrize("width", [0, 8])
def test_a_long_sound_is_cut_between_words_and_says_the_same(width):
  rng = np.random.default_rng(0)
  path = [0, 0]
  for _ in range(60):
    for letter in rng.integers(6, 9, rng.integers(1, 4)):
      path += [letter, 0]
    path += [5] + [0] * rng.integers(0, 3)
  frames = frames_of(np.array(path))
  labels = labels_of(letter_tokenizer())
  expected = list(Recognition(labels, width=width, longest=1e6).words([frames]))
  parts = [frames.part(slice(i, i + 17)) for i in range(0, len(path), 17)]
  recognition = Recognition(labels, width=width, longest=3.0)
  pieces = list(recognition.pieces(parts))
  assert len(pieces) > 8 and max(len(piece.begins) for piece in pieces) <= 31 + 17
  np.testing.assert_array_equal(np.concatenate([p.begins for p in pieces]), frames.begins)
  found = list(recognition.words(parts))
  assert [word.text for word in found] == [word.text for word in expected] and len(found) == 60
  np.testing.assert_allclose([w[1:] for w in found], [w[1:] for w in expected], atol=1e-6)


def test_silence_and_a_word_without_end_are_cut_too():
  labels = labels_of(letter_tokenizer())
  recognition = Recognition(labels, longest=1.0)
  assert max(len(p.begins) for p in recognition.pieces([frames_of([0] * 95)])) <= 10
  assert list(recognition.words([frames_of([0] * 95)])) == []
  word = frames_of([6, 7] * 40)
  assert max(len(p.begins) for p in recognition.pieces([word])) <= 20
  assert list(recognition.words([])) == []
