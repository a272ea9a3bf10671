# A real PostgreSQL with a log that tells changes. It refuses to run as root, so as root its own user runs it.

install() {
    programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    if [ -z "$programs" ] && ! have initdb; then
        # Without a server of the machine's own, which would be started and left running.
        debian postgresql-common &&
            sed -i 's/^#*create_main_cluster .*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf &&
            debian postgresql postgresql-client
        programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    fi
    [ -n "$programs" ] || programs=$(dirname "$(command -v initdb)" 2>/dev/null)
    [ -n "$programs" ] && [ -x "$programs/initdb" ] || unavailable 'needs PostgreSQL (Debian: postgresql)'
    # Tests make certificates.
    need openssl openssl
}

# as_server COMMAND…: runs it as somebody whom PostgreSQL accepts.
as_server() {
    if [ "$(id -u)" = 0 ]; then
        runuser -u postgres -- "$@"
    else
        "$@"
    fi
}

start() {
    # Its own user may not enter the project's folder.
    data=$(mktemp -d /tmp/saas-backup-postgres.XXXXXX)
    printf '%s\n' "$data" >"$run/data"
    printf 'open sesame\n' >"$data/password"
    [ "$(id -u)" != 0 ] || chown -R postgres "$data"
    as_server "$programs/initdb" -D "$data/db" -U postgres -A scram-sha-256 --pwfile="$data/password" -E UTF8 \
        --locale=C --no-sync >>"$log" 2>&1 9>&- || return
    launch_server || return
    tell HOST 127.0.0.1
    tell PORT "$port"
    tell USERNAME postgres
    tell PASSWORD 'open sesame'
    tell DATABASE shop
    tell PROGRAMS "$programs"
}

launch_server() {
    local begin=()
    [ "$(id -u)" != 0 ] || begin=(runuser -u postgres --)
    launch "${begin[@]}" "$programs/postgres" -D "$data/db" -h 127.0.0.1 -p "$port" -k '' -c wal_level=logical \
        -c max_replication_slots=64 -c max_wal_senders=64 -c max_connections=200 -c max_prepared_transactions=8 -c fsync=off -c log_min_messages=error
    local deadline=$((SECONDS + 60))
    while [ $SECONDS -lt $deadline ]; do
        alive || return 1
        "$programs/pg_isready" -q -h 127.0.0.1 -p "$port" && return
        sleep 0.1
    done
    return 1
}

seed() {
    local client=(env PGPASSWORD='open sesame' "$programs/psql" -q -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$port" -U postgres)
    "${client[@]}" -c 'CREATE DATABASE shop' postgres &&
        "${client[@]}" -o /dev/null -f "$root/saas-backup-connectors/tests/it/live_postgres/shop.sql" shop
}

stop() {
    terminate
    [ ! -s "$run/data" ] || rm -rf "$(cat "$run/data")"
}
