# A mail server (aiosmtpd) that encrypts, wants a login and keeps mails in a folder.

install() {
    venv=$(python_tools smtp)
    need openssl openssl
}

start() {
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -addext basicConstraints=critical,CA:FALSE -keyout "$run/key.pem" -out "$run/certificate.pem" >>"$log" 2>&1 || return
    tls_port=$(free_port) || return
    launch "$venv/bin/python" "$seeds/smtp.py" "$port" "$tls_port" "$run" 'open sesame'
    local deadline=$((SECONDS + 60))
    until [ -e "$run/ready" ]; do
        alive && [ $SECONDS -lt $deadline ] || return 1
        sleep 0.1
    done
    tell PORT "$port"
    tell TLS_PORT "$tls_port"
    tell USERNAME me
    tell PASSWORD 'open sesame'
    tell CA_FILE "$run/certificate.pem"
    tell FOLDER "$run/mails"
}

seed() { :; }
stop() { terminate; }
