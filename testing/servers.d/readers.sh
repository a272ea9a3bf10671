# No server: programs, and a Python with libraries, that read open formats and that nobody here wrote. Checks of exports
# run in it.

install() {
    need doveadm dovecot-core
    need git git
    need hugo hugo
    need notmuch notmuch
    need chromium chromium
    need zstd zstd
    venv=$(python_tools readers)
}

start() { tell PYTHON "$venv/bin/python"; }

seed() { :; }
stop() { :; }
