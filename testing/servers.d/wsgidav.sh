# A real WebDAV server (WsgiDAV on cheroot), open to anyone on this machine.

install() { venv=$(python_tools wsgidav); }

start() {
    mkdir -p "$run/files"
    launch "$venv/bin/wsgidav" --host=127.0.0.1 --port="$port" --root="$run/files" --auth=anonymous \
        --server=cheroot --no-config
    wait_for "$port" / || return
    tell URL "http://127.0.0.1:$port/"
    tell FOLDER "$run/files"
}

seed() { :; }
stop() { terminate; }
