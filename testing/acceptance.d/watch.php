<?php
/**
 * Goes into wp-content/mu-plugins of a test site. Notes every request of the API in `requests.log` beside the site, and
 * keeps those waiting whose address contains the text in the file `hold`, for as long as that file is there.
 */

$beside  = dirname( ABSPATH );
$request = $_SERVER['REQUEST_METHOD'] . ' ' . $_SERVER['REQUEST_URI'];
file_put_contents( "$beside/requests.log", "$request\n", FILE_APPEND | LOCK_EX );
for ( ;; ) {
	$held = trim( (string) @file_get_contents( "$beside/hold" ) );
	if ( '' === $held || ! str_contains( $request, $held ) ) {
		break;
	}
	usleep( 20000 );
}
