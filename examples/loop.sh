#!/bin/sh
# A worker in a shell. It claims a feature, runs a command for it, and passes or fails by the command's exit status. It
# repeats that until no agent can go on: everything is done, or what is left waits for a person.
#
#   DIBS_AGENT=ada examples/loop.sh COMMAND [ARGUMENT...]
#
# FEATURE has the feature's number for the command; `dibs get "$FEATURE"` prints its text. Each loop needs a name of its
# own. A claim lasts for 30 minutes; for longer commands set DIBS_DETACHED_LEASE (seconds). WAIT is for how many seconds
# one claim waits for work (45).
set -u
: "${DIBS_AGENT:?set it to a name that no other loop has}"
[ $# -gt 0 ] || { echo "usage: DIBS_AGENT=name $0 COMMAND [ARGUMENT...]" >&2; exit 2; }

FEATURE='' child='' told=$(mktemp) || exit 1
trap 'rm -f "$told"' EXIT
stop() {
    trap '' HUP INT TERM
    [ -z "$child" ] || kill "$child" 2>/dev/null
    if [ -z "$FEATURE" ]; then # the claim may have arrived just now
        [ -z "$child" ] || wait "$child"
        FEATURE=$(cat "$told")
    fi
    [ -z "$FEATURE" ] || dibs release "$FEATURE"
    exit 143
}
trap stop HUP INT TERM

while :; do
    dibs claim --id --resume --wait "${WAIT:-45}" >"$told" & # in the background: the shell handles signals only while it waits
    child=$!
    wait "$child" && status=0 || status=$?
    FEATURE=$(cat "$told") child=''
    : >"$told"
    case $status in
        0) ;;
        3 | 75) continue ;; # nothing is ready yet, or the database is busy
        4 | 5) exit 0 ;;    # nothing is left, or what is left waits for a person
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
