/* Constraints of every kind for tests that try what holds for all of them. */
#ifndef EVERY_KIND_H
#define EVERY_KIND_H

#include "gale_constraint.h"

typedef struct kind_case {
  gale_constraint_kind kind;
  const char *text;
  const char *choices[4];
} kind_case;

#define SCHEMA(...)                                                                                                    \
  { .kind = GALE_CONSTRAINT_JSON_SCHEMA, .text = #__VA_ARGS__ }
#define REGEX(pattern)                                                                                                 \
  { .kind = GALE_CONSTRAINT_REGEX, .text = pattern }
#define CHOICES(...)                                                                                                   \
  {                                                                                                                    \
    .kind = GALE_CONSTRAINT_CHOICE, .choices = { __VA_ARGS__ }                                                         \
  }
#define GRAMMAR(rules)                                                                                                 \
  { .kind = GALE_CONSTRAINT_GRAMMAR, .text = rules }

static const kind_case kind_cases[] = {
    {.kind = GALE_CONSTRAINT_JSON},
    SCHEMA({}),
    SCHEMA({
      "type" : "object",
      "properties" : {"name" : {"type" : "string"}, "age" : {"type" : "integer", "minimum" : 0}},
      "required" : ["name"]
    }),
    SCHEMA({
      "type" : "object",
      "properties" :
          {"a" : {"type" : "string", "maxLength" : 3}, "b" : {"type" : "string", "minLength" : 2, "maxLength" : 20}},
      "required" : [ "a", "b" ],
      "additionalProperties" : false
    }),
    SCHEMA({
      "type" : "object",
      "additionalProperties" : {"type" : [ "number", "null" ]},
      "minProperties" : 1,
      "maxProperties" : 3
    }),
    SCHEMA({
      "type" : "object",
      "properties" : {"kind" : {"const" : "x"}, "kin" : {"type" : "boolean"}, "\u00e9t\u00e9" : {}},
      "additionalProperties" : {"type" : "integer"}
    }),
    SCHEMA({
      "type" : "array",
      "items" : {"type" : "number", "minimum" : -12.5, "exclusiveMaximum" : 1000},
      "minItems" : 1,
      "maxItems" : 5
    }),
    SCHEMA({"type" : "array", "prefixItems" : [ {"type" : "integer"}, {"type" : "string"} ], "items" : false}),
    SCHEMA({
      "anyOf" : [
        {"type" : "string", "pattern" : "^a+[^b]{2}"}, {"type" : "integer", "maximum" : 300},
        {"enum" : [ true, null, "\u4e2d", {"k" : [1]} ]}
      ]
    }),
    SCHEMA({"type" : "string", "format" : "date-time"}),
    SCHEMA({"type" : "array", "items" : {"type" : "string", "format" : "email"}}),
    SCHEMA({"type" : "string", "format" : "uuid"}),
    SCHEMA({"type" : "string", "pattern" : "\u00e9|[\u4e00-\u9fff]{1,3}\ud83d\ude00?"}),
    SCHEMA({
      "$defs" : {
        "node" : {
          "type" : "object",
          "properties" :
              {"value" : {"type" : "integer"}, "next" : {"anyOf" : [ {"$ref" : "#/$defs/node"}, {"type" : "null"} ]}},
          "required" : [ "value", "next" ]
        }
      },
      "$ref" : "#/$defs/node"
    }),
    SCHEMA({"allOf" : [ {"type" : "string", "minLength" : 3}, {"maxLength" : 6}, {"pattern" : "[0-9]"} ]}),
    REGEX("[a-z]+@[a-z]+\\.(com|org)"),
    REGEX("(\\d{1,3}\\.){3}\\d{1,3}"),
    REGEX(".*"),
    REGEX(".{3,5}"),
    REGEX("[^a-z\"]*\\u00e9+"),
    REGEX("(a|b|ab)*c"),
    REGEX("Yes, (sir|madam)( indeed)*[.!]"),
    CHOICES("yes", "no", "perhaps"),
    CHOICES("a", "ab", "abc"),
    CHOICES("\xC3\xA9", "\xE4\xB8\xAD\xE6\x96\x87", "\xF0\x9F\x98\x80", " leading"),
    GRAMMAR("root ::= \"(\" root \")\" | [a-z]+"),
    GRAMMAR("root ::= expr\nexpr ::= term ([-+*/] term)*\nterm ::= [0-9]{1,4} | \"(\" expr \")\" # nested\n"),
    GRAMMAR("root ::= item+\nitem ::= \"- \" [^\\n]+ \"\\n\"\n"),
    GRAMMAR("root ::= .? [\\u4e00-\\u9fff]* \"\\U0001F600\" x{2,}\nx ::= \" a\" | \" ab\"\n"),
};

#endif
