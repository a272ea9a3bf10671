# What scripts share that drive the command against real servers. Sourced by bash, never run; testing/lib.sh comes first.
#
# program  the command                  work  a folder of its own for each STORE: saas-backup.toml, and what was printed
# url      the site's address           user, password  who may change it

chapter() { printf '\n%s\n' "$*"; }
ok() { printf '  ok    %s\n' "$*"; }
fail() {
    printf '  FAILED  %s\n' "$*"
    exit 1
}

# same WHAT ACTUAL EXPECTED
same() {
    [ "$2" = "$3" ] || fail "$1"$'\n'"          expected: $3"$'\n'"          found:    $2"
    ok "$1: $(head -c 100 <<<"$2" | head -n 1)"
}

# holds WHAT TEST…: an arithmetic or other test of bash's.
holds() {
    local what=$1
    shift
    "$@" || fail "$what ($*)"
    ok "$what"
}

# run CODE STORE ARGUMENT…: the command with the configuration of one repository; what it prints is in $out.
run() {
    local expected=$1 store=$2 code=0
    shift 2
    out=$work/$store/out.json
    "$program" --config "$work/$store/saas-backup.toml" --json "$@" >"$out" 2>"$work/$store/stderr" </dev/null || code=$?
    { printf '\n$ saas-backup %s  (%s: %s)\n' "$*" "$store" "$code"; head -c 4000 "$work/$store/stderr"; } >>"$log"
    [ "$code" = "$expected" ] && return
    cat "$work/$store/stderr" >&2
    jq -c 'del(.report)' "$out" 2>/dev/null | head -c 2000 >&2
    jq -c '.report | {status, reviews, refused: .refused[:5], gaps: .gaps[:5], losses, feeds: (.feeds | map_values(select(.problem)))}' "$out" 2>/dev/null | head -c 3000 >&2
    fail "saas-backup $* ended with $code, and should with $expected ($store)"
}

# of FILTER: a value of what the last command printed; several objects are an array.
of() { jq -r "$1" "$out"; }
all_of() { jq -s -r "$1" "$out"; }

# api METHOD PATH [CURL ARGUMENT…]
api() {
    curl --silent --show-error --fail-with-body --user "$user:$password" --request "$1" "$url/wp-json/wp/v2/$2" "${@:3}" ||
        fail "the site refuses $1 $2"
}
send() { api "$1" "$2" --header 'Content-Type: application/json' --data "$3"; }
