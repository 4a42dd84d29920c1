"""Logits of a Hugging Face directory by transformers, in float32 with eager attention.

One thing is changed: the angles of RoPE, position * theta^(-2i / head_dim), are computed in float64 and their
cosines and sines rounded once to float32. transformers multiplies in float32, where an angle near 4,000 has
a spacing of 2.4e-4. On the case of 4,300 positions that alone moves logits by 1.1e-5 of the largest one, which
is 17 times all else that float32 does there; models with more and sharper heads have shown 4e-4.

What a cache in a narrower type may cost is estimated with the same model: keys (after RoPE) and values get
random errors of the size that rounding makes, uniform up to
    f16  2^-11 of the element (half a unit of an 11-bit significand),
    q8   1/254 of the largest element of the head's vector (half a step of 127 levels; blocks smaller than the
         vector round finer),
several times over. Rounding errors are never larger than that, and smaller on average. With a q8 cache scores are
integer products, for which the queries are rounded like keys; they get such errors too.
"""

import numpy as np
import torch
import transformers
from transformers.models.gemma import modeling_gemma
from transformers.models.gemma2 import modeling_gemma2
from transformers.models.gemma3 import modeling_gemma3
from transformers.models.llama import modeling_llama
from transformers.models.ministral import modeling_ministral
from transformers.models.ministral3 import modeling_ministral3
from transformers.models.mistral import modeling_mistral
from transformers.models.mixtral import modeling_mixtral

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)

ATTENTION_MODULES = (modeling_gemma, modeling_gemma2, modeling_gemma3, modeling_llama, modeling_ministral,
                     modeling_ministral3, modeling_mistral, modeling_mixtral)  # fmt: skip


class ExactRope(torch.nn.Module):
    """cos and sin of float64 angles, in the place of transformers' rotary embedding.

    Scaled frequencies (linear, llama3, yarn) are those that transformers computed, with its float32 rounding.
    """

    def __init__(self, config, plain):
        super().__init__()
        self.kinds = {}
        nested = config.rope_parameters.get("full_attention") is not None
        for kind in ("full_attention", "sliding_attention") if nested else (None,):
            parameters, prefix = (config.rope_parameters[kind], kind + "_") if kind else (config.rope_parameters, "")
            if parameters["rope_type"] == "default":
                head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
                exponents = np.arange(0, head_dim, 2) / head_dim
                self.kinds[kind] = torch.from_numpy(parameters["rope_theta"] ** -exponents), 1.0
            else:
                frequencies = getattr(plain, prefix + "inv_freq")
                self.kinds[kind] = frequencies.double(), getattr(plain, prefix + "attention_scaling")

    def forward(self, x, position_ids, layer_type=None):
        frequencies, magnitude = self.kinds[layer_type]
        angles = position_ids[..., None].double() * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return (angles.cos() * magnitude).to(x.dtype), (angles.sin() * magnitude).to(x.dtype)


def relative_noise(t, generator):
    return t * (1 + 2.0**-11 * (2 * torch.rand(t.shape, generator=generator) - 1))


def block_noise(t, generator):
    step = t.abs().amax(dim=-1, keepdim=True) / 254
    return t + step * (2 * torch.rand(t.shape, generator=generator) - 1)


class Reference:
    def __init__(self, directory):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            directory, dtype=torch.float32, attn_implementation="eager", local_files_only=True
        )
        self.model.eval()
        self.model.model.rotary_emb = ExactRope(self.model.config, self.model.model.rotary_emb)

    def logits(self, ids):
        with torch.no_grad():
            return self.model(torch.tensor([ids]), use_cache=False).logits[0].numpy()

    def cache_noise(self, ids, noise, draws, seed):
        """The largest error over some draws, as a share of the largest logit."""
        generator = torch.Generator().manual_seed(seed)
        exact = self.logits(ids)
        plain = [m.eager_attention_forward for m in ATTENTION_MODULES]

        def noisy(forward):
            def attend(module, query, key, value, *args, **kwargs):
                if noise is block_noise:
                    query = noise(query, generator)
                return forward(module, query, noise(key, generator), noise(value, generator), *args, **kwargs)

            return attend

        try:
            for m, forward in zip(ATTENTION_MODULES, plain):
                m.eager_attention_forward = noisy(forward)
            worst = max(np.abs(self.logits(ids) - exact).max() for _ in range(draws))
        finally:
            for m, forward in zip(ATTENTION_MODULES, plain):
                m.eager_attention_forward = forward
        return float(worst / np.abs(exact).max())

    def activation_kl(self, ids):
        """Mean KL that activations in blocks of 32 with 8-bit levels cost, all else in float32."""
        exact = self.logits(ids)

        def quantise(module, inputs):
            (x,) = inputs
            blocks = x.reshape(*x.shape[:-1], -1, 32)
            scale = blocks.abs().amax(dim=-1, keepdim=True) / 127
            levels = torch.where(scale > 0, (blocks / scale).round(), 0)
            return ((levels * scale).reshape(x.shape),)

        hooks = [m.register_forward_pre_hook(quantise) for m in self.model.modules() if isinstance(m, torch.nn.Linear)]
        try:
            return mean_kl(exact, self.logits(ids))
        finally:
            for hook in hooks:
                hook.remove()


def log_softmax(logits):
    x = logits.astype(np.float64)
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def mean_kl(reference, other):
    p, q = log_softmax(reference), log_softmax(other)
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())
