/* MMLU: questions of 57 subjects, in the files of its authors (a CSV file for each subject and split) or as JSONL. */
#include "base/file.h"
#include "gale/cli/console.h"
#include "gale/cli/input.h"
#include "gale/eval/task.h"
#include "gale/eval/words.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CHOICES = 4, DEPTH = 16 };

/* Files of one split, found in a directory or an archive. */
typedef struct file_list {
  struct file_found {
    char *path;  /* owned */
    slice bytes; /* of a member of an archive; s NULL: to be read */
  } * files;     /* owned */
  size_t n, capacity;
} file_list;

static void files_free(file_list *list) {
  for (size_t i = 0; i < list->n; i++) free(list->files[i].path);
  free(list->files);
}

static const char *last_part(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

static bool ends_with(const char *name, const char *end) {
  size_t n = strlen(name), m = strlen(end);
  return n > m && strcmp(name + n - m, end) == 0;
}

/* SUBJECT_SPLIT.csv or SPLIT.jsonl; "validation" is "val". */
static bool is_of_split(const char *path, const char *split) {
  const char *name = last_part(path);
  if (name[0] == '.') return false;
  char end[32];
  snprintf(end, sizeof end, "_%s.csv", split);
  if (ends_with(name, end)) return true;
  snprintf(end, sizeof end, "%s.jsonl", split);
  return strcmp(name, end) == 0 || (strcmp(split, "val") == 0 && strcmp(name, "validation.jsonl") == 0);
}

/* Takes over path. */
static int files_add(file_list *list, char *path, slice bytes) {
  if (list->n == list->capacity) {
    size_t capacity = list->capacity ? 2 * list->capacity : 64;
    struct file_found *grown = realloc(list->files, capacity * sizeof *grown);
    if (!grown) {
      free(path);
      return fail_memory();
    }
    list->files = grown;
    list->capacity = capacity;
  }
  list->files[list->n++] = (struct file_found){path, bytes};
  return 0;
}

static int find_in_folder(file_list *list, const char *folder, const char *split, int depth) {
  DIR *open = opendir(folder);
  if (!open) return fail("%s: %s", folder, strerror(errno));
  int code = 0;
  for (const struct dirent *entry; !code && (entry = readdir(open));) {
    if (entry->d_name[0] == '.') continue;
    char *path = path_join(folder, entry->d_name);
    if (!path) code = fail_memory();
    if (path && path_is_directory(path)) {
      code = depth < DEPTH ? find_in_folder(list, path, split, depth + 1) : 0;
      free(path);
    } else if (path && is_of_split(path, split))
      code = files_add(list, path, (slice){0});
    else
      free(path);
  }
  closedir(open);
  return code;
}

static int find_in_archive(file_list *list, const char *path, slice archive, const char *split, arena *memory) {
  size_t at = 0;
  bool found = true;
  int code = 0;
  while (!code && found) {
    tar_member member;
    code = tar_next(path, archive, memory, &at, &member, &found);
    if (code || !found) break;
    size_t n = strlen(path), size = n + 1 + member.name.n + 1;
    char *name = malloc(size);
    if (!name) return fail_memory();
    snprintf(name, size, "%s/%.*s", path, (int)member.name.n, member.name.s);
    if (is_of_split(name, split))
      code = files_add(list, name, member.bytes);
    else
      free(name);
  }
  return code;
}

static int by_path(const void *a, const void *b) {
  const struct file_found *x = a, *y = b;
  int order = strcmp(last_part(x->path), last_part(y->path));
  return order ? order : strcmp(x->path, y->path);
}

/* ---- Questions ---- */

static int set_question(const record *r, eval_item *item, slice question, const slice choices[CHOICES]) {
  eval_data *d = r->data;
  if (!d->original) question = words_strip(question);
  int code = record_choices(r, item, CHOICES);
  if (code) return code;
  static const slice letters[CHOICES] = {{"A", 1}, {"B", 1}, {"C", 1}, {"D", 1}};
  bool cloze = d->task->norm;
  memcpy(item->choices, cloze ? choices : letters, sizeof letters);
  if (cloze) return record_set_text(r, item, "Question: ", question, "\nAnswer:");
  byte_list whole = {0};
  bytes_add(&whole, question);
  for (int i = 0; i < CHOICES; i++) {
    const char mark[] = {'\n', (char)('A' + i), '.', ' '};
    bytes_add(&whole, (slice){mark, sizeof mark});
    bytes_add(&whole, choices[i]);
  }
  code = whole.failed ? fail_memory() : record_set_text(r, item, "", (slice){whole.bytes, whole.n}, "\nAnswer:");
  free(whole.bytes);
  return code;
}

/* A letter, or, where `index`, a number from 0 too. */
static bool take_letter(slice mark, bool index, int32_t *gold) {
  if (mark.n != 1) return false;
  char c = mark.s[0];
  *gold = c >= 'A' && c < 'A' + CHOICES ? c - 'A' : index && c >= '0' && c < '0' + CHOICES ? c - '0' : -1;
  return *gold >= 0;
}

static int take_record(const record *r, eval_item *item) {
  slice question, *choices;
  int32_t n;
  int code = record_text(r, r->object, "question", &question);
  if (!code) code = record_texts(r, value_get(r->object, "choices"), "choices", CHOICES, CHOICES, &choices, &n);
  if (!code && value_given(r->object, "subject"))
    code = record_text(r, r->object, "subject", &item->subject);
  else if (!code && r->folder.s)
    item->subject = words_keep(&r->data->memory, r->folder);
  if (!code && !item->subject.s) code = record_fail(r, "\"subject\" is missing, and no folder names it");
  if (!code) code = set_question(r, item, question, choices);
  if (code) return code;
  const value *answer = value_get(r->object, "answer");
  bool plain = value_is(answer, VALUE_STRING) || value_is(answer, VALUE_INTEGER);
  if (plain && take_letter(answer->text, true, &item->gold)) return 0;
  return record_fail(r, "\"answer\" is neither a letter from A to D nor a number from 0 to 3");
}

static int take_row(const record *r, const csv_row *row, slice subject, bool header, item_list *to) {
  if (row->n != CHOICES + 2)
    return record_fail(r, "%zu cells; question, %d choices and answer are wanted", row->n, CHOICES);
  eval_item *item = items_add(to);
  if (!item) return fail_memory();
  item->subject = subject;
  slice question = words_keep(&r->data->memory, row->cells[0]), choices[CHOICES];
  for (int i = 0; i < CHOICES; i++) {
    choices[i] = words_keep(&r->data->memory, row->cells[1 + i]);
    if (!choices[i].s) return fail_memory();
  }
  if (!question.s) return fail_memory();
  if (!take_letter(row->cells[CHOICES + 1], header, &item->gold))
    return record_fail(r, "the answer '%.*s' is no letter from A to D%s", (int)row->cells[CHOICES + 1].n,
                       row->cells[CHOICES + 1].s, header ? " and no number from 0 to 3" : "");
  return set_question(r, item, question, choices);
}

static int read_rows(eval_data *d, const source *s, item_list *to) {
  const char *name = last_part(s->path), *end = strrchr(name, '_');
  slice subject = words_keep(&d->memory, (slice){name, (size_t)(end - name)});
  if (!subject.s) return fail_memory();
  source_lines lines = {0};
  bool found = true, header = false;
  int code = 0;
  for (bool first = true; !code && found; first = false) {
    csv_row row;
    code = csv_next(s, &lines, &d->memory, &row, &found);
    if (code || !found) break;
    if (row.n == 1 && row.cells[0].n == 0) continue;
    if (first && slice_is(row.cells[row.n - 1], "answer")) {
      header = true;
      continue;
    }
    record r = {.source = s, .line = row.line, .data = d};
    code = take_row(&r, &row, subject, header, to);
  }
  return code;
}

static int read_file(eval_data *d, const struct file_found *found, item_list *to) {
  source s;
  int code = found->bytes.s ? source_of(&s, found->path, found->bytes) : source_open(&s, found->path);
  if (code) return code;
  code = ends_with(found->path, ".csv") ? read_rows(d, &s, to) : records_read(d, &s, NULL, take_record, to);
  source_close(&s);
  return code;
}

static int read_files(eval_data *d, const char *path, file_list *list, const char *split, item_list *to) {
  if (list->n == 0)
    return fail("%s: no SUBJECT_%s.csv and no %s.jsonl in it%s", path, split, split,
                path_is_directory(path) ? " (tools/eval_data.py makes them of Parquet and Arrow files)" : "");
  qsort(list->files, list->n, sizeof *list->files, by_path);
  int code = 0;
  for (size_t i = 0; !code && i < list->n; i++) {
    const char *name = list->files[i].path;
    if (i && ends_with(name, ".csv") && strcmp(last_part(name), last_part(list->files[i - 1].path)) == 0)
      return fail("%s: the same subject is in %s", name, list->files[i - 1].path);
    code = read_file(d, &list->files[i], to);
  }
  return code;
}

/* The file of examples beside a file of questions, for the caller to free. */
static char *dev_beside(const char *path) {
  const char *name = last_part(path), *end = strrchr(name, '_');
  if (!ends_with(name, ".csv") || !end) return path_beside(path, "dev.jsonl");
  char dev[256];
  snprintf(dev, sizeof dev, "%.*s_dev.csv", (int)(end - name), name);
  return path_beside(path, dev);
}

/* One file, of which every question counts. */
static int load_file(eval_data *d, const char *path, slice bytes, item_list *to) {
  const char *name = last_part(path);
  if (ends_with(name, ".csv") && !strrchr(name, '_')) return fail("%s: SUBJECT_SPLIT.csv is wanted", path);
  struct file_found only = {.bytes = bytes};
  only.path = strdup(path);
  if (!only.path) return fail_memory();
  /* A file that is neither is read as JSONL, and told so by its line. */
  int code = read_file(d, &only, to);
  free(only.path);
  return code;
}

static int load_path(eval_data *d, const char *path, const char *split, bool beside, item_list *to) {
  file_list list = {0};
  int code;
  if (path_is_directory(path)) {
    code = find_in_folder(&list, path, split, 0);
    if (!code) code = read_files(d, path, &list, split, to);
    files_free(&list);
    return code;
  }
  text whole = {0};
  code = input_read(path, &whole);
  if (code) return code;
  slice bytes = {whole.bytes, whole.length};
  if (tar_is(bytes)) {
    code = find_in_archive(&list, path, bytes, split, &d->memory);
    if (!code) code = read_files(d, path, &list, split, to);
  } else if (beside) {
    char *dev = dev_beside(path);
    code = !dev ? fail_memory() : path_is_file(dev) ? load_file(d, dev, (slice){0}, to) : 0;
    free(dev);
  } else
    code = load_file(d, path, bytes, to);
  files_free(&list);
  free(whole.bytes);
  return code;
}

int load_mmlu(eval_data *d, const char *path, bool examples, item_list *to) {
  return load_path(d, path ? path : d->path, examples ? "dev" : d->split, examples && !path, to);
}
