/* The files of the web page, as they are in the folder web: compiled in by cmake/web.cmake. */
#ifndef GALE_SERVE_WEB_FILES_H
#define GALE_SERVE_WEB_FILES_H

typedef struct web_file {
  const char *path, *type; /* below the folder; its media type */
  const char *tag;         /* an entity tag, which differs where the bytes do */
  const char *bytes, *end; /* with a NUL behind them */
} web_file;

extern const web_file web_files[]; /* ended by a row without a path */

#endif
