"""The whole circle: made by transformers, read here, trained, written, read by transformers.

For every class that loads: outputs on ordinary and odd inputs, a loss and its gradients are equal,
and what is written without training has the bytes of every tensor that was read.
"""

import functools

import pytest
import torchvision_operators  # noqa: F401
from round_trips import randomise, read_train_write
from transformers_models import saved

from pretrainjax.convert import vit
from pretrainjax.export.write import write_transformers
from pretrainjax.models.layers.position import sincos_table

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

pytestmark = pytest.mark.parity
# Odd sizes, and no default where ours could have been right by chance.
BERT = dict(
  vocab_size=37,
  hidden_size=15,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=22,
  max_position_embeddings=16,
  hidden_dropout_prob=0.0,
  attention_probs_dropout_prob=0.0,
)
DISTIL = dict(
  vocab_size=37,
  dim=15,
  n_layers=2,
  n_heads=3,
  hidden_dim=22,
  max_position_embeddings=16,
  **dict.fromkeys(("dropout", "attention_dropout", "seq_classif_dropout"), 0.0),
)
ELECTRA = BERT | dict(embedding_size=9, type_vocab_size=3)
MODERN = dict(
  vocab_size=37,
  hidden_size=12,
  num_hidden_layers=5,
  num_attention_heads=3,
  intermediate_size=22,
  max_position_embeddings=16,
  local_attention=4,
  norm_eps=1e-4,
  pad_token_id=0,
  bos_token_id=2,
  eos_token_id=3,
  cls_token_id=2,
  sep_token_id=3,
)
GPT = dict(
  vocab_size=37,
  n_positions=16,
  n_embd=15,
  n_layer=2,
  n_head=3,
  n_inner=22,
  layer_norm_epsilon=1e-3,
  bos_token_id=1,
  eos_token_id=1,
  **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
)
LLAMA = dict(
  vocab_size=37,
  hidden_size=24,
  num_hidden_layers=2,
  num_attention_heads=6,
  num_key_value_heads=2,
  intermediate_size=22,
  max_position_embeddings=16,
  rms_norm_eps=1e-3,
  rope_parameters={"rope_type": "default", "rope_theta": 77.0},
)
T5 = dict(
  vocab_size=31,
  d_model=12,
  d_kv=5,
  d_ff=20,
  num_layers=2,
  num_decoder_layers=3,
  num_heads=2,
  relative_attention_num_buckets=8,
  relative_attention_max_distance=17,
  dropout_rate=0.0,
  n_positions=16,
)
VIT = dict(
  image_size=15,
  patch_size=5,
  num_channels=2,
  hidden_size=24,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=40,
  layer_norm_eps=1e-4,
)
DINO = {name: value for name, value in VIT.items() if name != "intermediate_size"}
DINO |= dict(mlp_ratio=2, layerscale_value=0.3)
RESNET = dict(num_channels=2, embedding_size=6, hidden_sizes=[6, 9], depths=[2, 1])
MAE = VIT | dict(
  decoder_hidden_size=20,
  decoder_num_hidden_layers=2,
  decoder_num_attention_heads=5,
  decoder_intermediate_size=28,
)
TOWER = VIT | dict(image_size=17, hidden_act="quick_gelu", projection_dim=7)
TEXTS = dict(
  vocab_size=37,
  hidden_size=15,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=22,
  max_position_embeddings=16,
  projection_dim=7,
  pad_token_id=1,
  bos_token_id=5,
  eos_token_id=9,
)
SIGLIP_TEXTS = {name: value for name, value in TEXTS.items() if name != "projection_dim"}
SIGLIP_TEXTS |= dict(projection_size=24, pad_token_id=3)
WAV2VEC = dict(
  hidden_size=15,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=22,
  conv_dim=[4, 6, 5],
  conv_kernel=[10, 3, 2],
  conv_stride=[5, 2, 3],
  num_conv_pos_embeddings=6,
  num_conv_pos_embedding_groups=3,
  layer_norm_eps=1e-3,
  vocab_size=11,
  pad_token_id=3,
  **dict.fromkeys(("hidden_dropout", "activation_dropout", "attention_dropout"), 0.0),
  **dict.fromkeys(("final_dropout", "layerdrop", "feat_proj_dropout"), 0.0),
)
LARGE = WAV2VEC | dict(do_stable_layer_norm=True, feat_extract_norm="layer", conv_bias=True)
AST = dict(
  hidden_size=24,
  num_hidden_layers=2,
  num_attention_heads=3,
  intermediate_size=40,
  layer_norm_eps=1e-4,
  patch_size=5,
  frequency_stride=3,
  time_stride=4,
  max_length=33,
  num_mel_bins=14,
)
WHISPER = dict(
  d_model=12,
  vocab_size=29,
  num_mel_bins=9,
  encoder_layers=2,
  decoder_layers=3,
  encoder_attention_heads=3,
  decoder_attention_heads=2,
  encoder_ffn_dim=17,
  decoder_ffn_dim=19,
  max_source_positions=15,
  max_target_positions=8,
  pad_token_id=1,
  bos_token_id=2,
  eos_token_id=2,
  decoder_start_token_id=3,
  begin_suppress_tokens=None,
)
CODES = dict(
  num_codevectors_per_group=5, num_codevector_groups=3, codevector_dim=9, proj_codevector_dim=8
)
# name -> class, config's class, its arguments. A test has the page of what loads compared with it.
CASES = {
  "bert": ("BertForMaskedLM", "BertConfig", BERT | dict(hidden_act="relu", layer_norm_eps=1e-3)),
  "bert_pooler": ("BertModel", "BertConfig", BERT | dict(type_vocab_size=3)),
  "bert_classes": ("BertForSequenceClassification", "BertConfig", BERT | dict(num_labels=5)),
  "roberta": ("RobertaForMaskedLM", "RobertaConfig", BERT | dict(type_vocab_size=1)),
  "roberta_pooler": ("RobertaModel", "RobertaConfig", BERT | dict(pad_token_id=3)),
  "roberta_classes": (
    "RobertaForSequenceClassification",
    "RobertaConfig",
    BERT | dict(num_labels=3, type_vocab_size=1),
  ),
  "clip": (
    "CLIPModel",
    "CLIPConfig",
    dict(
      vision_config=TOWER,
      text_config=TEXTS | dict(eos_token_id=2),
      projection_dim=7,
      logit_scale_init_value=1.5,
    ),
  ),
  "clip_image": ("CLIPVisionModel", "CLIPVisionConfig", TOWER | dict(hidden_act="gelu")),
  "clip_image_projected": ("CLIPVisionModelWithProjection", "CLIPVisionConfig", TOWER),
  "clip_text": ("CLIPTextModel", "CLIPTextConfig", TEXTS | dict(eos_token_id=2)),
  "clip_text_projected": (
    "CLIPTextModelWithProjection",
    "CLIPTextConfig",
    TEXTS | dict(hidden_act="gelu", layer_norm_eps=1e-3),
  ),
  "distilbert": ("DistilBertForMaskedLM", "DistilBertConfig", DISTIL | dict(activation="relu")),
  "distilbert_bare": (
    "DistilBertModel",
    "DistilBertConfig",
    DISTIL | dict(sinusoidal_pos_embds=True),
  ),
  "distilbert_classes": (
    "DistilBertForSequenceClassification",
    "DistilBertConfig",
    DISTIL | dict(num_labels=5),
  ),
  "dinov2": ("Dinov2Model", "Dinov2Config", DINO | dict(hidden_act="gelu_new")),
  "dinov2_gated": ("Dinov2Model", "Dinov2Config", DINO | dict(use_swiglu_ffn=True)),
  "dinov2_registers": (
    "Dinov2WithRegistersModel",
    "Dinov2WithRegistersConfig",
    DINO | dict(num_register_tokens=2),
  ),
  "electra": ("ElectraForPreTraining", "ElectraConfig", ELECTRA | dict(hidden_act="gelu_new")),
  "electra_generator": ("ElectraForMaskedLM", "ElectraConfig", ELECTRA),
  "electra_bare": ("ElectraModel", "ElectraConfig", ELECTRA),
  "modern_bert": ("ModernBertForMaskedLM", "ModernBertConfig", MODERN),
  "modern_bert_bare": ("ModernBertModel", "ModernBertConfig", MODERN),
  "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT | dict(activation_function="relu")),
  "gpt2_bare": ("GPT2Model", "GPT2Config", GPT),
  "llama": ("LlamaForCausalLM", "LlamaConfig", LLAMA),
  "llama_tied": ("LlamaForCausalLM", "LlamaConfig", LLAMA | dict(tie_word_embeddings=True)),
  "llama_bare": ("LlamaModel", "LlamaConfig", LLAMA),
  "mistral_bare": ("MistralModel", "MistralConfig", LLAMA | dict(sliding_window=None)),
  "qwen2_bare": (
    "Qwen2Model",
    "Qwen2Config",
    LLAMA | dict(use_sliding_window=True, sliding_window=4, max_window_layers=0),
  ),
  "qwen3_bare": ("Qwen3Model", "Qwen3Config", LLAMA | dict(head_dim=6)),
  "mistral": ("MistralForCausalLM", "MistralConfig", LLAMA | dict(sliding_window=5)),
  "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", LLAMA),
  "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", LLAMA | dict(head_dim=6, tie_word_embeddings=True)),
  "resnet": ("ResNetModel", "ResNetConfig", RESNET | dict(layer_type="basic")),
  "resnet_classes": (
    "ResNetForImageClassification",
    "ResNetConfig",
    RESNET | dict(hidden_sizes=[10, 8, 12], depths=[1, 2, 1], num_labels=5),
  ),
  "siglip": (
    "SiglipModel",
    "SiglipConfig",
    dict(vision_config=VIT | dict(image_size=17), text_config=SIGLIP_TEXTS),
  ),
  "siglip_image": ("SiglipVisionModel", "SiglipVisionConfig", VIT | dict(hidden_act="relu")),
  "siglip_image_bare": (
    "SiglipVisionModel",
    "SiglipVisionConfig",
    VIT | dict(vision_use_head=False),
  ),
  "siglip_text": ("SiglipTextModel", "SiglipTextConfig", SIGLIP_TEXTS | dict(projection_size=11)),
  "t5": ("T5ForConditionalGeneration", "T5Config", T5 | dict(feed_forward_proj="relu")),
  "t5_1_1": (
    "T5ForConditionalGeneration",
    "T5Config",
    T5 | dict(feed_forward_proj="gated-gelu", tie_word_embeddings=False),
  ),
  "t5_encoder": ("T5EncoderModel", "T5Config", T5 | dict(feed_forward_proj="gated-silu")),
  "ast": ("ASTModel", "ASTConfig", AST | dict(hidden_act="relu")),
  "ast_classes": ("ASTForAudioClassification", "ASTConfig", AST | dict(num_labels=5)),
  "whisper": ("WhisperForConditionalGeneration", "WhisperConfig", WHISPER),
  "whisper_bare": ("WhisperModel", "WhisperConfig", WHISPER | dict(activation_function="relu")),
  "wav2vec2": ("Wav2Vec2ForPreTraining", "Wav2Vec2Config", WAV2VEC | CODES),
  "wav2vec2_large": (
    "Wav2Vec2Model",
    "Wav2Vec2Config",
    LARGE | dict(num_conv_pos_embeddings=7, hidden_act="relu", mask_time_prob=0.0),
  ),
  "wav2vec2_ctc": ("Wav2Vec2ForCTC", "Wav2Vec2Config", LARGE),
  "hubert": ("HubertModel", "HubertConfig", WAV2VEC | dict(conv_pos_batch_norm=True)),
  "hubert_ctc": ("HubertForCTC", "HubertConfig", LARGE | dict(feat_proj_layer_norm=False)),
  "vit": ("ViTModel", "ViTConfig", VIT | dict(hidden_act="gelu_new", pooler_output_size=24)),
  "vit_classes": ("ViTForImageClassification", "ViTConfig", VIT | dict(num_labels=7)),
  "vit_mae": ("ViTMAEForPreTraining", "ViTMAEConfig", MAE),
}

PREFIXES = {
  "CLIPVisionModel": "vision_model.",
  "CLIPTextModel": "text_model.",
  "SiglipVisionModel": "vision_model.",
  "SiglipTextModel": "text_model.",
}


def made(name):
  """Their model of a case, with random values everywhere, as they would have it in memory."""
  kind, config, arguments = CASES[name]
  torch.manual_seed(0)
  model = randomise(getattr(transformers, kind)(getattr(transformers, config)(**arguments)).eval())
  if kind == "ViTMAEForPreTraining":  # transformers 5 makes the fixed tables of zeros
    for table in (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed):
      table.data = torch.from_numpy(vit.with_cls_row(sincos_table(table.shape[-1], (3, 3))))
  return model


@pytest.mark.parametrize("name", CASES)
def test_read_train_write(name, tmp_path):
  kind, model = CASES[name][0], made(name)
  prefix = PREFIXES.get(kind, "")  # which version 5 leaves out, and reads
  tensors = {
    prefix + n.replace("decoder_encoder.layer", "decoder_layers"): t  # their slip, see convert/vit
    for n, t in saved(model, tmp_path).items()
  }
  how = {"tokenizer": None, "kind": kind, "dtype": "float32", "max_shard_size": 2000}
  write = functools.partial(write_transformers, **how)
  # Norms with given statistics grow fast, and so does the scale of similarities.
  rate = 0.01 if kind.startswith(("ResNet", "CLIP", "Siglip")) else 0.5
  again = read_train_write(model, kind, tensors, tmp_path, write=write, learning_rate=rate)
  assert len(list(again.glob("*.safetensors"))) > 1
