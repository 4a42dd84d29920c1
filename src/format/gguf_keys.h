/* The hyperparameters of a GGUF file: the one list of their keys, for reading a model, synthesising one and writing
 * one. In the file each stands behind the architecture's name and a dot. The names are those of the GGUF specification
 * and, for what came later, of the files that are found. */
#ifndef FORMAT_GGUF_KEYS_H
#define FORMAT_GGUF_KEYS_H

#define GGUF_ATTENTION_HEAD_COUNT "attention.head_count"
#define GGUF_ATTENTION_HEAD_COUNT_KV "attention.head_count_kv"
#define GGUF_ATTENTION_KEY_LENGTH "attention.key_length"
#define GGUF_ATTENTION_LAYER_NORM_RMS_EPSILON "attention.layer_norm_rms_epsilon"
#define GGUF_ATTENTION_SLIDING_WINDOW "attention.sliding_window"
#define GGUF_ATTENTION_SLIDING_WINDOW_PATTERN "attention.sliding_window_pattern"
#define GGUF_ATTENTION_TEMPERATURE_SCALE "attention.temperature_scale"
#define GGUF_ATTENTION_VALUE_LENGTH "attention.value_length"
#define GGUF_ATTN_LOGIT_SOFTCAPPING "attn_logit_softcapping"
#define GGUF_BLOCK_COUNT "block_count"
#define GGUF_CONTEXT_LENGTH "context_length"
#define GGUF_EMBEDDING_LENGTH "embedding_length"
#define GGUF_EXPERT_COUNT "expert_count"
#define GGUF_EXPERT_USED_COUNT "expert_used_count"
#define GGUF_FEED_FORWARD_LENGTH "feed_forward_length"
#define GGUF_FINAL_LOGIT_SOFTCAPPING "final_logit_softcapping"
#define GGUF_ROPE_DIMENSION_COUNT "rope.dimension_count"
#define GGUF_ROPE_FREQ_BASE "rope.freq_base"
#define GGUF_ROPE_SCALING_ATTN_FACTOR "rope.scaling.attn_factor"
#define GGUF_ROPE_SCALING_FACTOR "rope.scaling.factor"
#define GGUF_ROPE_SCALING_ORIGINAL_CONTEXT_LENGTH "rope.scaling.original_context_length"
#define GGUF_ROPE_SCALING_TYPE "rope.scaling.type"
#define GGUF_ROPE_SCALING_YARN_BETA_FAST "rope.scaling.yarn_beta_fast"
#define GGUF_ROPE_SCALING_YARN_BETA_SLOW "rope.scaling.yarn_beta_slow"
#define GGUF_ROPE_SCALING_YARN_LOG_MULTIPLIER "rope.scaling.yarn_log_multiplier"
#define GGUF_VOCAB_SIZE "vocab_size"

#endif
