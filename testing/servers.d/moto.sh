# S3 as moto serves it: versions, conditional requests, multipart uploads; any signature is accepted.

install() { venv=$(python_tools moto); }

start() {
    launch "$venv/bin/moto_server" -H 127.0.0.1 -p "$port"
    wait_for "$port" /moto-api/ || return
    tell URL "http://127.0.0.1:$port"
    tell BUCKET backup
    tell LOCKED_BUCKET locked
    tell DEFAULT_BUCKET default
    tell DENIED_BUCKET denied
    tell REGION us-east-1
    tell ACCESS_KEY_ID test
    tell SECRET_ACCESS_KEY test
}

seed() {
    python3 "$seeds/store.py" s3 "http://127.0.0.1:$port" backup &&
        python3 "$seeds/store.py" s3-locked "http://127.0.0.1:$port" locked &&
        python3 "$seeds/store.py" s3-default "http://127.0.0.1:$port" default &&
        python3 "$seeds/store.py" s3-denied "http://127.0.0.1:$port" denied
}

stop() { terminate; }
