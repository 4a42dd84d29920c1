#!/usr/bin/env python3
"""Squared error of gale's quantiser beside that of llama.cpp, for docs/QUANTIZATION.md.

Usage: compare_quantizers.py GALE LLAMA_QUANTIZE [MODEL]

MODEL is anything that gale opens (in a quantised file the weights are what it decodes to); without it, matrices of
normally distributed numbers are made. Both programs quantise the same F32 file to each type; of each matrix that both
gave that type, the squared error is taken relative to the sum of squares. The weighted error has the weights that
llama.cpp's K types minimise without an importance matrix: w^2 for Q6_K, |w| + the root mean square of 32 for the others.
Needs numpy and gguf (requirements-reference.txt).
"""
import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np

TYPES = {"q8_0": "Q8_0", "q4_0": "Q4_0", "q4_1": "Q4_1", "q5_0": "Q5_0", "q5_1": "Q5_1", "q4_k": "Q4_K_S",
         "q5_k": "Q5_K_S", "q6_k": "Q6_K"}
CONFIG = {"architectures": ["LlamaForCausalLM"], "hidden_size": 1024, "intermediate_size": 2048,
          "num_hidden_layers": 1, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 1024,
          "rms_norm_eps": 1e-5, "max_position_embeddings": 512, "hidden_act": "silu"}


def make_random(folder):
    """A Hugging Face directory of one layer."""
    rng, header, data = np.random.default_rng(1), {}, b""
    dim, hidden = CONFIG["hidden_size"], CONFIG["intermediate_size"]
    layer = "model.layers.0."
    shapes = {"model.embed_tokens": (1024, dim), "model.norm": (dim,), "lm_head": (1024, dim),
              layer + "input_layernorm": (dim,), layer + "post_attention_layernorm": (dim,),
              layer + "mlp.gate_proj": (hidden, dim), layer + "mlp.up_proj": (hidden, dim),
              layer + "mlp.down_proj": (dim, hidden)}
    shapes |= {f"{layer}self_attn.{name}_proj": (dim, dim) for name in "qkvo"}
    for name, shape in shapes.items():
        values = rng.normal(0, 0.02, shape).astype("<f4").tobytes()
        header[name + ".weight"] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def run(*arguments):
    subprocess.run([str(a) for a in arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tensors(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def floats(tensor):
    return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)


def weights(x, type):
    if type == "q6_k":
        return x * x
    blocks = x.reshape(-1, 32)
    return (np.sqrt((blocks**2).mean(1, keepdims=True)) + np.abs(blocks)).reshape(x.shape)


def compare(type, source, ours, theirs):
    """Relative squared errors of gale and llama.cpp, the ratio of the weighted ones, and how many matrices."""
    errors, weighted, total, n = np.zeros(2), np.zeros(2), 0.0, 0
    for name, a in ours.items():
        b = theirs[name]
        if a.tensor_type.name.lower() != type or b.tensor_type != a.tensor_type:
            continue
        x = floats(source[name])
        w = weights(x, type)
        for i, tensor in enumerate((a, b)):
            square = (floats(tensor) - x) ** 2
            errors[i] += square.sum()
            weighted[i] += (w * square).sum()
        total += (x * x).sum()
        n += 1
    return (*(errors / total), weighted[0] / weighted[1], n)


def main():
    gale, llama = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        model = sys.argv[3] if len(sys.argv) > 3 else make_random(folder / "random")
        source = folder / "f32.gguf"
        run(gale, "quantize", model, source, "--type", "f32")
        print("| type | matrices | gale | llama.cpp | ratio | weighted ratio |\n|---|---|---|---|---|---|")
        for type, name in TYPES.items():
            ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
            run(gale, "quantize", source, ours, "--type", type)
            run(llama, "--pure", source, theirs, name)
            a, b, ratio, n = compare(type, tensors(source), tensors(ours), tensors(theirs))
            print(f"| {type} | {n} | {a:.4g} | {b:.4g} | {a / b:.3f} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
