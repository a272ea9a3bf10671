# A vendor of the Open Export Protocol that shares no code with this project's server kit, in Python.

install() { need python3 python3; }

start() {
    launch python3 "$root/examples/other-languages/minimal.py" --port "$port"
    wait_for "$port" /.well-known/open-export || return
    tell URL "http://127.0.0.1:$port"
    tell TOKEN tok_ann
}

# Tests write what they need.
seed() { :; }
stop() { terminate; }
