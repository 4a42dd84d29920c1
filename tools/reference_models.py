"""Tiny random models and the three ways to write them: Hugging Face and Mistral directories, GGUF files.

Weights are named as Hugging Face names them and laid out for its RoPE pairing (i, i + head_dim / 2); the
writers of the other two formats reorder the rows of q and k to pair (2i, 2i + 1).
"""

import json
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
import torch
from make_quant_cases import HALVES
from safetensors.torch import save_file


@dataclass(frozen=True)
class Shape:
    dim: int = 32
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 8
    hidden_dim: int = 48
    vocab_size: int = 64
    norm_eps: float = 1e-5
    rope_theta: float = 1e4
    tied: bool = False
    context: int = 1024


# Types that the gguf package decodes only; and of those with a minimum the mean level, by which d is multiplied to give
# dmin.
RANDOM_TYPES = ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
MEAN_LEVELS = {"Q2_K": 1.5, "Q4_K": 7.5, "Q5_K": 15.5}

TORCH_TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def random_weights(shape, seed):
    """Weights by name, float32, a function of shape and seed alone.

    Gains are chosen so that scores and logits have standard deviations of 1.5 to 3, for a flat distribution
    would hide errors; each half of a layer adds about as much as the embedding holds; norms differ from 1,
    so that leaving one out shows.
    """
    rng = np.random.default_rng(seed)

    def matrix(rows, columns, gain):
        return (rng.standard_normal((rows, columns)) * gain / np.sqrt(columns)).astype(np.float32)

    def norm():
        return (1 + 0.2 * rng.standard_normal(shape.dim)).astype(np.float32)

    q_rows, kv_rows = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    embedding = 2.5 / np.sqrt(shape.dim) if shape.tied else 1.0
    weights = {"model.embed_tokens.weight": matrix(shape.vocab_size, shape.dim, embedding * np.sqrt(shape.dim))}
    for n in range(shape.n_layers):
        layer = f"model.layers.{n}."
        weights |= {
            layer + "input_layernorm.weight": norm(),
            layer + "self_attn.q_proj.weight": matrix(q_rows, shape.dim, 1.3),
            layer + "self_attn.k_proj.weight": matrix(kv_rows, shape.dim, 1.3),
            layer + "self_attn.v_proj.weight": matrix(kv_rows, shape.dim, 1.0),
            layer + "self_attn.o_proj.weight": matrix(shape.dim, q_rows, embedding),
            layer + "post_attention_layernorm.weight": norm(),
            layer + "mlp.gate_proj.weight": matrix(shape.hidden_dim, shape.dim, 1.5),
            layer + "mlp.up_proj.weight": matrix(shape.hidden_dim, shape.dim, 1.0),
            layer + "mlp.down_proj.weight": matrix(shape.dim, shape.hidden_dim, embedding),
        }
    weights["model.norm.weight"] = norm()
    if not shape.tied:
        weights["lm_head.weight"] = matrix(shape.vocab_size, shape.dim, 2.5)
    return weights


def pair_neighbours(rows, head_dim):
    """Rows of q or k from the pairing (i, i + head_dim / 2) to (2i, 2i + 1), head by head."""
    order = np.arange(head_dim).reshape(2, head_dim // 2).T.reshape(-1)
    heads = rows.reshape(-1, head_dim, rows.shape[1])
    return np.ascontiguousarray(heads[:, order].reshape(rows.shape))


def pair_halves(rows, head_dim):
    """The inverse of pair_neighbours."""
    order = np.arange(head_dim).reshape(head_dim // 2, 2).T.reshape(-1)
    heads = rows.reshape(-1, head_dim, rows.shape[1])
    return np.ascontiguousarray(heads[:, order].reshape(rows.shape))


def is_rotated(name):
    return "q_proj" in name or "k_proj" in name


# ---- Hugging Face ----


ARCHITECTURES = {
    "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "ministral": "MinistralForCausalLM",
    "ministral3": "Ministral3ForCausalLM", "mixtral": "MixtralForCausalLM", "gemma": "GemmaForCausalLM",
    "gemma2": "Gemma2ForCausalLM", "gemma3_text": "Gemma3ForCausalLM",
}  # fmt: skip


def hf_config(shape, family, **changes):
    """config.json as the field writes it. A change to None writes null, a change to ... leaves the key out."""
    config = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "hidden_size": shape.dim,
        "intermediate_size": shape.hidden_dim,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_kv_heads,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": shape.tied,
        "vocab_size": shape.vocab_size,
        "bos_token_id": 1,
        "eos_token_id": 2,
    } | changes
    return {key: value for key, value in config.items() if value is not ...}


def write_hf(directory, config, weights, type_name="F32", shards=1):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    tensors = {name: torch.from_numpy(w).to(TORCH_TYPES[type_name]) for name, w in weights.items()}
    if shards == 1:
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
        return
    # Neighbouring names go to different shards, so that a layer is spread over all of them.
    files = [f"model-{i + 1:05}-of-{shards:05}.safetensors" for i in range(shards)]
    weight_map = {name: files[i % shards] for i, name in enumerate(tensors)}
    for file in files:
        part = {name: t for name, t in tensors.items() if weight_map[name] == file}
        save_file(part, directory / file, metadata={"format": "pt"})
    total = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index, indent=0) + "\n")


# ---- Mistral ----

MISTRAL_PARTS = {
    "input_layernorm": "attention_norm", "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2",
    "model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output",
}  # fmt: skip
GGUF_PARTS = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
}  # fmt: skip


LAYER_PARTS = [part for part in GGUF_PARTS if not part.startswith(("model.", "lm_head"))]


def renamed(name, parts, layer_prefix):
    stem = name.removesuffix(".weight")
    if not stem.startswith("model.layers."):
        return parts[stem] + ".weight"
    _, _, n, part = stem.split(".", 3)
    return f"{layer_prefix}.{n}.{parts[part]}.weight"


def weight_names(shape):
    layers = [f"model.layers.{n}.{part}.weight" for n in range(shape.n_layers) for part in LAYER_PARTS]
    return ["model.embed_tokens.weight", *layers, "model.norm.weight"] + ([] if shape.tied else ["lm_head.weight"])


def write_mistral(directory, shape, weights, type_name="F32", **changes):
    directory.mkdir(parents=True, exist_ok=True)
    params = {
        "dim": shape.dim, "n_layers": shape.n_layers, "head_dim": shape.head_dim, "hidden_dim": shape.hidden_dim,
        "n_heads": shape.n_heads, "n_kv_heads": shape.n_kv_heads, "norm_eps": shape.norm_eps,
        "vocab_size": shape.vocab_size, "rope_theta": shape.rope_theta,
    } | changes  # fmt: skip
    params = {key: value for key, value in params.items() if value is not ...}
    (directory / "params.json").write_text(json.dumps(params, indent=1) + "\n")
    tensors = {}
    for name, w in weights.items():
        rows = pair_neighbours(w, shape.head_dim) if is_rotated(name) else w
        tensors[renamed(name, MISTRAL_PARTS, "layers")] = torch.from_numpy(rows).to(TORCH_TYPES[type_name])
    save_file(tensors, directory / "consolidated.safetensors")


# ---- GGUF ----


def stored_type(name, w, type_name, types):
    """The type of a tensor: that of the first key of types that is part of its name, else type_name."""
    if w.ndim == 1:
        return "F32"
    return next((kind for part, kind in types.items() if part in name), type_name)


def random_blocks(kind, w, seed):
    """Valid blocks of a type that the gguf package can't quantise to, in place of w: random levels and factors,
    scales within half of what gives w's deviation."""
    rng = np.random.default_rng(seed)
    size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (w.size // size, block_bytes), dtype=np.uint8)

    def put_halves(scales):
        for offset, ratio in zip(HALVES[kind.name], (1, MEAN_LEVELS.get(kind.name))):
            blocks[:, offset : offset + 2] = (scales * ratio).astype("<f2").reshape(-1, 1).view(np.uint8)

    put_halves(np.ones(len(blocks)))
    deviation = gguf.quants.dequantize(blocks, kind).std()
    put_halves(rng.uniform(0.5, 1.5, len(blocks)) * (w.std() / deviation))
    return blocks.reshape(len(w), -1)


def open_gguf(path, shape, architecture="llama", rotary=True):
    """A writer with the keys that every file has; rotary: also those that Llama's converter writes and Gemma's not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.n_layers)
    writer.add_feed_forward_length(shape.hidden_dim)
    writer.add_head_count(shape.n_heads)
    writer.add_head_count_kv(shape.n_kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    if rotary:
        writer.add_rope_dimension_count(shape.head_dim)
        writer.add_rope_freq_base(shape.rope_theta)
    writer.add_layer_norm_rms_eps(shape.norm_eps)
    if rotary:
        writer.add_vocab_size(shape.vocab_size)
    return writer


def close_gguf(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantized(w, kind, name=""):
    """Storage of w, and the weights that it holds. name seeds the blocks of types that can't be quantised to."""
    is_random = kind.name in RANDOM_TYPES
    data = random_blocks(kind, w, [13, *name.encode()]) if is_random else gguf.quants.quantize(w, kind)
    return data, np.asarray(gguf.quants.dequantize(data, kind), dtype=np.float32).reshape(w.shape)


def write_gguf(path, shape, weights, type_name, window=0, types=None):
    """Writes the file and returns the weights that it holds: those given, quantised and dequantised again."""
    writer = open_gguf(path, shape)
    if window:
        writer.add_sliding_window(window)
    held = {}
    for name, w in weights.items():
        kind = gguf.GGMLQuantizationType[stored_type(name, w, type_name, types or {})]
        data, held[name] = quantized(w, kind, name)
        # A row is quantised by itself, so rows may change places afterwards.
        rows = pair_neighbours(data, shape.head_dim) if is_rotated(name) else data
        writer.add_tensor(renamed(name, GGUF_PARTS, "blk"), rows, raw_dtype=kind)
    close_gguf(writer)
    return held


def hf_from_gguf(path, directory):
    """Writes a GGUF file of arch llama as a Hugging Face directory in float32, its weights dequantised."""
    reader = gguf.GGUFReader(path)

    def key(name, default=None):
        field = reader.get_field("llama." + name)
        return default if field is None else field.contents()

    tensors = {t.name: t for t in reader.tensors}
    n_heads, dim = key("attention.head_count"), key("embedding_length")
    shape = Shape(
        dim=dim, n_layers=key("block_count"), n_heads=n_heads, n_kv_heads=key("attention.head_count_kv", n_heads),
        head_dim=key("attention.key_length", dim // n_heads), hidden_dim=key("feed_forward_length"),
        vocab_size=int(tensors["token_embd.weight"].shape[1]), norm_eps=key("attention.layer_norm_rms_epsilon"),
        rope_theta=key("rope.freq_base", 1e4), tied="output.weight" not in tensors, context=key("context_length"),
    )  # fmt: skip
    weights = {}
    for name in weight_names(shape):
        t = tensors[renamed(name, GGUF_PARTS, "blk")]
        w = np.array(gguf.quants.dequantize(t.data, t.tensor_type), dtype=np.float32)
        weights[name] = pair_halves(w, shape.head_dim) if is_rotated(name) else w
    write_hf(directory, hf_config(shape, "llama"), weights)
