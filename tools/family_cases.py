"""The cases of the families: each model once as the reference sees it, and every kind of file that it comes in."""

import tempfile
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np

import reference_families as families
import reference_models as models
from reference_models import Shape

SMALL = Shape(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=8, hidden_dim=20, vocab_size=32)
WIDE = replace(SMALL, n_heads=2, n_kv_heads=1, head_dim=16)  # room for frequencies of every kind
EXPERTS = replace(SMALL, hidden_dim=12)
BLOCKS = replace(SMALL, dim=32, hidden_dim=32, rope_theta=1e6)  # of 32 values: for quantised types
GEMMA = replace(SMALL, dim=20, hidden_dim=12, norm_eps=1e-6, tied=True)
FOURTH = tuple(range(0, 160, 4)) + (159,)
BETA = 0.45  # as a float it gives other query scales than as a double
YARN = gguf.RopeScalingType.YARN
LINEAR = gguf.RopeScalingType.LINEAR


class Family:
    """A model: its weights, its reference logits, and the files that hold it."""

    def __init__(self, maker, name, weights, config, n_ids=40, rows=()):
        self.maker, self.name, self.weights, self.config = maker, name, weights, config
        vocab_size = weights["model.embed_tokens.weight"].shape[0]
        with tempfile.TemporaryDirectory() as folder:
            models.write_hf(Path(folder), config, weights, "F32")
            ids = maker.ids_of(name, n_ids, vocab_size)
            _, self.bounds = maker.keep_reference(name, folder, ids, rows)

    def add(self, name, file=""):
        """A case; the path to write it to."""
        path = f"{name}/{file}" if file else name
        self.maker.line(name, path, self.name, "float", self.bounds)
        return self.maker.home / path

    def hf(self, name=None, weights=None, type_name="BF16", shards=1, **changes):
        config = {key: value for key, value in (self.config | changes).items() if value is not ...}
        models.write_hf(self.add(name or self.name), config, weights or self.weights, type_name, shards)

    def multimodal(self, name, config, text, naming):
        families.write_hf_multimodal(self.add(name), config, text, self.weights, naming)

    def native(self, name, shape, **params):
        families.write_mistral(self.add(name), shape, self.weights, **params)

    def gguf(self, name, shape, keys=None, **options):
        families.write_gguf(self.add(name, "model.gguf"), shape, self.weights, keys or {}, **options)


# ---- Mixtral ----


def faint_embedding(weights):
    """So small that norm_eps counts."""
    weights["model.embed_tokens.weight"] *= np.float32(1 / 256)
    return weights


def mixtral(maker, name, salt, n_experts, n_used, shape=EXPERTS, **changes):
    """salt: a part of the seed for which no token is so near a tie between two experts that a cache's rounding
    decides it, for the bounds on what the cache may cost would then hide errors."""
    weights = families.mixtral_weights(shape, n_experts, [*maker.seed_of(name), salt])
    if "rms_norm_eps" in changes:
        faint_embedding(weights)
    config = models.hf_config(
        shape, "mixtral", num_local_experts=n_experts, num_experts_per_tok=n_used, sliding_window=None
    )
    config = {key: value for key, value in (config | changes).items() if value is not ...}
    return Family(maker, name, weights, config)


def mixtral_cases(maker):
    million = replace(EXPERTS, hidden_dim=16, rope_theta=1e6)
    f = mixtral(maker, "mixtral-4x2", 8, 4, 2, million)
    keys = {"expert_count": 4, "expert_used_count": 2}
    f.hf()
    f.hf("mixtral-4x2-fused", families.fuse_experts(f.weights))
    f.native("mixtral-4x2-native", million, moe={"num_experts": 4, "num_experts_per_tok": 2})
    f.gguf("mixtral-4x2-gguf", million, keys)
    f.gguf("mixtral-4x2-gguf-old", million, keys, merged=False)

    f = mixtral(maker, "mixtral-8x2-window", 6, 8, 2, sliding_window=9)
    f.hf(shards=3)
    f.native("mixtral-8x2-window-native", EXPERTS, sliding_window=9, moe={"num_experts": 8, "num_experts_per_tok": 2})
    f.gguf("mixtral-8x2-window-gguf", EXPERTS, {"expert_count": 8, "expert_used_count": 2, "sliding_window": 9})

    f = mixtral(maker, "mixtral-4x1", 0, 4, 1)
    f.hf(weights=families.fuse_experts(f.weights))
    mixtral(maker, "mixtral-4x3", 6, 4, 3, replace(EXPERTS, head_dim=4), head_dim=None).hf()
    defaults = replace(EXPERTS, dim=24, n_heads=16, n_kv_heads=8, head_dim=4, hidden_dim=8, rope_theta=1e6)
    silent = dict.fromkeys(["num_local_experts", "num_experts_per_tok", "num_key_value_heads", "rms_norm_eps",
                            "rope_theta", "sliding_window"], ...)  # fmt: skip
    mixtral(maker, "mixtral-defaults", 4, 8, 2, defaults, **silent).hf()

    for type_name in "Q8_0", "Q4_0":
        name = "mixtral-" + type_name.lower()
        weights = families.mixtral_weights(BLOCKS, 4, maker.seed_of("mixtral-quantised"))
        held = families.write_gguf(maker.home / name / "model.gguf", BLOCKS, weights, keys, type_name=type_name)
        config = models.hf_config(BLOCKS, "mixtral", num_local_experts=4, sliding_window=None)
        f = Family(maker, name, held, config)
        maker.line(name, name + "/model.gguf", name, "kl", f.bounds)


# ---- Scaled rotary frequencies ----


def llama3_divisors(shape, factor, low, high, original):
    frequencies = shape.rope_theta ** -(np.arange(0, shape.head_dim, 2) / shape.head_dim)
    smooth = np.clip((original * frequencies / (2 * np.pi) - low) / (high - low), 0, 1)
    return 1 / ((1 - smooth) / factor + smooth)


def llama_cases(maker):
    early = replace(SMALL, n_kv_heads=4, head_dim=4, norm_eps=1e-6)
    weights = families.dense_weights(early, maker.seed_of("llama2-early"))
    silent = dict.fromkeys(["rope_theta", "num_key_value_heads", "head_dim", "tie_word_embeddings"], ...)
    f = Family(maker, "llama2-early", weights, models.hf_config(early, "llama", **silent))
    tables = {f"model.layers.{n}.self_attn.rotary_emb.inv_freq": np.ones(2, dtype=np.float32) for n in range(2)}
    f.hf(weights=f.weights | tables)

    scaling = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    shape = replace(WIDE, rope_theta=5e5, context=512)
    weights = families.dense_weights(shape, maker.seed_of("llama3-scaling"))
    config = models.hf_config(shape, "llama", rope_scaling=scaling | {"rope_type": "llama3"})
    f = Family(maker, "llama3-scaling", weights, config, 160, FOURTH)
    f.hf()
    f.hf("llama3-scaling-parameters", rope_theta=..., rope_scaling=...,
         rope_parameters=scaling | {"rope_type": "llama3", "rope_theta": 5e5})  # fmt: skip
    f.gguf("llama3-scaling-gguf", shape, divisors=llama3_divisors(shape, 8.0, 1.0, 4.0, 64))

    tied = replace(shape, head_dim=12, tied=True)
    weights = families.dense_weights(tied, maker.seed_of("llama3-tied"))
    config = models.hf_config(tied, "llama", rope_scaling=scaling | {"rope_type": "llama3", "factor": 32.0})
    f = Family(maker, "llama3-tied", weights, config, 80)
    f.hf()
    f.gguf("llama3-tied-gguf", tied, divisors=llama3_divisors(tied, 32.0, 1.0, 4.0, 64))

    weights = families.dense_weights(WIDE, maker.seed_of("llama-linear"))
    config = models.hf_config(WIDE, "llama", rope_scaling={"type": "linear", "factor": 4.0})
    f = Family(maker, "llama-linear", weights, config, 80)
    f.hf()
    f.gguf("llama-linear-gguf", WIDE, {"rope_scaling_type": LINEAR, "rope_scaling_factor": 4.0})


def yarn_cases(maker):
    shape = replace(WIDE, context=512)
    yarn = {"factor": 4.0, "original_max_position_embeddings": 32}
    ramp = {"factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 4.0, "beta_slow": 0.5}
    keys = {"rope_scaling_type": YARN, "rope_scaling_factor": 4.0, "rope_scaling_orig_ctx_len": 32}

    def family(name, at, **scaling):
        weights = families.dense_weights(shape, maker.seed_of(name))
        config = models.hf_config(shape, "mistral", sliding_window=None, **{at: scaling})
        return Family(maker, name, weights, config, 80, tuple(range(0, 80, 2)))

    f = family("mistral-yarn", "rope_scaling", type="yarn", **yarn)
    f.hf()
    native = yarn | {"alpha": 1, "beta": 32, "apply_scale": True}
    f.native("mistral-yarn-native", shape, yarn=native)
    f.gguf("mistral-yarn-gguf", shape, keys)
    f = family("mistral-yarn-mscale", "rope_parameters", rope_type="yarn", rope_theta=1e4, mscale=2.5,
               mscale_all_dim=0.5, **ramp)  # fmt: skip
    f.hf(rope_theta=...)
    family("mistral-yarn-one-mscale", "rope_scaling", rope_type="yarn", mscale=3.0, **yarn).hf()
    f = family("mistral-yarn-factor", "rope_scaling", rope_type="yarn", attention_factor=0.75, truncate=False, **ramp)
    f.hf()
    f = family("mistral-yarn-given", "rope_scaling", rope_type="yarn", attention_factor=1.25, **yarn)
    f.hf()
    f.gguf("mistral-yarn-given-gguf", shape, keys | {"rope_scaling_yarn_attn_factor": 1.25})


# ---- Mistral's later dense models ----


def inner(config):
    """text_config of a multimodal checkpoint."""
    return {key: value for key, value in config.items() if key not in ("architectures", "tie_word_embeddings")}


def mistral_cases(maker):
    nemo = replace(SMALL, dim=20, head_dim=16, rope_theta=1e6)
    weights = families.dense_weights(nemo, maker.seed_of("nemo"))
    f = Family(maker, "nemo", weights, models.hf_config(nemo, "mistral", sliding_window=None))
    f.hf()
    f.native("nemo-native", nemo)
    f.gguf("nemo-gguf", nemo)

    shape = replace(SMALL, n_layers=4, rope_theta=1e8)
    kinds = ["full_attention"] + ["sliding_attention"] * 3
    weights = families.dense_weights(shape, maker.seed_of("ministral-8b"))
    config = models.hf_config(shape, "ministral", sliding_window=7, layer_types=kinds)
    f = Family(maker, "ministral-8b", weights, config)
    f.hf()
    f.native("ministral-8b-native", shape, sliding_window=[None, 7, 7, 7])
    f.native("ministral-8b-native-own-key", shape, _sliding_window=[None, 7, 7, 7])

    small3 = replace(SMALL, head_dim=16, rope_theta=1e9)
    weights = families.dense_weights(small3, maker.seed_of("small-3.1"))
    config = models.hf_config(small3, "mistral", sliding_window=None)
    f = Family(maker, "small-3.1", weights, config)
    outer = {"architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3"}
    f.multimodal("small-3.1", outer, inner(config), "old")
    f.native("small-3.1-native", small3, vision=True, vision_encoder={"hidden_size": 2})


def ministral3_cases(maker):
    shape = replace(WIDE, context=512, rope_theta=1e6)
    rope = {"rope_type": "yarn", "type": "yarn", "rope_theta": 1e6, "factor": 16.0, "mscale": 1.0,
            "mscale_all_dim": 1.0, "original_max_position_embeddings": 8, "beta_fast": 32.0, "beta_slow": 1.0,
            "llama_4_scaling_beta": BETA}  # fmt: skip
    yarn = {"original_max_position_embeddings": 8, "factor": 16, "apply_scale": False, "beta": 32, "alpha": 1}
    growth = {"original_max_position_embeddings": 8, "beta": BETA}
    keys = {"rope_scaling_type": YARN, "rope_scaling_factor": 16.0, "rope_scaling_orig_ctx_len": 8,
            "rope_scaling_yarn_beta_fast": 32.0, "rope_scaling_yarn_beta_slow": 1.0, "rope_scaling_yarn_log_mul": 1.0,
            "attn_temperature_scale": BETA}  # fmt: skip
    outer = {"architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3"}
    for name, s in ("ministral3", shape), ("ministral3-tied", replace(shape, tied=True)):
        weights = families.dense_weights(s, maker.seed_of(name))
        config = models.hf_config(s, "ministral3", rope_parameters=rope)
        del config["rope_theta"]
        if not s.tied:
            faint_embedding(weights)
        f = Family(maker, name, weights, config, 60, tuple(range(0, 60, 2)))
        text = {key: value for key, value in inner(config).items() if key != "rms_norm_eps"}
        if s.tied:
            f.multimodal(name, outer | {"tie_word_embeddings": True}, text | {"tie_word_embeddings": False}, "new")
        else:
            f.hf(sliding_window=None)
            f.multimodal("ministral3-multimodal", outer | {"tie_word_embeddings": False}, text, "old")
        f.native(name + "-native", s, yarn=yarn, llama_4_scaling=growth, tied_embeddings=s.tied)
        f.gguf(name + "-gguf", s, keys, architecture="mistral3")


# ---- Gemma ----


def gemma_config(shape, family, **changes):
    plain = {"hidden_act": ..., "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": ..., "bos_token_id": 2,
             "eos_token_id": 1, "pad_token_id": 0}  # fmt: skip
    return models.hf_config(shape, family, **(plain | changes))


def gemma1_cases(maker):
    for name, changes in (
        ("gemma", {"hidden_act": "gelu", "hidden_activation": ...}),
        ("gemma-tanh", {"hidden_act": "gelu", "hidden_activation": "gelu_pytorch_tanh"}),
    ):
        shape = replace(GEMMA, n_kv_heads=1 if name == "gemma" else 4)
        weights = families.gemma_weights(shape, 1, maker.seed_of(name))
        config = gemma_config(shape, "gemma", **changes)
        f = Family(maker, name, weights, config)
        f.hf()
        f.gguf(name + "-gguf", shape, architecture="gemma")


def gemma2_cases(maker):
    shape = replace(GEMMA, n_layers=3)

    def family(name, generation_shape=shape, **changes):
        weights = families.gemma_weights(generation_shape, 2, maker.seed_of(name))
        return Family(maker, name, weights, gemma_config(generation_shape, "gemma2", sliding_window=6, **changes))

    family("gemma2", query_pre_attn_scalar=12, attn_logit_softcapping=1.5, final_logit_softcapping=3.0).hf()
    two = replace(shape, n_layers=2)
    f = family("gemma2-caps", two, query_pre_attn_scalar=8, attn_logit_softcapping=2.0, final_logit_softcapping=4.0)
    f.hf()
    f.gguf("gemma2-caps-gguf", two, {"attn_logit_softcapping": 2.0, "final_logit_softcapping": 4.0,
                                     "sliding_window": 6}, architecture="gemma2")  # fmt: skip
    family("gemma2-defaults", two).hf()
    kinds = ["full_attention", "sliding_attention"]
    family("gemma2-uncapped", two, attn_logit_softcapping=None, final_logit_softcapping=None, layer_types=kinds).hf()


def gemma3_cases(maker):
    shape = replace(GEMMA, n_layers=7, n_heads=2, n_kv_heads=1, head_dim=16, hidden_dim=8)
    weights = families.gemma_weights(shape, 3, maker.seed_of("gemma3"))
    config = gemma_config(shape, "gemma3_text", query_pre_attn_scalar=16, sliding_window=6, rope_theta=1e6,
                          rope_local_base_freq=1e4, rope_scaling={"rope_type": "linear", "factor": 8.0})  # fmt: skip
    f = Family(maker, "gemma3", weights, config)
    f.hf()
    full = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    local = {"rope_type": "default", "rope_theta": 1e4}
    f.hf("gemma3-parameters", rope_theta=..., rope_local_base_freq=..., rope_scaling=...,
         layer_types=["sliding_attention"] * 5 + ["full_attention", "sliding_attention"],
         rope_parameters={"full_attention": full, "sliding_attention": local})  # fmt: skip
    f.hf("gemma3-defaults", rope_theta=..., rope_local_base_freq=...)
    keys = {"rope_freq_base": 1e6, "rope_scaling_type": LINEAR, "rope_scaling_factor": 8.0, "sliding_window": 6}
    f.gguf("gemma3-gguf", shape, keys, architecture="gemma3")

    shape = replace(GEMMA, n_layers=3)
    weights = families.gemma_weights(shape, 3, maker.seed_of("gemma3-pattern"))
    config = gemma_config(shape, "gemma3_text", query_pre_attn_scalar=20, sliding_window=5, sliding_window_pattern=2,
                          rope_theta=2e5, rope_local_base_freq=5e3, final_logit_softcapping=4.0)  # fmt: skip
    f = Family(maker, "gemma3-pattern", weights, config)
    f.hf()
    f.hf("gemma3-pattern-parameters", rope_theta=..., rope_local_base_freq=..., sliding_window_pattern=...,
         layer_types=["sliding_attention", "full_attention", "sliding_attention"],
         rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 2e5},
                          "sliding_attention": {"rope_type": "default", "rope_theta": 5e3}})  # fmt: skip

    # The multimodal releases leave out what transformers' configuration has by default.
    shape = replace(GEMMA, dim=24, n_heads=8, n_kv_heads=4)
    weights = families.gemma_weights(shape, 3, maker.seed_of("gemma3-multimodal"))
    scaling = {"rope_type": "linear", "factor": 8.0}
    config = gemma_config(shape, "gemma3_text", rope_theta=..., rope_scaling=scaling, sliding_window=6,
                          sliding_window_pattern=2)  # fmt: skip
    f = Family(maker, "gemma3-multimodal", weights, config)
    text = {key: config[key] for key in ("model_type", "hidden_size", "intermediate_size", "num_hidden_layers",
            "head_dim", "rope_scaling", "sliding_window", "sliding_window_pattern")}  # fmt: skip
    outer = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3"}
    f.multimodal("gemma3-multimodal", outer, text, "old")
    f.multimodal("gemma3-multimodal-new", outer | {"tie_word_embeddings": True}, text, "new")


def all_cases(maker):
    mixtral_cases(maker)
    llama_cases(maker)
    yarn_cases(maker)
    mistral_cases(maker)
    ministral3_cases(maker)
    gemma1_cases(maker)
    gemma2_cases(maker)
    gemma3_cases(maker)
