#!/bin/sh
# A worker in a shell: claim a feature, run a command for it, pass or fail by its exit status, until nothing is left.
#
#   DIBS_AGENT=ada examples/loop.sh COMMAND [ARGUMENT...]
#
# The command finds the feature's number in FEATURE, and its text by `dibs get "$FEATURE"`. Each loop needs a name of
# its own. A claim lasts for half an hour; for longer commands set DIBS_DETACHED_LEASE to as many seconds.
set -u
: "${DIBS_AGENT:?set it to a name that no other loop has}"
[ $# -gt 0 ] || { echo "usage: DIBS_AGENT=name $0 COMMAND [ARGUMENT...]" >&2; exit 2; }

FEATURE='' child=''
stop() {
    trap '' INT TERM
    [ -z "$child" ] || kill "$child" 2>/dev/null
    [ -z "$FEATURE" ] || dibs release "$FEATURE"
    exit 143
}
trap stop INT TERM

while :; do
    FEATURE=$(dibs claim --id --resume --wait 45) && status=0 || status=$?
    case $status in
        0) ;;
        3 | 75) continue ;; # nothing is free yet, or the database is busy
        4) exit 0 ;;        # nothing is left
        *) exit "$status" ;;
    esac
    export FEATURE
    "$@" &
    child=$!
    wait "$child" && status=0 || status=$?
    child=''
    if [ "$status" -eq 0 ]; then
        dibs pass "$FEATURE" --ran 0 "$*"
    else
        dibs fail "$FEATURE" "$* ended with status $status"
    fi
    FEATURE=''
done
