#!/bin/sh
# A worker in a shell. It claims a feature, runs a command for it, and passes or fails it by the command's exit status.
# It repeats this until there is no work for an agent: all features are done, or the rest waits for a person.
#
#   [DIBS_AGENT=ada] examples/loop.sh COMMAND [ARGUMENT...]
#
# The command finds the feature's number in FEATURE; `dibs get "$FEATURE"` prints its text. Start as many loops as you
# like: each one adds its host and process id to its name. A claim lasts for 30 minutes, also if the loop was killed; for
# longer commands set DIBS_DETACHED_LEASE (seconds). One claim waits for work for WAIT seconds (45).
set -u
[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARGUMENT...]" >&2; exit 2; }
DIBS_AGENT=${DIBS_AGENT:-loop}-$(uname -n)-$$
export DIBS_AGENT

FEATURE='' child='' claimed=$(mktemp) || exit 1
trap 'rm -f "$claimed"' EXIT
stop() {
    trap '' HUP INT TERM
    [ -z "$child" ] || kill "$child" 2>/dev/null
    if [ -z "$FEATURE" ]; then # the claim may have arrived just now
        [ -z "$child" ] || wait "$child"
        FEATURE=$(cat "$claimed")
    fi
    [ -z "$FEATURE" ] || dibs release "$FEATURE"
    exit 143
}
trap stop HUP INT TERM

while :; do
    # in the background, because the shell handles signals only during `wait`
    dibs claim --id --wait "${WAIT:-45}" >"$claimed" &
    child=$!
    wait "$child" && status=0 || status=$?
    FEATURE=$(cat "$claimed") child=''
    : >"$claimed"
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
