/* Lists of tools: what is accepted as one, and how it is written for a model. */
#include "chat/chat.h"
#include "json/schema.h"

static void check_tool(prompt *p, const value *tool, size_t index) {
  const value *type = value_get(tool, "type"), *function = value_get(tool, "function");
  const value *name = value_get(function, "name"), *about = value_given(function, "description");
  const value *parameters = value_given(function, "parameters"), *strict = value_given(function, "strict");
  if (tool->kind != VALUE_OBJECT || (type && !value_says(type, "function")))
    prompt_refuse(p, "tools[%zu]: an object whose type is \"function\" is accepted", index);
  else if (!name || name->kind != VALUE_STRING)
    prompt_refuse(p, "tools[%zu].function.name: a string is needed", index);
  else if (!function_name_fits(name->text))
    prompt_refuse(p, "tools[%zu].function.name: \"%.*s\" is not 1 to 64 of a-z, A-Z, 0-9, _ and -", index,
                  (int)(name->text.n < 80 ? name->text.n : 80), name->text.s);
  else if (about && about->kind != VALUE_STRING)
    prompt_refuse(p, "tools[%zu].function.description: a string is accepted", index);
  else if (strict && !value_is_bool(strict))
    prompt_refuse(p, "tools[%zu].function.strict: true or false is accepted", index);
  const char *where = "";
  if (!p->status && parameters && (parameters->kind != VALUE_OBJECT || !schema_check(parameters, &where)))
    prompt_refuse(p, "tools[%zu].function.parameters: not a JSON schema of draft 7%s%s", index, *where ? ", at " : "",
                  where);
}

void tools_check(prompt *p, const value *tools) {
  size_t index = 0;
  if (tools->kind != VALUE_ARRAY) prompt_refuse(p, "tools: a list is accepted");
  for (const value *tool = tools->first; tool && !p->status; tool = tool->next) check_tool(p, tool, index++);
}

void tools_write(prompt *p, const value *tools) {
  prompt_text(p, "[");
  for (const value *tool = tools->first; tool; tool = tool->next) {
    const value *function = value_get(tool, "function"), *name = value_get(function, "name");
    const value *about = value_given(function, "description"), *parameters = value_given(function, "parameters");
    prompt_text(p, tool == tools->first ? "{\"type\": \"function\", \"function\": {\"name\": "
                                        : ", {\"type\": \"function\", \"function\": {\"name\": ");
    bytes_add_value(&p->run, name);
    prompt_text(p, ", \"description\": ");
    about ? bytes_add_value(&p->run, about) : prompt_text(p, "\"\"");
    prompt_text(p, ", \"parameters\": ");
    parameters ? bytes_add_value(&p->run, parameters) : prompt_text(p, "{}");
    prompt_text(p, "}}");
  }
  prompt_text(p, "]");
}
