/* Gives every file of the directories named as arguments to a fuzz target, for builds without libFuzzer.
 * Arguments that begin with '-' are libFuzzer's and have no meaning here. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Number of inputs run (0 for what is not a regular file), or -1. */
static int replay_file(const char *path) {
  struct stat st;
  if (stat(path, &st) != 0) return -1;
  if (!S_ISREG(st.st_mode)) return 0;
  FILE *f = fopen(path, "rb");
  if (!f) return -1;
  size_t size = (size_t)st.st_size;
  /* Exactly the input's size, so that the address sanitizer sees the first byte past it. */
  uint8_t *data = malloc(size ? size : 1);
  int result = -1;
  if (data && fread(data, 1, size, f) == size) {
    LLVMFuzzerTestOneInput(data, size);
    result = 1;
  }
  free(data);
  fclose(f);
  return result;
}

static int replay_directory(const char *directory) {
  DIR *entries = opendir(directory);
  if (!entries) return -1;
  int count = 0;
  const struct dirent *entry;
  while (count >= 0 && (entry = readdir(entries))) {
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
    int ran = length < (int)sizeof path ? replay_file(path) : -1;
    count = ran < 0 ? -1 : count + ran;
  }
  closedir(entries);
  return count;
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    if (argv[i][0] == '-') continue;
    int count = replay_directory(argv[i]);
    if (count <= 0) {
      fprintf(stderr, "%s: %s\n", argv[i], count < 0 ? "cannot be read" : "holds no inputs");
      return 1;
    }
    printf("%s: %d inputs\n", argv[i], count);
  }
  return 0;
}
