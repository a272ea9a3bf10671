# A real WordPress 6.5 on SQLite behind PHP's own web server, with content of every kind the API shows.

builds=0.9.19
release=6.5

install() { install_wordpress; }

install_wordpress() {
    need npm npm
    need python3 python3
    need php php-cli
    php_has() { php -r 'exit(array_diff(["pdo_sqlite", "gd", "dom", "mbstring"], get_loaded_extensions()) ? 1 : 0);'; }
    php_has || debian php-sqlite3 php-gd php-xml php-mbstring
    php_has || unavailable "needs PHP with the extensions pdo_sqlite, gd, dom and mbstring"
    fill_wordpress() (
        cd "$1" &&
            npm pack "@wp-playground/wordpress-builds@$builds" &&
            python3 - "$release" <<'PYTHON' && rm ./*.tgz
import glob, io, sys, tarfile, zipfile

with tarfile.open(glob.glob("*.tgz")[0]) as package:
    for path, target in [
        (f"wordpress/wp-{sys.argv[1]}.zip", "."),
        ("sqlite-database-integration/sqlite-database-integration.zip", "wp-content/plugins"),
    ]:
        content = package.extractfile(f"package/src/{path}").read()
        zipfile.ZipFile(io.BytesIO(content)).extractall(target)
PYTHON
        mv wp-content/plugins/sqlite-database-integration-main wp-content/plugins/sqlite-database-integration &&
            cp wp-content/plugins/sqlite-database-integration/db.copy wp-content/db.php &&
            rm -rf wp-config.php wp-content/database
    )
    release_folder=$(once "wordpress-$release-$builds" fill_wordpress) || exit
}

start() {
    url=http://127.0.0.1:$port
    site=$run/site
    cp -R "$release_folder" "$site" &&
        sed "s#{URL}#$url#" "$seeds/wordpress-config.php" >"$site/wp-config.php" &&
        cp "$seeds/wordpress-router.php" "$site/router.php" || return
    password=$(php "$seeds/wordpress-install.php" "$site" "$name" 2>>"$log") || return
    # Without workers one request at a time is served; each worker has its own copy of the compiled code.
    export PHP_CLI_SERVER_WORKERS=4
    launch php -d opcache.enable_cli=1 -d upload_max_filesize=64M -d post_max_size=64M \
        -d display_errors=0 -S "127.0.0.1:$port" -t "$site" "$site/router.php"
    wait_for "$port" /wp-json/ || return
    tell URL "$url"
    tell USER admin
    tell PASSWORD "$password"
}

seed() {
    php "$seeds/wordpress.php" "$site" >"$run/seeded.json" || return
    tell SEEDED "$run/seeded.json"
    tell AUTHOR_USER author
    tell AUTHOR_PASSWORD "$(php -r 'echo json_decode(file_get_contents($argv[1]))->author_password;' "$run/seeded.json")"
}

stop() { terminate; }
