/* Numbers of the GGUF format, for its reader and its writer. */
#ifndef FORMAT_GGUF_H
#define FORMAT_GGUF_H

#define GGUF_MAGIC "GGUF"

enum { GGUF_ALIGNMENT = 32 };

typedef enum gguf_type {
  GGUF_U8,
  GGUF_I8,
  GGUF_U16,
  GGUF_I16,
  GGUF_U32,
  GGUF_I32,
  GGUF_F32,
  GGUF_BOOL,
  GGUF_STRING,
  GGUF_ARRAY,
  GGUF_U64,
  GGUF_I64,
  GGUF_F64,
  GGUF_TYPES
} gguf_type;

#endif
