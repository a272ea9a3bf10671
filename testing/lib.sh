# What `test`, `testing/servers` and every file in `testing/servers.d` share. Sourced by bash, never run.
#
# root   the project's folder            state  everything that is installed, started or logged
# tools  installed programs              name   the server at hand
# run    its data, gone when it stops    log    its output, kept

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
state=${SAAS_BACKUP_TEST_STATE:-$root/.testing}
tools=$state/tools
seeds=$root/testing/seed

say() { printf '%s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# Ends with 3: what is asked for cannot be had on this machine.
unavailable() {
    say "${name:-tools}: not available: $*"
    exit 3
}

# The last lines of the log, for whoever has to find out why.
failed() {
    say "${name:-tools}: $*; the end of ${log#"$root"/}:"
    tail -n 15 "$log" >&2 2>/dev/null
    exit 1
}

# debian PACKAGE…: installs packages of Debian or Ubuntu, as root only.
debian() {
    [ "$(id -u)" = 0 ] && have apt-get || return 1
    mkdir -p "$state/logs"
    local apt=(apt-get -q -y -o DPkg::Lock::Timeout=300)
    export DEBIAN_FRONTEND=noninteractive
    "${apt[@]}" install --no-install-recommends "$@" >>"$state/logs/apt.log" 2>&1 </dev/null 9>&- && return
    "${apt[@]}" update >>"$state/logs/apt.log" 2>&1 </dev/null 9>&-
    "${apt[@]}" install --no-install-recommends "$@" >>"$state/logs/apt.log" 2>&1 </dev/null 9>&-
}

# need COMMAND [PACKAGE…]: the command is there, or is installed, or the reason is given.
need() {
    local command=$1
    shift
    have "$command" && return
    [ $# -gt 0 ] && debian "$@"
    hash -r
    have "$command" || unavailable "needs the command $command${1:+ (Debian: $*)}"
}

# once KEY FUNCTION: fills a folder of `tools` one time; prints its path. The function finds it in $1.
once() {
    local folder=$tools/$1 fill=$2
    if [ ! -e "$folder/.complete" ]; then
        rm -rf "$folder"
        mkdir -p "$folder"
        "$fill" "$folder" >>"$log" 2>&1 </dev/null 9>&- || failed "the installation failed"
        touch "$folder/.complete"
    fi
    printf '%s\n' "$folder"
}

# python_tools NAME: a virtual environment with testing/requirements/NAME.txt; prints its path.
python_tools() {
    requirements=$root/testing/requirements/$1.txt
    need python3 python3 python3-venv
    python3 -c 'import ensurepip, venv' 2>/dev/null || debian python3-venv || unavailable "needs Python's venv"
    fill_venv() {
        python3 -m venv "$1" &&
            "$1/bin/pip" install --quiet --disable-pip-version-check --no-input --requirement "$requirements"
    }
    once "$1-$(cksum <"$requirements" | tr -d ' ')" fill_venv
}

# A port that nobody listens on at this moment. Another process may be faster: who starts on it tries again.
free_port() {
    need python3 python3
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# When a process began: with its id, this tells it from a later one that was given the same id.
# Nothing for one that has ended and only waits for its parent to take note.
began() { LC_ALL=C ps -o stat=,lstart= -p "$1" 2>/dev/null | awk '$1 !~ /^Z/ { $1 = ""; $0 = $0; $1 = $1; print }'; }

# launch COMMAND…: runs it in the background as the leader of a process group of its own.
launch() {
    set -m
    nohup "$@" >>"$log" 2>&1 </dev/null 9>&- &
    local pid=$!
    set +m
    printf '%s\n%s\n' "$pid" "$(began "$pid")" >"$run/pid"
    disown "$pid" 2>/dev/null
    return 0
}

# alive: the leader that `launch` started is running.
alive() {
    local pid start
    [ -s "$run/pid" ] || return 1
    { read -r pid && read -r start; } <"$run/pid"
    [ -n "$start" ] && [ "$(began "$pid")" = "$start" ]
}

# group_runs ID: a process of the group has not ended.
group_runs() { ps -eo pgid=,stat= | awk -v group="$1" '$1 == group && $2 !~ /^Z/ { found = 1 } END { exit !found }'; }

# terminate: ends the process group that `launch` started, workers included, and nothing else.
terminate() {
    local pid start now
    [ -s "$run/pid" ] || return 0
    { read -r pid && read -r start; } <"$run/pid"
    now=$(began "$pid")
    # An id that now belongs to another process is not ours. A group whose leader is gone still is:
    # no system gives an id away while a group bears it.
    [ -z "$now" ] || [ "$now" = "$start" ] || return 0
    kill -TERM -- "-$pid" 2>/dev/null || return 0
    for _ in $(seq 50); do
        group_runs "$pid" || return 0
        sleep 0.1
    done
    kill -KILL -- "-$pid" 2>/dev/null
    return 0
}

# answers PORT PATH: a request for PATH gets any HTTP status.
answers() {
    local line=
    { exec 3<>"/dev/tcp/127.0.0.1/$1"; } 2>/dev/null || return 1
    printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1:%s\r\n\r\n' "$2" "$1" >&3 2>/dev/null
    IFS= read -r -t 20 line <&3
    exec 3>&-
    [[ $line == HTTP/* ]]
}

# wait_for PORT PATH: up to 60 seconds; fails at once when the process ends.
wait_for() {
    local deadline=$((SECONDS + 60))
    while [ $SECONDS -lt $deadline ]; do
        alive || return 1
        if answers "$1" "$2"; then
            alive
            return
        fi
        sleep 0.1
    done
    return 1
}

# tell SUFFIX VALUE: becomes `export SAAS_BACKUP_TEST_<NAME>_<SUFFIX>=…` for whoever starts the server.
tell() {
    local upper quoted
    upper=$(tr 'a-z-' 'A-Z_' <<<"$name")
    quoted=$(sed "s/'/'\\\\''/g" <<<"$2")
    printf "export SAAS_BACKUP_TEST_%s_%s='%s'\n" "$upper" "$1" "$quoted" >>"$run/env.new"
}
