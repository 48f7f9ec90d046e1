#!/bin/bash
# Run a command with one line of progress: `tools/quietly.sh MESSAGE COMMAND [ARGUMENT …]`. Its output is shown only if it
# fails, then as a whole.
set -u
message=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
"$@" >"$log" 2>&1 &
command=$!
trap 'kill "$command" 2>/dev/null; echo; exit 130' INT TERM
began=$SECONDS
if [ -t 1 ]; then
    while kill -0 "$command" 2>/dev/null; do
        printf '\r%s … %d s ' "$message" $((SECONDS - began))
        sleep 1
    done
    printf '\r'
fi
if wait "$command"; then
    printf '%s … done in %d s\n' "$message" $((SECONDS - began))
else
    status=$?
    printf '%s … failed\n' "$message" >&2
    cat "$log" >&2
    exit "$status"
fi
