<?php
/** Goes into wp-content/mu-plugins of a test site. Notes every request of the API in `requests.log` beside the site. */

$line = $_SERVER['REQUEST_METHOD'] . ' ' . $_SERVER['REQUEST_URI'] . "\n";
file_put_contents( dirname( ABSPATH ) . '/requests.log', $line, FILE_APPEND | LOCK_EX );
