# S3 from this project (testing/s3-server): signatures are enforced, conditional creation is honoured.

key_id=backup-writer

install() {
    need cargo
    # Built anew each time: cargo sees what changed, and the first line that names a program is its path.
    program=$(cd "$root" && cargo build --package s3-server --locked --message-format json 2>>"$log" 9>&- |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | head -n 1)
    [ -n "$program" ] || failed "the installation failed"
}

start() {
    local secret
    secret=$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')
    mkdir -p "$run/files"
    S3_SERVER_ACCESS_KEY_ID=$key_id S3_SERVER_SECRET_ACCESS_KEY=$secret launch "$program" "$port" "$run/files" backup
    wait_for "$port" / || return
    tell URL "http://127.0.0.1:$port"
    tell BUCKET backup
    tell REGION us-east-1
    tell ACCESS_KEY_ID "$key_id"
    tell SECRET_ACCESS_KEY "$secret"
}

# The bucket is made at the start. Whoever does not sign is refused: that is what this server is for.
seed() {
    python3 - "http://127.0.0.1:$port/backup?list-type=2" <<'PYTHON'
import sys, urllib.error, urllib.request

try:
    urllib.request.urlopen(sys.argv[1], timeout=30)
    sys.exit("an unsigned request was served")
except urllib.error.HTTPError as refusal:
    print(f"an unsigned request: {refusal.code}")
    sys.exit(refusal.code != 403)
PYTHON
}

stop() { terminate; }
