<?php
/** Pretty permalinks for PHP's own web server: files as they are, everything else to WordPress. */

$path = urldecode( (string) parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) );
$file = __DIR__ . $path;

// SQLite's file and whatever else begins with a dot is nobody's business.
if ( preg_match( '#/\.#', $path ) ) {
	http_response_code( 404 );
	return;
}
if ( '/' !== $path && is_file( $file ) ) {
	return false;
}
if ( '/' !== $path && is_file( rtrim( $file, '/' ) . '/index.php' ) ) {
	require rtrim( $file, '/' ) . '/index.php';
	return;
}
$_SERVER['SCRIPT_NAME'] = '/index.php';
require __DIR__ . '/index.php';
