# shellcheck shell=sh disable=SC2154
# What the tests here have in common: checks that are counted, and the output of what failed.
# The scripts that source this set `work` and `case_name`.

passed=0

# check WHAT COMMAND...: the command succeeds.
check() {
    what=$1
    shift
    if "$@" >"$work/checked" 2>&1; then
        passed=$((passed + 1))
    else
        cp "$work/checked" "$work/log"
        failed "$what"
    fi
}

# The command succeeds and says nothing.
check_silent() {
    what=$1
    shift
    check "$what" "$@"
    if [ -s "$work/checked" ]; then
        cp "$work/checked" "$work/log"
        failed "$what"
    fi
}

# exits_with CODE COMMAND...
exits_with() {
    wanted=$1 code=0
    shift
    "$@" || code=$?
    [ "$code" -eq "$wanted" ]
}

absent() {
    [ ! -e "$1" ] && [ ! -L "$1" ]
}

failed() {
    echo "FAILED ($case_name): $1" >&2
    sed 's/^/    /' "$work/log" >&2
    exit 1
}

done_with() {
    echo "$1: $passed passed, 0 failed"
}
