"""What the families add to reference_models: experts, Gemma's norms, and how each kind of file lays them out.

As there, weights are named and laid out as Hugging Face has them; Gemma's norm weights are offsets from 1.
"""

import re

import gguf
import numpy as np
import torch
from safetensors.torch import save_file

import reference_models as models
from reference_models import GGUF_PARTS, MISTRAL_PARTS, TORCH_TYPES

EXPERT = re.compile(r"model\.layers\.(\d+)\.block_sparse_moe\.experts\.(\d+)\.w([123])\.weight")
GEMMA_PARTS = GGUF_PARTS | {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
}  # fmt: skip
EXPERT_PARTS = {"1": "ffn_gate", "2": "ffn_down", "3": "ffn_up"}


# ---- Weights ----


def as_stored(weights, type_name):
    """The weights that remain after storing them."""
    return {name: torch.from_numpy(w).to(TORCH_TYPES[type_name]).float().numpy() for name, w in weights.items()}


def dense_weights(shape, seed, type_name="BF16"):
    return as_stored(models.random_weights(shape, seed), type_name)


def mixtral_weights(shape, n_experts, seed, type_name="BF16"):
    """Experts are as large as a dense layer's matrices; the router tells them apart clearly."""
    rng = np.random.default_rng([*seed, 1])
    weights = {}
    for name, w in models.random_weights(shape, seed).items():
        if ".mlp." not in name:
            weights[name] = w
        elif "gate_proj" in name:
            block = name.split("mlp.")[0] + "block_sparse_moe."
            weights[block + "gate.weight"] = _matrix(rng, n_experts, shape.dim, 2.0)
            for e in range(n_experts):
                expert = f"{block}experts.{e}."
                weights[expert + "w1.weight"] = _matrix(rng, shape.hidden_dim, shape.dim, 1.5)
                weights[expert + "w2.weight"] = _matrix(rng, shape.dim, shape.hidden_dim, 1.0)
                weights[expert + "w3.weight"] = _matrix(rng, shape.hidden_dim, shape.dim, 1.0)
    return as_stored(weights, type_name)


def gemma_weights(shape, generation, seed, type_name="BF16"):
    """shape.tied is a must. What a half adds is as large as the embedding after its scaling by sqrt(dim)."""
    rng = np.random.default_rng([*seed, 2])
    weights = {}
    for name, w in models.random_weights(shape, seed).items():
        if "o_proj" in name or "down_proj" in name:
            w = w * np.float32(np.sqrt(shape.dim))
        elif "norm" in name:
            w = w - 1
        if generation > 1 and "post_attention_layernorm" in name:
            layer = name.split("post_")[0]
            for norm in "post_attention", "post_feedforward":
                weights[f"{layer}{norm}_layernorm.weight"] = _norm(rng, shape.dim, 0.8)
            if generation > 2:
                for head in "qk":
                    weights[f"{layer}self_attn.{head}_norm.weight"] = _norm(rng, shape.head_dim, 0.3)
            name = layer + "pre_feedforward_layernorm.weight"
        weights[name] = w
    return as_stored(weights, type_name)


def _matrix(rng, rows, columns, gain):
    return (rng.standard_normal((rows, columns)) * gain / np.sqrt(columns)).astype(np.float32)


def _norm(rng, n, offset):
    return (offset + 0.2 * rng.standard_normal(n)).astype(np.float32)


def fuse_experts(weights):
    """As transformers holds a mixture of experts in memory, and newer versions may save it."""
    fused = {}
    for name, w in weights.items():
        found = EXPERT.fullmatch(name)
        if not found:
            fused[name.replace("block_sparse_moe", "mlp")] = w
            continue
        layer, _, part = found.groups()
        stacked = f"model.layers.{layer}.mlp.experts." + ("down_proj" if part == "2" else "gate_up_proj")
        fused.setdefault(stacked, []).append(w)
    # Of gate and up, sorted by name, an expert's two matrices follow each other: w1, w3.
    for name, parts in fused.items():
        if name.endswith("gate_up_proj"):
            fused[name] = np.stack([np.concatenate(parts[e : e + 2]) for e in range(0, len(parts), 2)])
        elif name.endswith("experts.down_proj"):
            fused[name] = np.stack(parts)
    return fused


# ---- Files ----


def write_hf_multimodal(directory, config, text, weights, naming, type_name="BF16"):
    """A checkpoint with a vision part, of which only a token is there.

    naming "old": language_model.model.*, language_model.lm_head; "new": model.language_model.*, lm_head.
    """

    def rename(name):
        if naming == "old":
            return "language_model." + name
        return name.replace("model.", "model.language_model.", 1)

    before = "" if naming == "old" else "model."
    tensors = {rename(name): w for name, w in weights.items()}
    tensors[before + "vision_tower.patch_conv.weight"] = np.ones((2, 3, 2, 2), dtype=np.float32)
    tensors[before + "multi_modal_projector.linear_1.weight"] = np.ones((4, 2), dtype=np.float32)
    models.write_hf(directory, config | {"text_config": text, "vision_config": {"hidden_size": 2}}, tensors, type_name)


def write_mistral(directory, shape, weights, type_name="BF16", vision=False, **params):
    """models.write_mistral for weights that may have experts or a vision part."""
    plain = {name: w for name, w in weights.items() if "block_sparse_moe" not in name}
    models.write_mistral(directory, shape, plain, type_name, **params)
    if len(plain) == len(weights) and not vision:
        return
    tensors = {}
    for name, w in weights.items():
        if "block_sparse_moe" in name:
            native = name.removeprefix("model.").replace("block_sparse_moe", "feed_forward")
        else:
            native = models.renamed(name, MISTRAL_PARTS, "layers")
        rows = models.pair_neighbours(w, shape.head_dim) if models.is_rotated(name) else w
        tensors[native] = torch.from_numpy(rows).to(TORCH_TYPES[type_name])
    if vision:
        tensors["vision_encoder.patch_conv.weight"] = torch.ones(2, 3, 2, 2, dtype=TORCH_TYPES[type_name])
        tensors["vision_language_adapter.w_in.weight"] = torch.ones(4, 2, dtype=TORCH_TYPES[type_name])
    save_file(tensors, directory / "consolidated.safetensors")


def write_gguf(path, shape, weights, keys, architecture="llama", type_name="BF16", merged=True, divisors=None):
    """A file of any family, with vectors and routers in F32; returns the weights that it holds.

    keys: GGUFWriter's add_* functions without that prefix and their arguments; merged: one tensor for all experts;
    divisors: of the rotary frequencies (Llama 3.1).
    """
    gemma = architecture.startswith("gemma")
    parts = GGUF_PARTS | {"block_sparse_moe.gate": "ffn_gate_inp"}
    if gemma:
        parts = GEMMA_PARTS if architecture != "gemma" else GGUF_PARTS
    writer = models.open_gguf(path, shape, architecture, rotary=not gemma)
    for key, value in keys.items():
        getattr(writer, "add_" + key)(value)
    held, stacks = {}, {}
    for name, w in weights.items():
        plain = w.ndim == 1 or "block_sparse_moe.gate" in name
        kind = gguf.GGMLQuantizationType["F32" if plain else type_name]
        data, held[name] = models.quantized(w, kind)
        found = EXPERT.fullmatch(name)
        if found:
            layer, expert, part = found.groups()
            stem = f"blk.{layer}.{EXPERT_PARTS[part]}"
            if merged:
                stacks.setdefault(f"{stem}_exps.weight", []).append((data, kind))
            else:
                writer.add_tensor(f"{stem}.{expert}.weight", data, raw_dtype=kind)
            continue
        if gemma and "norm" in name:
            data = data + np.float32(1)
        if models.is_rotated(name) and w.ndim == 2 and not gemma:
            data = models.pair_neighbours(data, shape.head_dim)
        writer.add_tensor(models.renamed(name, parts, "blk"), data, raw_dtype=kind)
    for name, experts in stacks.items():
        writer.add_tensor(name, np.stack([data for data, _ in experts]), raw_dtype=experts[0][1])
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", np.asarray(divisors, dtype=np.float32))
    models.close_gguf(writer)
    return held
