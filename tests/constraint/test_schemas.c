/* Schemas: which values fit. */
#include "constraint_cases.h"

static const constraint_case CASES[] = {
    {"{\"type\":\"integer\"}", {"0", "-12", "5.0", " 7\n"}, {"01", "1.5", "\"1\"", "", "1e3", "+1"}},
    {"{\"type\":[\"string\",\"null\"]}", {"\"\"", "null", "\"\\u0041\""}, {"1", "nul", "\"\n\""}},
    {"{\"enum\":[1,\"a\\\"b\",null,[1,{\"x\":2}]]}",
     {"1", "1.0", "\"a\\\"b\"", "null", "[1, {\"x\": 2}]"},
     {"2", "\"a\"", "[1]"}},
    {"{\"const\":\"\\u00e9/\"}", {"\"\xC3\xA9/\"", "\"\\u00e9\\/\"", "\"\\u00E9/\""}, {"\"e/\""}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{}},\"required\":[\"a\"]}",
     {"{\"a\":1}", "{\"a\": 1, \"b\": [true]}", "{\n  \"a\" : 1\n}"},
     {"{}", "{\"b\":1}", "{\"b\":1,\"a\":1}", "{\"a\":1,\"c\":2}", "{\"a\":1,}", "{\"a\":\"1\"}"}},
    {"{\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":\"boolean\"}}",
     {"{}", "1", "{\"a\":1,\"b\":true,\"c\":false}", "{\"aa\":true}", "{\"\":true}"},
     {"{\"b\":1}", "{\"a\":1,\"a\":true}", "{\"b\":true,\"a\":1}", "{\"b\":true,\"\\u0061\":true}"}},
    {"{\"type\":\"object\",\"minProperties\":1,\"maxProperties\":2,\"additionalProperties\":true}",
     {"{\"a\":1}", "{\"a\":1,\"b\":2}"},
     {"{}", "{\"a\":1,\"b\":2,\"c\":3}"}},
    {"{\"properties\":{\"a\":{},\"b\":{},\"c\":{}},\"minProperties\":2,\"type\":\"object\"}",
     {"{\"a\":1,\"c\":2}", "{\"b\":1,\"c\":2}", "{\"a\":1,\"b\":2,\"c\":3}"},
     {"{}", "{\"a\":1}", "{\"c\":1}"}},
    {"{\"items\":{\"type\":\"null\"},\"type\":\"array\",\"minItems\":1,\"maxItems\":3}",
     {"[null]", "[null,null]", "[ null , null, null ]"},
     {"[]", "[null,null,null,null]", "[1]", "[null,]"}},
    {"{\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"items\":false,\"type\":\"array\"}",
     {"[]", "[1]", "[1,\"a\"]"},
     {"[\"a\"]", "[1,\"a\",2]"}},
    {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
     {"\"ab\"", "\"\xC3\xA9\xF0\x9F\x98\x80x\"", "\"\\n\\u00e9\"", "\"\\uD83D\\uDE00a\""},
     {"\"a\"", "\"abcd\"", "\"\\uD83D\\uDE00\""}},
    {"{\"type\":\"string\",\"pattern\":\"^a+$\",\"maxLength\":3}", {"\"a\"", "\"aaa\""}, {"\"\"", "\"aaaa\"", "\"b\""}},
    {"{\"type\":\"string\",\"pattern\":\"b\"}",
     {"\"b\"", "\"abc\"",
      "\"\xC3\xA9"
      "b\\n\""},
     {"\"\"", "\"ac\""}},
    {"{\"type\":\"string\",\"pattern\":\"^x|y$\"}", {"\"xa\"", "\"ay\""}, {"\"ax\"", "\"ya\""}},
    {"{\"type\":\"integer\",\"minimum\":-5,\"exclusiveMaximum\":120}",
     {"-5", "0", "-0", "119", "99", "7.0"},
     {"-6", "120", "1000", "-10", "119.5"}},
    {"{\"type\":\"number\",\"exclusiveMinimum\":0.25,\"maximum\":3}",
     {"0.26", "0.250001", "3", "3.0", "2.999", "1"},
     {"0.25", "0.2", "0", "3.01", "4", "-1", "10"}},
    {"{\"type\":\"number\",\"minimum\":-1.5,\"maximum\":-0.05}",
     {"-1.5", "-0.05", "-1", "-0.1"},
     {"-1.51", "-0.049", "0", "1"}},
    {"{\"type\":\"integer\",\"multipleOf\":7}", {"0", "7", "-21", "700", "14.0"}, {"1", "8", "75", "7.5"}},
    {"{\"type\":\"number\",\"multipleOf\":0.25}", {"0.5", "1.75", "3", "2.500"}, {"0.1", "1.3", "0.255"}},
    {"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}", {"1", "\"a\""}, {"\"ab\"", "1.5"}},
    {"{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}},{\"properties\":{\"b\":{},\"a\":{"
     "\"minimum\":3}},\"required\":[\"b\"]}]}",
     {"{\"a\":3,\"b\":1}", "{\"b\":1}"},
     {"{\"a\":2,\"b\":1}", "{\"a\":3}", "{\"b\":1,\"c\":1}"}},
    {"{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2,\"type\":\"number\"}]}",
     {"1", "2.5", "-7"},
     {"3", "1.5", "2.0"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"oneOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]"
     "}",
     {"{\"a\":1}", "{\"b\":1}"},
     {"{}", "{\"a\":1,\"b\":1}"}},
    {"{\"$ref\":\"#/$defs/"
     "node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
     "node\"},{\"type\":\"null\"}]}},\"required\":[\"next\"]}}}",
     {"{\"next\":null}", "{\"next\":{\"next\":{\"next\":null}}}"},
     {"{\"next\":{}}", "{}"}},
    {"{\"not\":{\"type\":\"string\"}}", {"1", "[]", "null", "{\"a\":\"b\"}"}, {"\"a\""}},
    {"{\"type\":\"string\",\"not\":{\"enum\":[\"a\",\"bc\"]}}",
     {"\"b\"", "\"\"", "\"ab\"", "\"bcd\""},
     {"\"a\"", "\"bc\"", "1"}},
    {"{\"type\":\"string\",\"not\":{\"pattern\":\"^a\"}}", {"\"b\"", "\"\"", "\"ba\""}, {"\"a\"", "\"ab\""}},
    {"{\"type\":\"object\",\"properties\":{\"k\":{\"enum\":[\"x\",\"y\"]},\"v\":{}},\"if\":{\"properties\":{\"k\":{"
     "\"const\":\"x\"}},\"required\":[\"k\"]},\"then\":{\"required\":[\"v\"]}}",
     {"{\"k\":\"x\",\"v\":1}", "{\"k\":\"y\"}", "{}", "{\"v\":2}"},
     {"{\"k\":\"x\"}"}},
    {"{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"dependentRequired\":{\"a\":[\"b\"]}}",
     {"{}", "{\"b\":1}", "{\"a\":1,\"b\":1}"},
     {"{\"a\":1}"}},
    {"{\"type\":\"object\",\"patternProperties\":{\"^s_\":{\"type\":\"string\"},\"_n$\":{\"type\":\"null\"}},"
     "\"additionalProperties\":false}",
     {"{}", "{\"s_a\":\"x\",\"a_n\":null}"},
     {"{\"a\":1}", "{\"s_a\":1}", "{\"s_n\":\"x\"}", "{\"s_n\":null}"}},
    {"{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-z]+$\"},\"additionalProperties\":true}",
     {"{\"ab\":1}"},
     {"{\"A\":1}", "{\"\":1}"}},
    {"{\"type\":\"array\",\"contains\":{\"type\":\"integer\"},\"items\":{\"type\":[\"integer\",\"null\"]}}",
     {"[1]", "[null,2,null]"},
     {"[]", "[null]"}},
    {"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"enum\":[1,\"a\",true]}}",
     {"[]", "[1,true]", "[\"a\",1,true]"},
     {"[1,1]", "[2]"}},
    {"{\"oneOf\":[{\"type\":\"integer\",\"minimum\":-5},{\"type\":\"number\"}]}",
     {"-6", "1.5", "-7.0"},
     {"3", "3E01", "0e1", "3.0"}},
    {"{\"$schema\":\"http://json-schema.org/draft-04/schema#\",\"type\":\"integer\"}", {"1", "-20"}, {"1.0"}},
    {"{\"type\":\"string\",\"format\":\"regex\"}",
     {"\"^a[b-]+(c|d)*$\"", "\"\\\\d{2,}\""},
     {"\"*\"", "\"\\\\\"", "\"(\""}},
    {"{\"type\":\"string\",\"format\":\"duration\"}",
     {"\"P1Y2M\"", "\"PT5M\"", "\"P3W\""},
     {"\"P\"", "\"1D\"", "\"PT\""}},
    {"{\"type\":\"string\",\"format\":\"uri-template\"}", {"\"http://a/{b}\""}, {"\"http://a/{\""}},
    {"{\"type\":\"string\",\"format\":\"date\"}",
     {"\"2024-02-29\"", "\"1999-12-31\""},
     {"\"2023-02-29\"", "\"2023-13-01\"", "\"2023-1-1\""}},
    {"{\"type\":\"string\",\"format\":\"date-time\"}",
     {"\"2024-02-29T10:11:12Z\"", "\"1999-12-31T23:59:59.5+01:30\""},
     {"\"2024-02-29\"", "\"2024-02-29T24:00:00Z\""}},
    {"{\"type\":\"string\",\"format\":\"ipv6\"}",
     {"\"::1\"", "\"fe80::1:2\"", "\"1:2:3:4:5:6:7:8\"", "\"::ffff:1.2.3.4\""},
     {"\":1\"", "\"1:2\"", "\"::1::\""}},
    {"{\"type\":\"string\",\"format\":\"uri\"}",
     {"\"http://example.com/a?b#c\"", "\"urn:isbn:1\"", "\"mailto:a@b.c\""},
     {"\"/a\"", "\"a b:c\""}},
    {"{\"type\":\"string\",\"format\":\"uuid\"}", {"\"44724831-bf66-4bc2-865f-e2c4c2b14c78\""}, {"\"44724831\""}},
    {"{\"type\":\"string\",\"format\":\"email\"}", {"\"a.b@example.com\""}, {"\"a\"", "\"@b\"", "\"a@b@c\""}},
};

static void schemas(void **state) {
  (void)state;
  check_cases(GALE_CONSTRAINT_JSON_SCHEMA, CASES, COUNT(CASES));
}

static void refused(void **state) {
  (void)state;
  static const error_case ERRORS[] = {
      {"{\"type\":\"integer\"", "byte"},
      {"[]", "/: a schema"},
      {"{\"type\":\"int\"}", "/type"},
      {"{\"minLength\":-1}", "/minLength"},
      {"{\"minLength\":\"2\"}", "/minLength"},
      {"{\"minItems\":1000000000}", "/minItems"},
      {"{\"properties\":{\"a\":{\"pattern\":\"(\"}}}", "/properties/a/pattern: byte 0"},
      {"{\"properties\":{\"a/b\":{\"pattern\":\"^+x\"}}}", "/properties/a~1b/pattern: byte 1"},
      {"{\"minimum\":5,\"maximum\":4}", "/: the bounds"},
      {"{\"$ref\":\"http://example.com/x\"}", "/$ref"},
      {"{\"$ref\":\"#/nowhere\"}", "/$ref"},
      {"{\"$ref\":\"#\"}", "/"},
      {"{\"unevaluatedProperties\":false}", "/unevaluatedProperties"},
      {"false", "/: no value"},
      {"{\"type\":\"string\",\"enum\":[1]}", "/: no value"},
      {"{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "/: no value"},
      {"{\"type\":\"array\",\"uniqueItems\":true,\"items\":{\"type\":\"string\"}}", "/uniqueItems"},
      {"{\"properties\":[]}", "/properties"},
      {"{\"required\":\"a\"}", "/required"},
      {"{\"enum\":[]}", "/enum"},
      {"{\"anyOf\":[]}", "/anyOf"},
  };
  check_errors(GALE_CONSTRAINT_JSON_SCHEMA, ERRORS, COUNT(ERRORS));
}

/* Members in any order. */
static void any_order(void **state) {
  (void)state;
  static const char SCHEMA[] =
      "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{},\"c\":{\"$ref\":\"#\"}},"
      "\"required\":[\"a\"],\"additionalProperties\":{\"type\":\"null\"},\"maxProperties\":3}";
  static const char *const GOOD[] = {"{\"b\":1,\"a\":2}", "{\"x\":null,\"a\":1,\"y\":null}", "{\"a\":1}",
                                     "{\"c\":{\"b\":0,\"a\":1},\"a\":1}"};
  static const char *const BAD[] = {"{\"b\":1}",
                                    "{\"a\":1,\"a\":1}",
                                    "{\"x\":null,\"y\":null,\"z\":null,\"a\":1}",
                                    "{\"x\":null,\"y\":null,\"b\":1",
                                    "{\"x\":1,\"a\":1}",
                                    "{\"c\":{},\"a\":1}"};
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table = NULL;
  assert_int_equal(gale_mask_table_open(t, &table, NULL), GALE_OK);
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = GALE_CONSTRAINT_JSON_SCHEMA;
  o.text = SCHEMA;
  o.length = strlen(SCHEMA);
  o.any_order = true;
  gale_constraint *c = NULL;
  assert_int_equal(gale_constraint_open(table, &o, &c, NULL), GALE_OK);
  for (size_t i = 0; i < COUNT(GOOD); i++)
    if (!fits(c, GOOD[i])) fail_msg("%s is refused", GOOD[i]);
  for (size_t i = 0; i < COUNT(BAD); i++)
    if (fits(c, BAD[i])) fail_msg("%s is taken", BAD[i]);
  bool complete;
  assert_true(fitting(c, BAD[3], strlen(BAD[3]), &complete) <
              strlen(BAD[3])); /* no room is left for what is required */
  gale_constraint_close(&c);
  /* What must hold itself is never whole. */
  o.text = "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"},\"b\":{}},\"required\":[\"a\"]}";
  o.length = strlen(o.text);
  assert_int_equal(gale_constraint_open(table, &o, &c, NULL), GALE_E_ARGUMENT);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

/* `open` and `lenient`. */
static void options(void **state) {
  (void)state;
  static const char SCHEMA[] =
      "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"unevaluatedProperties\":false}";
  gale_tokenizer *t = byte_tokenizer();
  gale_mask_table *table = NULL;
  assert_int_equal(gale_mask_table_open(t, &table, NULL), GALE_OK);
  gale_constraint_options o;
  gale_constraint_defaults(&o);
  o.kind = GALE_CONSTRAINT_JSON_SCHEMA;
  o.text = SCHEMA;
  o.length = strlen(SCHEMA);
  gale_constraint *c = NULL;
  assert_int_equal(gale_constraint_open(table, &o, &c, NULL), GALE_E_UNSUPPORTED);
  o.lenient = true;
  assert_int_equal(gale_constraint_open(table, &o, &c, NULL), GALE_OK);
  assert_true(fits(c, "{\"a\":1}"));
  assert_false(fits(c, "{\"a\":1,\"b\":2}"));
  gale_constraint_close(&c);
  o.open = true;
  assert_int_equal(gale_constraint_open(table, &o, &c, NULL), GALE_OK);
  assert_true(fits(c, "{\"a\":1,\"b\":2}"));
  assert_false(fits(c, "{\"a\":\"x\"}"));
  gale_constraint_close(&c);
  gale_mask_table_close(&table);
  gale_tokenizer_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(schemas), cmocka_unit_test(refused), cmocka_unit_test(options),
                                     cmocka_unit_test(any_order)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
