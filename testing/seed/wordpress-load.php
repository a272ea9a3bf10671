<?php
/** Loads the WordPress in the folder $argv[1] on the command line, as its administrator. */

$_SERVER['HTTP_HOST']       = '127.0.0.1';
$_SERVER['SERVER_PROTOCOL'] = 'HTTP/1.1';
$_SERVER['REQUEST_METHOD']  = 'GET';

/** Ends the script with the reason if a call of WordPress failed; else returns its result. */
function must( $result ) {
	if ( is_wp_error( $result ) ) {
		fwrite( STDERR, $result->get_error_message() . "\n" );
		exit( 1 );
	}
	if ( ! $result ) {
		fwrite( STDERR, ( new Exception( 'a call failed' ) )->getTraceAsString() . "\n" );
		exit( 1 );
	}
	return $result;
}

require $argv[1] . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/image.php';
require_once ABSPATH . 'wp-admin/includes/user.php';

add_filter( 'pre_wp_mail', '__return_true' );

if ( is_blog_installed() ) {
	wp_set_current_user( 1 );
	kses_remove_filters();
	// One transaction: a seed is thousands of statements, each of which would wait for the disk.
	$GLOBALS['wpdb']->query( 'START TRANSACTION' );
	register_shutdown_function(
		function () {
			$GLOBALS['wpdb']->query( 'COMMIT' );
		}
	);
}
