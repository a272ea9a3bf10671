# Google Cloud Storage as fake-gcs-server serves it, in memory, without credentials. The uploads of the XML API, which it
# does not have, are translated (testing/seed/gcs_xml.py).

install() {
    venv=$(python_tools fakegcs) || exit
    server=$(find "$venv/lib" -name 'fake-gcs-server-linux-amd64' -type f | head -n 1)
    [ "$(uname -sm)" = 'Linux x86_64' ] && [ -n "$server" ] || unavailable "its package holds a program for Linux on x86_64 only"
    chmod +x "$server"
}

start() {
    local inner
    inner=$(free_port) || return
    launch python3 "$seeds/gcs_xml.py" "$port" "$inner" "$server" -scheme http -host 127.0.0.1 -backend memory \
        -public-host "127.0.0.1:$inner" -external-url "http://127.0.0.1:$port"
    wait_for "$port" /storage/v1/b || return
    tell URL "http://127.0.0.1:$port"
    tell BUCKET backup
}

seed() { python3 "$seeds/store.py" gcs "http://127.0.0.1:$port" backup; }
stop() { terminate; }
