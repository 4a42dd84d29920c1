#!/bin/sh
# What the shortcuts of gale cost in quality: bench/quality.py, with its options.
exec python3 "$(dirname "$0")/quality.py" "$@"
