#!/bin/sh
# Speed of gale as a ratio to other engines, and as a share of the machine's limits: bench/compare.py, with its options.
exec python3 "$(dirname "$0")/compare.py" "$@"
