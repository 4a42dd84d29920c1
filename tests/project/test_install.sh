#!/bin/sh
# A program finds an installed gale through pkg-config, shared and static, and runs.
# Usage: test_install.sh BUILD_DIR
set -eu
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT
cmake --install "$1" --prefix "$prefix" >"$prefix/log" || { cat "$prefix/log"; exit 1; }
pc=$(find "$prefix" -name gale.pc)
libdir=$(dirname "$(dirname "$pc")")
export PKG_CONFIG_PATH="${pc%/*}"

cat >"$prefix/program.c" <<'END'
#include <gale.h>
#include <stdio.h>
int main(void) { return puts(gale_version()) < 0; }
END
cd "$prefix"
# What pkg-config prints is meant to be split into words.
# shellcheck disable=SC2046
{
  cc program.c -o shared $(pkg-config --cflags --libs gale)
  cc program.c -o static $(pkg-config --cflags gale) "$libdir/libgale.a" $(pkg-config --static --libs gale | sed 's/-lgale//')
}
version=$(pkg-config --modversion gale)
[ "$(LD_LIBRARY_PATH=$libdir ./shared)" = "$version" ]
[ "$(./static)" = "$version" ]
if ldd ./static | grep libgale; then exit 1; fi
echo "gale $version: shared and static"
