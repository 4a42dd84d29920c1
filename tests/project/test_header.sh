#!/bin/sh
# Each public header alone, as each language a caller may use. Usage: test_header.sh INCLUDE_DIR
set -eu
for language in c:c99 c:c11 c:c17 c++:c++11 c++:c++14 c++:c++17 c++:c++20; do
  echo "headers as ${language#*:}"
  for header in gale.h gale_constraint.h gale_engine.h gale_tools.h; do
    echo "#include \"$header\"" | "${CC:-cc}" -x "${language%:*}" -std="${language#*:}" \
      -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I "$1" -
  done
done
