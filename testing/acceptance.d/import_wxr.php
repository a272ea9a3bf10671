<?php
/**
 * import_wxr.php FOLDER TOOLKIT FILE…: imports files of WXR into the WordPress in the folder with the reader and the importer of
 * php-toolkit, and prints as JSON what they counted and what they refused. What the importer passes over although its
 * reader hands it over, or does other than WordPress's own importer, is put right at the hooks that both share.
 */

use WordPress\DataLiberation\Importer\EntityImporter;
use WordPress\DataLiberation\Importer\StreamImporter;

require __DIR__ . '/../seed/wordpress-load.php';
require "phar://$argv[2]/vendor/autoload.php";

$told = array( 'imported' => array(), 'refused' => array() );
foreach ( array( 'failed_user', 'failed_term', 'failed_post', 'already_imported_term', 'already_imported_post', 'already_imported_comment' ) as $event ) {
	add_action(
		"wxr_importer_process_$event",
		function ( $about, $data = null ) use ( $event, &$told ) {
			$data              = $data ?? $about;
			$told['refused'][] = array( $event, $data['user_login'] ?? $data['slug'] ?? $data['post_title'] ?? $data['comment_content'] );
		},
		10,
		2
	);
}
add_action(
	'doing_it_wrong_run',
	function ( $function, $message ) use ( &$told ) {
		$told['refused'][] = array( $function, $message );
	},
	10,
	2
);

// To translate addresses in texts it needs the HTML API of WordPress 6.7: texts pass it by, and arrive as they are.
$texts = array( 'post_content' => true, 'post_excerpt' => true );
add_filter(
	'data_liberation.stream_importer.preprocess_entity',
	function ( $entity ) use ( $texts ) {
		$data = $entity->get_data();
		$entity->set_data( array_diff_key( $data, $texts ) + array( 'texts' => array_intersect_key( $data, $texts ) ) );
		return $entity;
	}
);
add_filter( 'wxr_importer_pre_process_post', fn( $data ) => $data + $data['texts'] );
// It hands texts to functions that take backslashes away.
add_filter( 'wp_import_post_data_processed', 'wp_slash' );
// A file's place and sizes are those of the new site.
add_filter( 'import_post_meta_key', fn( $key ) => in_array( $key, array( '_wp_attached_file', '_wp_attachment_metadata' ), true ) ? false : $key );
// Links of comments would be marked by a function that gives slashes back, and get more of them.
remove_filter( 'pre_comment_content', 'wp_rel_ugc', 15 );
// It reads which terms a post has and what a category stands below, and leaves both lie.
add_action(
	'wxr_importer_processed_post',
	function ( $post, $data ) {
		$named = array();
		foreach ( $data['terms'] ?? array() as $term ) {
			$named[ $term['taxonomy'] ][] = $term['slug'];
		}
		foreach ( $named as $taxonomy => $slugs ) {
			// By its number: a name that is not known would become a new term.
			$find = fn( $slug ) => 0 === strpos( $taxonomy, 'wp_' ) ? $slug : must( get_term_by( 'slug', $slug, $taxonomy ) )->term_id;
			must( wp_set_object_terms( $post, array_map( $find, $slugs ), $taxonomy ) );
		}
	},
	10,
	2
);
$above = array();
add_action(
	'wxr_importer_processed_term',
	function ( $term, $data ) use ( &$above ) {
		if ( '' !== ( $data['parent'] ?? '' ) ) {
			$above[ $term ] = $data['parent'];
		}
	},
	10,
	2
);

/** What a person chooses where WordPress's own importer asks, and what it does with comments. */
class Importer extends EntityImporter {
	/** Whoever is there already is the author of what bears the name. */
	public function import_user( $data ) {
		$there = get_user_by( 'login', $data['user_login'] );
		if ( ! $there ) {
			return parent::import_user( $data );
		}
		$this->mapping['user'][ $data['ID'] ]              = $there->ID;
		$this->mapping['user_slug'][ $data['user_login'] ] = $there->ID;
		return false;
	}

	/** Two comments of the same name and second are two. */
	protected function comment_exists( $data ) {
		return false;
	}
}

// It writes warnings into what it is asked for.
ob_start();
// One for all files: it knows what the first ones brought.
$sink    = new Importer();
$options = array( 'source_site_url' => '', 'entity_sink' => $sink );
foreach ( array_slice( $argv, 3 ) as $file ) {
	$importer = StreamImporter::create_for_wxr_file( $file, $options );
	while ( StreamImporter::STAGE_FINISHED !== $importer->get_stage() ) {
		while ( $importer->next_step() ) {
			foreach ( $importer->get_imported_entities_counts() as $type => $count ) {
				$told['imported'][ $type ] = ( $told['imported'][ $type ] ?? 0 ) + $count;
			}
			foreach ( $importer->get_frontloading_events() as $event ) {
				if ( $event->error ) {
					$told['refused'][] = array( 'file', $event->resource_id, $event->error );
				}
			}
		}
		if ( ! $importer->advance_to_next_stage() ) {
			break;
		}
	}
}
foreach ( $above as $term => $slug ) {
	must( wp_update_term( $term, 'category', array( 'parent' => must( get_term_by( 'slug', $slug, 'category' ) )->term_id ) ) );
}
ob_end_clean();
echo wp_json_encode( $told, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE ), "\n";
