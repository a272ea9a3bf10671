<?php
/**
 * wordpress.php FOLDER: fills a new WordPress with content of every kind, the same each time, and prints as JSON
 * what there is then: counts by type and status, and the ids of what tests ask for by name.
 */

require __DIR__ . '/wordpress-load.php';

/** Inserts a post of any type. Text goes through wp_slash because WordPress takes slashes away. */
function seed_post( array $post ): int {
	$post += array(
		'post_status' => 'publish',
		'post_author' => 1,
	);
	return must( wp_insert_post( wp_slash( $post ), true ) );
}

function seed_term( string $name, string $taxonomy, array $arguments = array() ): int {
	return must( wp_insert_term( $name, $taxonomy, $arguments ) )['term_id'];
}

function seed_comment( array $comment ): int {
	$comment += array(
		'comment_author'       => 'Reader',
		'comment_author_email' => 'reader@example.com',
		'comment_approved'     => 1,
		'comment_date'         => '2024-08-01 12:00:00',
	);
	return must( wp_insert_comment( wp_slash( $comment ) ) );
}

/** A picture whose bytes follow from its size and seed. */
function seed_png( int $width, int $height, int $seed ): string {
	$rows = '';
	for ( $y = 0; $y < $height; $y++ ) {
		$rows .= "\0";
		for ( $x = 0; $x < $width; $x++ ) {
			$rows .= pack( 'C3', ( $x * $seed + $y ) % 256, ( $x + $y * $seed ) % 256, ( $x ^ $y ) % 256 );
		}
	}
	$chunk = fn( $type, $data ) => pack( 'N', strlen( $data ) ) . $type . $data . pack( 'N', crc32( $type . $data ) );
	return "\x89PNG\r\n\x1a\n" . $chunk( 'IHDR', pack( 'NNC5', $width, $height, 8, 2, 0, 0, 0 ) )
		. $chunk( 'IDAT', gzcompress( $rows ) ) . $chunk( 'IEND', '' );
}

/** The smallest PDF that readers open: one page with one line. */
function seed_pdf( string $text ): string {
	$stream  = "BT /F1 24 Tf 72 720 Td ($text) Tj ET";
	$objects = array(
		'<< /Type /Catalog /Pages 2 0 R >>',
		'<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
		'<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
		'<< /Length ' . strlen( $stream ) . " >>\nstream\n$stream\nendstream",
		'<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
	);
	$pdf     = "%PDF-1.4\n";
	$offsets = array();
	foreach ( $objects as $index => $object ) {
		$offsets[] = strlen( $pdf );
		$pdf      .= ( $index + 1 ) . " 0 obj\n$object\nendobj\n";
	}
	$start = strlen( $pdf );
	$pdf  .= "xref\n0 " . ( count( $objects ) + 1 ) . "\n0000000000 65535 f \n";
	foreach ( $offsets as $offset ) {
		$pdf .= sprintf( "%010d 00000 n \n", $offset );
	}
	return $pdf . 'trailer << /Size ' . ( count( $objects ) + 1 ) . " /Root 1 0 R >>\nstartxref\n$start\n%%EOF\n";
}

$media_digests = array();

/** Uploads a file as a person would: the file, its record, its smaller pictures. */
function seed_media( string $file, string $bytes, array $post = array(), string $alt = '' ): int {
	global $media_digests;
	$upload = wp_upload_bits( $file, null, $bytes, '2024/03' );
	if ( $upload['error'] ) {
		must( new WP_Error( 'upload', $upload['error'] ) );
	}
	$post += array(
		'post_title'     => pathinfo( $file, PATHINFO_FILENAME ),
		'post_mime_type' => $upload['type'],
		'post_status'    => 'inherit',
		'post_author'    => 1,
		'post_date'      => '2024-03-01 09:00:00',
	);
	$id = must( wp_insert_attachment( wp_slash( $post ), $upload['file'], $post['post_parent'] ?? 0, true ) );
	wp_update_attachment_metadata( $id, wp_generate_attachment_metadata( $id, $upload['file'] ) );
	if ( '' !== $alt ) {
		update_post_meta( $id, '_wp_attachment_image_alt', wp_slash( $alt ) );
	}
	$media_digests[ $id ] = hash( 'sha256', $bytes );
	return $id;
}

function paragraph( string $html ): string {
	return "<!-- wp:paragraph -->\n<p>$html</p>\n<!-- /wp:paragraph -->\n\n";
}

function image_block( int $id ): string {
	$url = wp_get_attachment_url( $id );
	return "<!-- wp:image {\"id\":$id,\"sizeSlug\":\"full\",\"linkDestination\":\"none\"} -->\n"
		. "<figure class=\"wp-block-image size-full\"><img src=\"$url\" alt=\"\" class=\"wp-image-$id\"/></figure>\n<!-- /wp:image -->";
}

$ids = array();

// People, one of each role; two can log in through the API.
$users = array();
foreach ( array( 'editor', 'author', 'contributor', 'subscriber' ) as $role ) {
	$users[ $role ] = must(
		wp_insert_user(
			array(
				'user_login'   => $role,
				'user_pass'    => wp_generate_password(),
				'user_email'   => "$role@example.com",
				'display_name' => 'author' === $role ? 'Zoë Ångström' : ucfirst( $role ),
				'description'  => "A person with the role $role.",
				'role'         => $role,
			)
		)
	);
}
list( $author_password ) = must(
	WP_Application_Passwords::create_new_application_password( $users['author'], array( 'name' => 'tests' ) )
);

// Categories three levels deep, one name under two parents, one without posts; tags.
$news    = seed_term( 'News', 'category', array( 'description' => 'What is new & what is not' ) );
$science = seed_term( 'Science', 'category', array( 'parent' => $news ) );
$space   = seed_term( 'Space', 'category', array( 'parent' => $science ) );
$sport   = seed_term( 'Sport', 'category' );
$local   = seed_term( 'Local', 'category', array( 'parent' => $news, 'slug' => 'news-local' ) );
$local2  = seed_term( 'Local', 'category', array( 'parent' => $sport, 'slug' => 'sport-local' ) );
$nothing = seed_term( 'Ünused “quotes” & <angles>', 'category' );
$tags    = array();
foreach ( array( 'alpha', 'beta', '日本語', 'עברית', 'c++', 'emoji 🎉' ) as $tag ) {
	$tags[] = seed_term( $tag, 'post_tag' );
}

// Media: pictures with smaller copies and without, a document, plain text, a name that is not ASCII.
$picture  = seed_media( 'large.png', seed_png( 1200, 800, 3 ), array( 'post_excerpt' => 'A caption with “quotes”', 'post_content' => 'A description.' ), 'stripes, many of them' );
$small    = seed_media( 'small.png', seed_png( 64, 64, 5 ) );
$second   = seed_media( 'second.png', seed_png( 400, 300, 7 ) );
$unicode  = seed_media( 'größe-日本.png', seed_png( 32, 32, 11 ), array( 'post_title' => 'Größe 日本' ) );
$document = seed_media( 'paper.pdf', seed_pdf( 'One page' ) );
$text     = seed_media( 'notes.txt', "Plain text, two lines.\nΔεύτερη γραμμή ✓\n" );
$ids     += compact( 'picture', 'small', 'second', 'unicode', 'document', 'text' );

// A block that several posts share.
$ids['block'] = seed_post(
	array(
		'post_type'    => 'wp_block',
		'post_title'   => 'Signature',
		'post_content' => paragraph( 'Yours, <strong>the test site</strong>' ),
		'post_date'    => '2024-02-01 08:00:00',
	)
);

// Sixty plain posts: several pages of any size; three in ten share their second with another.
for ( $number = 1; $number <= 60; $number++ ) {
	$second_of = $number % 10 < 3 ? '00' : sprintf( '%02d', $number % 60 );
	$posts[]   = seed_post(
		array(
			'post_title'    => "Post $number",
			'post_name'     => "post-$number",
			'post_content'  => paragraph( "Body of post $number, with <em>markup</em> &amp; entities." ),
			'post_excerpt'  => 0 === $number % 4 ? "Excerpt of $number" : '',
			'post_author'   => array( 1, $users['editor'], $users['author'] )[ $number % 3 ],
			'post_date'     => sprintf( '2024-%02d-%02d 10:00:%s', 1 + intdiv( $number, 10 ), 1 + intdiv( $number % 28, 3 ), $second_of ),
			'post_category' => array( array( $news, $science, $space, $sport, $local, $local2 )[ $number % 6 ] ),
			'tags_input'    => array( $tags[ $number % 6 ] ),
		)
	);
}
set_post_thumbnail( $posts[0], $picture );
set_post_thumbnail( $posts[1], $small );
stick_post( $posts[2] );
wp_update_post( array( 'ID' => $document, 'post_parent' => $posts[3] ) );

// What text can do to a careless program.
$texts = array(
	'emoji'      => array( 'Emoji 😀 👩‍👩‍👧‍👦 🇪🇺', 'A family 👩‍👩‍👧‍👦, a flag 🇪🇺, a skin tone 👍🏽 and a plane beyond: 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𠮷' ),
	'rtl'        => array( 'مرحبا بالعالم', 'שלום <strong>עולם</strong>, mixed with English and العربية 123.' ),
	'cjk'        => array( '日本語の題名', '漢字かな交じり文。中文內容。한국어 내용.' ),
	'combining'  => array( "Cafe\u{301} and Caf\u{e9}", "Decomposed e\u{301}, composed \u{e9}; zero width:\u{200b}|\u{200d}|; no break:\u{a0}." ),
	'markup'     => array( '<em>Markup</em> & "quotes" in a title', '5 &lt; 6 &amp;&amp; <code>a\\b\\\\c</code> <script>alert("kept as written")</script>' ),
	'backslash'  => array( 'C:\\path\\new', 'Backslashes \\n \\" \\\\ stay as they are; %20 and %s too.' ),
	'whitespace' => array( '  Spaces   around  ', "Line one\r\nLine two\n\n\n\nAfter three empty lines\ttab" ),
	'long'       => array( str_repeat( 'A very long title ', 20 ), paragraph( str_repeat( 'Lorem ipsum dolor sit amet. ', 4000 ) ) ),
	'untitled'   => array( '', 'A post without a title.' ),
	'formula'    => array( '=HYPERLINK("http://example.com")', '-1+1 and @SUM(A1:A2) begin cells that a spreadsheet would run.' ),
);
$day = 1;
foreach ( $texts as $key => list( $title, $body ) ) {
	$ids[ $key ] = seed_post(
		array(
			'post_title'   => $title,
			'post_name'    => "text-$key",
			'post_content' => 'whitespace' === $key || 'long' === $key ? $body : paragraph( $body ),
			'post_date'    => sprintf( '2024-09-%02d 10:00:00', $day++ ),
		)
	);
}

// What refers to other objects: pictures by address and by id, links, the shared block.
$ids['rich'] = seed_post(
	array(
		'post_title'    => 'Pictures and links',
		'post_name'     => 'pictures-and-links',
		'post_date'     => '2024-10-01 10:00:00',
		'post_category' => array( $space ),
		'post_content'  => image_block( $picture ) . "\n\n"
			. '<!-- wp:gallery {"linkTo":"none"} -->' . "\n"
			. '<figure class="wp-block-gallery has-nested-images columns-default is-cropped">' . image_block( $small ) . "\n\n" . image_block( $second )
			. "</figure>\n<!-- /wp:gallery -->\n\n"
			. '<!-- wp:file {"id":' . $document . ',"href":"' . wp_get_attachment_url( $document ) . '"} -->' . "\n"
			. '<div class="wp-block-file"><a href="' . wp_get_attachment_url( $document ) . '">paper</a></div>' . "\n<!-- /wp:file -->\n\n"
			. paragraph( 'See <a href="' . get_permalink( $posts[4] ) . '">another post</a>, <a href="' . home_url( '/?p=' . $posts[5] ) . '">one by number</a> and <a href="https://example.org/">elsewhere</a>.' )
			. '<!-- wp:block {"ref":' . $ids['block'] . "} /-->\n\n"
			. '<!-- wp:table --><figure class="wp-block-table"><table><tbody><tr><td>a</td><td>b</td></tr></tbody></table></figure><!-- /wp:table -->' . "\n\n"
			. '<!-- wp:code --><pre class="wp-block-code"><code>if (a &lt; b) { return "c"; }</code></pre><!-- /wp:code -->',
	)
);
$ids['classic'] = seed_post(
	array(
		'post_title'   => 'Written in the classic editor',
		'post_date'    => '2024-10-02 10:00:00',
		'post_content' => "A first paragraph.\n\nA second one.\n\n[gallery ids=\"$small,$second\"]\n\n<!--more-->\n\nThe rest.",
	)
);

// A post with a history.
$ids['revised'] = seed_post( array( 'post_title' => 'Revised', 'post_content' => paragraph( 'First version' ), 'post_date' => '2024-10-03 10:00:00' ) );
foreach ( array( 'Second version', 'Third version' ) as $version ) {
	must( wp_update_post( array( 'ID' => $ids['revised'], 'post_content' => paragraph( $version ) ), true ) );
}

// The other states of a post.
foreach ( array( 'draft' => 3, 'pending' => 2, 'private' => 2 ) as $status => $count ) {
	for ( $number = 1; $number <= $count; $number++ ) {
		$ids[ "$status$number" ] = seed_post(
			array(
				'post_title'   => ucfirst( $status ) . " $number",
				'post_content' => paragraph( "This post is $status." ),
				'post_status'  => $status,
				'post_author'  => $users['author'],
				'post_date'    => "2024-11-0$number 10:00:00",
			)
		);
	}
}
for ( $number = 1; $number <= 2; $number++ ) {
	$ids[ "future$number" ] = seed_post(
		array(
			'post_title'   => "Scheduled $number",
			'post_content' => paragraph( 'For the end of the century.' ),
			'post_status'  => 'future',
			'post_date'    => "2099-12-0$number 10:00:00",
		)
	);
}
for ( $number = 1; $number <= 3; $number++ ) {
	$ids[ "trash$number" ] = seed_post( array( 'post_title' => "Trashed $number", 'post_content' => paragraph( 'Thrown away.' ), 'post_date' => "2024-11-1$number 10:00:00" ) );
	must( wp_trash_post( $ids[ "trash$number" ] ) );
}
$ids['protected'] = seed_post( array( 'post_title' => 'Behind a password', 'post_content' => paragraph( 'Secret.' ), 'post_password' => 'sesame', 'post_date' => '2024-11-20 10:00:00' ) );
$ids['closed']    = seed_post( array( 'post_title' => 'Nobody may comment', 'post_content' => paragraph( 'Quiet.' ), 'comment_status' => 'closed', 'ping_status' => 'closed', 'post_date' => '2024-11-21 10:00:00' ) );

// Pages: a tree of three levels in an order of its own; one below a draft.
$pages = array();
foreach ( array( array( 'About', '', 'publish' ), array( 'Team', 'About', 'publish' ), array( 'History', 'About', 'publish' ), array( 'Founders', 'Team', 'publish' ), array( 'Plans', '', 'draft' ), array( 'Next year', 'Plans', 'private' ) ) as $order => list( $title, $parent, $status ) ) {
	$pages[ $title ] = seed_post(
		array(
			'post_type'    => 'page',
			'post_title'   => $title,
			'post_status'  => $status,
			'post_parent'  => '' === $parent ? 0 : $pages[ $parent ],
			'menu_order'   => 10 - $order,
			'post_content' => paragraph( "The page $title." ),
			'post_date'    => '2024-05-01 10:00:00',
		)
	);
}
$ids['page_root'] = $pages['About'];
$ids['page_leaf'] = $pages['Founders'];

// Comments: a thread three deep, of a member, in every state.
$thread             = seed_comment( array( 'comment_post_ID' => $posts[0], 'comment_content' => 'First! 🎈 <a href="https://example.org/">link</a>', 'comment_author' => 'Ünal' ) );
$reply              = seed_comment( array( 'comment_post_ID' => $posts[0], 'comment_content' => 'A reply', 'comment_parent' => $thread, 'user_id' => $users['author'], 'comment_author' => 'Zoë Ångström', 'comment_author_email' => 'author@example.com' ) );
$ids['comment_leaf'] = seed_comment( array( 'comment_post_ID' => $posts[0], 'comment_content' => "A reply to\nthe reply — שלום", 'comment_parent' => $reply ) );
$ids['comment_root'] = $thread;
for ( $number = 1; $number <= 15; $number++ ) {
	seed_comment( array( 'comment_post_ID' => $posts[ $number ], 'comment_content' => "Comment $number", 'comment_date' => sprintf( '2024-08-%02d 12:00:00', $number ) ) );
}
seed_comment( array( 'comment_post_ID' => $posts[1], 'comment_content' => 'Waiting for approval', 'comment_approved' => 0 ) );
$ids['comment_spam']  = seed_comment( array( 'comment_post_ID' => $posts[1], 'comment_content' => 'Buy now', 'comment_approved' => 'spam' ) );
$ids['comment_trash'] = seed_comment( array( 'comment_post_ID' => $posts[1], 'comment_content' => 'Regretted' ) );
must( wp_trash_comment( $ids['comment_trash'] ) );

// What the site is built from: a menu, a navigation, a template and a part of one that a person changed.
$menu = must( wp_create_nav_menu( 'Main menu' ) );
$item = must( wp_update_nav_menu_item( $menu, 0, array( 'menu-item-title' => 'About us', 'menu-item-object' => 'page', 'menu-item-object-id' => $pages['About'], 'menu-item-type' => 'post_type', 'menu-item-status' => 'publish' ) ) );
must( wp_update_nav_menu_item( $menu, 0, array( 'menu-item-title' => 'Team', 'menu-item-object' => 'page', 'menu-item-object-id' => $pages['Team'], 'menu-item-type' => 'post_type', 'menu-item-parent-id' => $item, 'menu-item-status' => 'publish' ) ) );
must( wp_update_nav_menu_item( $menu, 0, array( 'menu-item-title' => 'Space', 'menu-item-object' => 'category', 'menu-item-object-id' => $space, 'menu-item-type' => 'taxonomy', 'menu-item-status' => 'publish' ) ) );
must( wp_update_nav_menu_item( $menu, 0, array( 'menu-item-title' => 'Elsewhere', 'menu-item-url' => 'https://example.org/', 'menu-item-status' => 'publish' ) ) );
$ids['menu']       = $menu;
$ids['navigation'] = seed_post(
	array(
		'post_type'    => 'wp_navigation',
		'post_title'   => 'Header navigation',
		'post_date'    => '2024-02-02 08:00:00',
		'post_content' => '<!-- wp:navigation-link {"label":"About","type":"page","id":' . $pages['About'] . ',"url":"' . get_permalink( $pages['About'] ) . '","kind":"post-type"} /-->',
	)
);
foreach ( array( 'wp_template_part' => 'footer', 'wp_template' => 'single' ) as $type => $name ) {
	$ids[ $type ] = seed_post(
		array(
			'post_type'    => $type,
			'post_name'    => $name,
			'post_title'   => ucfirst( $name ),
			'post_date'    => '2024-02-03 08:00:00',
			'post_content' => paragraph( "Our own $name" ) . ( 'wp_template' === $type ? '<!-- wp:post-content /-->' : '' ),
		)
	);
	must( wp_set_post_terms( $ids[ $type ], get_stylesheet(), 'wp_theme' ) );
}
must( wp_set_post_terms( $ids['wp_template_part'], 'footer', 'wp_template_part_area' ) );

// What there is now, as the database says.
$counts = array();
foreach ( $GLOBALS['wpdb']->get_results( "SELECT post_type, post_status, COUNT(*) AS n FROM {$GLOBALS['wpdb']->posts} GROUP BY post_type, post_status ORDER BY post_type, post_status" ) as $row ) {
	$counts[ $row->post_type ][ $row->post_status ] = (int) $row->n;
}
$comments = array();
foreach ( $GLOBALS['wpdb']->get_results( "SELECT comment_approved, COUNT(*) AS n FROM {$GLOBALS['wpdb']->comments} GROUP BY comment_approved ORDER BY comment_approved" ) as $row ) {
	$comments[ array( '0' => 'hold', '1' => 'approved' )[ $row->comment_approved ] ?? $row->comment_approved ] = (int) $row->n;
}
echo wp_json_encode(
	array(
		'posts'           => $counts,
		'comments'        => $comments,
		'categories'      => (int) wp_count_terms( array( 'taxonomy' => 'category', 'hide_empty' => false ) ),
		'tags'            => (int) wp_count_terms( array( 'taxonomy' => 'post_tag', 'hide_empty' => false ) ),
		'users'           => count( get_users() ),
		'media_sha256'    => $media_digests,
		'ids'             => $ids,
		'author_password' => $author_password,
	),
	JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE
), "\n";
