#!/bin/sh
# Checks that libraries offer exactly the functions that the headers declare.
# Usage: check_symbols.sh INCLUDE_DIR LIBGALE_SO LIBGALE_A
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sed -n 's/^GALE_API .*\(gale_[a-z0-9_]*\)(.*/\1/p' "$1"/*.h | sort >"$work/declared"
nm -D --defined-only "$2" | awk '{ print $NF }' | sort >"$work/shared"
nm -g --defined-only "$3" | awk 'NF == 3 { print $NF }' | sort >"$work/static"

status=0
for kind in shared static; do
  # < is declared and missing, > is offered and not declared
  diff "$work/declared" "$work/$kind" || { echo "The $kind library differs from the headers"; status=1; }
done
echo "$(wc -l <"$work/declared") functions declared"
exit $status
