/* gale rm: removes a model from gale's own folder. */
#include "gale/cli/console.h"
#include "gale/cli/models.h"
#include "gale/commands/command.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *where) {
  (void)s;
  (void)kind;
  (void)where;
  return remove(path);
}

static int remove_folder(const options *o, const char *folder) {
  struct stat s;
  if (lstat(folder, &s) != 0) return fail("%s: %s", folder, strerror(errno));
  enum { OPEN_FOLDERS = 16 };
  /* A link is removed, and what it leads to stays. */
  int failed = S_ISDIR(s.st_mode) ? nftw(folder, remove_entry, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS) : remove(folder);
  if (failed) return fail("%s: %s", folder, strerror(errno));
  note(o, "%s removed", folder);
  return 0;
}

int rm_main(const options *o) {
  const char *name = o->arguments[0];
  char *root = store_own.root(), *folder = NULL;
  if (!root) return fail("there is no home directory, and so no folder of models");
  bool own = !strchr(name, '/') && !strchr(name, ':') && *name && *name != '.';
  if (own && asprintf(&folder, "%s/%s", root, name) < 0) folder = NULL;
  int code =
      !own ? fail("%s: not a name in %s; models of other stores are left to the tools that fetched them", name, root)
      : folder ? remove_folder(o, folder)
               : fail_memory();
  free(folder);
  free(root);
  return code;
}
