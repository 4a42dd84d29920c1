/* The file that samples are written to, line by line. */
#include "gale/cli/console.h"
#include "gale/cli/input.h"
#include "gale/eval/samples.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Drops what follows the last newline of a file that was written before. */
static int keep_whole_lines(samples_file *f) {
  slice *kept = &f->old.text;
  while (kept->n && kept->s[kept->n - 1] != '\n') kept->n--;
  if (ftruncate(f->fd, (off_t)kept->n) == 0 && lseek(f->fd, 0, SEEK_END) >= 0) return 0;
  return fail("%s: %s", f->path, strerror(errno));
}

/* A torn line may end in the middle of a character, which is no reason to refuse what is before. */
static int read_old(samples_file *f) {
  text whole = {0};
  int code = input_read(f->path, &whole);
  if (code) return code;
  f->old = (source){.path = f->path, .text = {whole.bytes, whole.length}, .bytes = whole.bytes};
  return keep_whole_lines(f);
}

static int start_or_resume(samples_file *f, bool resume, slice header) {
  if (resume) {
    int code = read_old(f);
    slice line;
    if (code) return code;
    if (source_next(&f->old, &f->at, &line)) {
      if (slice_equal(line, header)) return 0;
      return source_fail(&f->old, 1, "these samples are of another model, of other settings or of other tasks");
    }
  }
  return samples_file_write(f, header);
}

int samples_file_open(samples_file *f, const char *path, bool resume, slice header) {
  *f = (samples_file){.path = path};
  f->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | (resume ? 0 : O_EXCL), 0666);
  if (f->fd < 0 && errno == EEXIST) return fail("%s is there already; --resume continues it", path);
  if (f->fd < 0) return fail("%s: %s", path, strerror(errno));
  int code = start_or_resume(f, resume, header);
  if (code) samples_file_close(f);
  return code;
}

int samples_file_take(samples_file *f, slice *line, bool *found) {
  *found = source_next(&f->old, &f->at, line);
  return 0;
}

int samples_file_write(samples_file *f, slice line) {
  char *whole = malloc(line.n + 1);
  if (!whole) return fail_memory();
  memcpy(whole, line.s, line.n);
  whole[line.n] = '\n';
  int code = 0;
  for (size_t done = 0; !code && done < line.n + 1;) {
    ssize_t n = write(f->fd, whole + done, line.n + 1 - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) code = fail("%s: %s", f->path, strerror(errno));
    done += n > 0 ? (size_t)n : 0;
  }
  free(whole);
  return code;
}

void samples_file_close(samples_file *f) {
  if (f->fd >= 0) close(f->fd);
  source_close(&f->old);
  f->fd = -1;
}
