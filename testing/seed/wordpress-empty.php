<?php
/** wordpress-empty.php FOLDER: removes the posts, pages and comments that a new WordPress comes with. */

require __DIR__ . '/wordpress-load.php';

$everything = array(
	'post_type'   => 'any',
	'post_status' => 'any',
	'numberposts' => -1,
);
foreach ( get_posts( $everything ) as $post ) {
	must( wp_delete_post( $post->ID, true ) );
}
