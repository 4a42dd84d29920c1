/* What can be typed in a chat: messages of several lines and every command, on a conversation that is answered, saved,
 * loaded and rendered as the chat does it. */
#include "fuzz_bytes.h"

#include <stdarg.h>

#include "gale/chat/conversation.h"
#include "gale/chat/typed.h"
#include "gale/cli/console.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The command's own functions write to standard error. */
int fail(const char *format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return EXIT_INPUT;
}

int fail_with(const gale_error *error) {
  return fail("%s", error->message);
}

int fail_memory(void) {
  return fail("out of memory");
}

/* A conversation that was written must be read again, and be the same. */
static void check_written(const conversation *c, const prompt_form *form) {
  char *json, *again;
  conversation loaded = {0};
  if (conversation_write(c, &json)) return;
  if (conversation_load(&loaded, "chat.json", json, strlen(json), form) == 0) {
    if (conversation_write(&loaded, &again)) abort();
    if (strcmp(json, again) != 0) abort();
    free(again);
  }
  conversation_clear(&loaded);
  free(json);
}

static bool answer(conversation *c, const prompt_form *form, size_t turn) {
  static const gale_tool_call CALLS[] = {{"abcdefgh1", "f", "{\"a\": 1}"}, {"abcdefgh2", "g", "not JSON"}};
  int32_t *ids;
  size_t n_ids;
  if (conversation_render(c, form, &ids, &n_ids)) return false;
  gale_free(ids);
  const spoken said = {turn % 4 == 3 ? NULL : "answer", turn % 3 == 2 ? "thought" : NULL, CALLS, turn % 4 >= 2 ? 2 : 0};
  if (conversation_add_answer(c, &said)) abort();
  return true;
}

static void say(conversation *c, const prompt_form *form, const text *message, size_t turn) {
  size_t before = conversation_length(c);
  if (conversation_open_calls(c) || conversation_add(c, "user", message->bytes, message->length)) return;
  if (!answer(c, form, turn)) conversation_pop(c);
  size_t after = conversation_length(c);
  if (after != before && after != before + 2) abort();
}

static void do_command(conversation *c, const prompt_form *form, chat_command asked, const char *argument) {
  size_t before = conversation_length(c), n_open = conversation_open_calls(c);
  switch (asked) {
  case CHAT_SYSTEM:
    conversation_set_system(c, argument);
    break;
  case CHAT_RESULT:
    if (conversation_add_result(c, argument, strlen(argument)) == 0 && conversation_open_calls(c) != n_open - 1)
      abort();
    break;
  case CHAT_LOAD:
    if (conversation_load(c, "typed", argument, strlen(argument), form) && conversation_length(c) != before) abort();
    break;
  case CHAT_RESET:
    conversation_reset(c);
    if (conversation_length(c) > 1) abort();
    break;
  case CHAT_REGENERATE:
    if (conversation_ends_with(c, "assistant")) conversation_pop(c);
    break;
  default:
    check_written(c, form);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *const *names = gale_chat_templates();
  size_t n_names = 0, turn = 0;
  while (names[n_names]) n_names++;
  if (size == 0 || n_names == 0) return 0;
  size_t choice = data[0] % (n_names + 1);
  prompt_form form = {fuzz_bytes(), choice < n_names ? names[choice] : NULL, choice == n_names};
  conversation c = {0};
  typed message = {0};
  for (size_t at = 1; at <= size; turn++) {
    const uint8_t *end = at < size ? memchr(data + at, '\n', size - at) : NULL;
    size_t n = end ? (size_t)(end - data) - at : size - at;
    const char *argument;
    typed_state state = typed_line(&message, (const char *)data + at, n);
    at += n + 1;
    if (state == TYPED_MORE) continue;
    chat_command asked = typed_command(&message, &argument);
    if (asked == CHAT_MESSAGE && message.text.length)
      say(&c, &form, &message.text, turn);
    else if (asked < N_CHAT_COMMANDS)
      do_command(&c, &form, asked, argument);
    free(message.text.bytes);
    message = (typed){0};
  }
  free(message.text.bytes);
  conversation_clear(&c);
  return 0;
}
