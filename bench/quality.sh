#!/bin/sh
# What the shortcuts of gale cost in quality: bench/quality.py, with its options; with --data FOLDER (make eval-data) in
# scores of tasks: bench/quality_tasks.py, with its options.
case " $* " in *" --data "*) exec python3 "$(dirname "$0")/quality_tasks.py" "$@" ;; esac
exec python3 "$(dirname "$0")/quality.py" "$@"
