# The same in the profiles `core` and `incremental`.

install() { need python3 python3; }

start() {
    launch python3 "$root/examples/other-languages/incremental.py" --port "$port"
    wait_for "$port" /.well-known/open-export || return
    tell URL "http://127.0.0.1:$port"
    tell TOKEN tok_ann
    tell LISTS_TOKEN tok_lists
}

# Tests write what they need.
seed() { :; }
stop() { terminate; }
