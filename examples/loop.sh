#!/bin/sh
# A worker in a shell: claim a feature, run a command for it, pass or fail by its exit status, and again, until no agent
# can go on: all is done, or what is left waits for a person.
#
#   DIBS_AGENT=ada examples/loop.sh COMMAND [ARGUMENT...]
#
# The command finds the feature's number in FEATURE, and its text by `dibs get "$FEATURE"`. Each loop needs a name of
# its own. A claim lasts for half an hour; for longer commands set DIBS_DETACHED_LEASE to as many seconds.
# WAIT is how long it waits for work (45 seconds) before it looks at that again.
set -u
: "${DIBS_AGENT:?set it to a name that no other loop has}"
[ $# -gt 0 ] || { echo "usage: DIBS_AGENT=name $0 COMMAND [ARGUMENT...]" >&2; exit 2; }

FEATURE='' child='' told=$(mktemp) || exit 1
trap 'rm -f "$told"' EXIT
stop() {
    trap '' HUP INT TERM
    [ -z "$child" ] || kill "$child" 2>/dev/null
    if [ -z "$FEATURE" ]; then # the claim may have come in this very moment
        [ -z "$child" ] || wait "$child"
        FEATURE=$(cat "$told")
    fi
    [ -z "$FEATURE" ] || dibs release "$FEATURE"
    exit 143
}
trap stop HUP INT TERM

while :; do
    dibs claim --id --resume --wait "${WAIT:-45}" >"$told" & # beside the shell, which hears signals only while it waits
    child=$!
    wait "$child" && status=0 || status=$?
    FEATURE=$(cat "$told") child=''
    : >"$told"
    case $status in
        0) ;;
        3 | 75) continue ;; # nothing is free yet, or the database is busy
        4 | 5) exit 0 ;;    # nothing is left, or nothing but what a person must decide or put back
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
