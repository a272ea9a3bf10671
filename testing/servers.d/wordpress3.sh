# A third WordPress, without any content and with a reader of WXR that nobody here wrote: the importer of php-toolkit, the
# WordPress project's own, as its Blueprint runner carries it. The importer that the dashboard offers is in no registry.

. "$root/testing/servers.d/wordpress.sh"

runner=1.2.0

install() {
    install_wordpress
    php -r 'exit(extension_loaded("phar") ? 0 : 1);' || unavailable 'needs PHP with the extension phar'
    fill_toolkit() (
        cd "$1" && npm pack "@wp-playground/blueprints@$runner" &&
            tar -xzf ./*.tgz --strip-components 1 package/blueprints.phar && rm ./*.tgz
    )
    toolkit=$(once "blueprints-$runner" fill_toolkit)/blueprints.phar || exit
}

seed() {
    php "$seeds/wordpress-empty.php" "$site" || return
    tell FOLDER "$site"
    tell TOOLKIT "$toolkit"
}
