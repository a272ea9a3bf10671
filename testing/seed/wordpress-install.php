<?php
/** wordpress-install.php FOLDER NAME: installs WordPress and prints an application password of its user `admin`. */

define( 'WP_INSTALLING', true );
require __DIR__ . '/wordpress-load.php';

wp_install( "Test site $argv[2]", 'admin', 'admin@example.com', true, '', 'admin' );

global $wp_rewrite;
update_option( 'permalink_structure', '/%year%/%postname%/' );
// Local time and UTC differ, and by another amount in summer.
update_option( 'timezone_string', 'Europe/Madrid' );
$wp_rewrite->init();
flush_rewrite_rules( false );

$admin = get_user_by( 'login', 'admin' );
list( $password ) = must( WP_Application_Passwords::create_new_application_password( $admin->ID, array( 'name' => 'tests' ) ) );
echo $password;
