# A real Kinto, a store of JSON records with timestamps and tombstones, in memory; pages hold ten records.

install() { venv=$(python_tools kinto); }

start() {
    launch "$venv/bin/kinto" start --ini "$seeds/kinto.ini" --port "$port"
    wait_for "$port" /v1/ || return
    tell URL "http://127.0.0.1:$port/v1"
}

# Tests make accounts of their own: anybody may.
seed() { :; }
stop() { terminate; }
