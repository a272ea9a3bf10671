<?php
/** The configuration of a WordPress on SQLite that listens on this machine alone. {URL} is filled in at the start. */

define( 'DB_DIR', __DIR__ . '/wp-content/database/' );
define( 'DB_FILE', '.ht.sqlite' );
define( 'DB_NAME', 'wordpress' );
define( 'DB_USER', '' );
define( 'DB_PASSWORD', '' );
define( 'DB_HOST', '' );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'DB_COLLATE', '' );

foreach ( array( 'AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE' ) as $name ) {
	define( $name . '_KEY', "test-$name-key" );
	define( $name . '_SALT', "test-$name-salt" );
}

define( 'WP_HOME', '{URL}' );
define( 'WP_SITEURL', '{URL}' );

// Application passwords over plain HTTP are allowed in a local environment only.
define( 'WP_ENVIRONMENT_TYPE', 'local' );
define( 'WP_HTTP_BLOCK_EXTERNAL', true );
define( 'AUTOMATIC_UPDATER_DISABLED', true );
// Nothing may change by itself: a scheduled post stays scheduled.
define( 'DISABLE_WP_CRON', true );
define( 'FS_METHOD', 'direct' );
define( 'EMPTY_TRASH_DAYS', 30 );

$table_prefix = 'wp_';

if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', __DIR__ . '/' );
}
require_once ABSPATH . 'wp-settings.php';
