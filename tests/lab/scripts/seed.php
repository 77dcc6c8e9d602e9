<?php
/*
 * Installs WordPress through its own wp_install() and fills it: php seed.php DOCROOT URL PASSWORD
 * Runs once, while the template is built, as the site's owner.
 */

[ , $root, $url, $password ] = $argv;
$_SERVER['HTTP_HOST']        = parse_url( $url, PHP_URL_HOST );
$_SERVER['REQUEST_URI']      = '/';
$_SERVER['REQUEST_METHOD']   = 'GET';
$_SERVER['SERVER_PROTOCOL']  = 'HTTP/1.1';
define( 'WP_INSTALLING', true );
define( 'WP_SITEURL', $url );
error_reporting( E_ALL & ~E_DEPRECATED );

require $root . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/admin.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/image.php';

// The installer would ask the world for pretty links and write a mail.
add_filter( 'pre_http_request', fn() => new WP_Error( 'offline', 'The template is built without a network.' ) );
add_filter( 'pre_wp_mail', '__return_true' );

wp_install( 'Example Bakery', 'admin', 'admin@example.test', true, '', $password );
update_option( 'siteurl', $url );
update_option( 'home', $url );
update_option( 'blogdescription', 'Bread since 1908' );
update_option( 'permalink_structure', '/%postname%/' );
update_option( 'comment_moderation', 0 );
update_option( 'comment_previously_approved', 0 );
update_option( 'posts_per_page', 20 );

$editor = wp_insert_user( [ 'user_login' => 'editor', 'user_pass' => $password, 'user_email' => 'editor@example.test', 'role' => 'editor' ] );

wp_insert_post( [ 'post_type' => 'page', 'post_title' => 'Contact', 'post_name' => 'contact', 'post_status' => 'publish', 'post_author' => 1,
	'post_content' => '<p>Write to us. Content marker LAB-CONTACT.</p>' ] );
for ( $number = 1; $number <= 12; $number++ ) {
	$post = wp_insert_post( [
		'post_title'   => "Lab post $number",
		'post_name'    => "lab-post-$number",
		'post_status'  => 'publish',
		'post_author'  => 0 === $number % 3 ? $editor : 1,
		'post_content' => "<p>Content marker LAB-$number. " . str_repeat( 'Flour, water, salt and time. ', 40 ) . '</p>',
	] );
	for ( $comment = 1; $comment <= 3; $comment++ ) {
		wp_insert_comment( [ 'comment_post_ID' => $post, 'comment_author' => "Guest $comment", 'comment_author_email' => "guest$comment@example.test",
			'comment_content' => "Comment $comment on post $number.", 'comment_approved' => 1 ] );
	}
}

// Noise does not compress: each photo has about 700 KB.
mt_srand( 1908 );
for ( $number = 1; $number <= 5; $number++ ) {
	$image = imagecreatetruecolor( 1000, 700 );
	for ( $y = 0; $y < 700; $y += 2 ) {
		for ( $x = 0; $x < 1000; $x += 2 ) {
			imagefilledrectangle( $image, $x, $y, $x + 1, $y + 1, mt_rand( 0, 0xffffff ) );
		}
	}
	ob_start();
	imagejpeg( $image, null, 92 );
	$upload = wp_upload_bits( "photo-$number.jpg", null, ob_get_clean() );
	if ( $upload['error'] ) {
		fwrite( STDERR, $upload['error'] . "\n" );
		exit( 1 );
	}
	$id = wp_insert_attachment( [ 'post_mime_type' => 'image/jpeg', 'post_title' => "Photo $number", 'post_status' => 'inherit' ], $upload['file'], 0 );
	wp_update_attachment_metadata( $id, wp_generate_attachment_metadata( $id, $upload['file'] ) );
}

$plugins = [ 'newspack-blocks/newspack-blocks.php' ];
foreach ( [ 'banner', 'alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'eta', 'theta' ] as $word ) {
	$plugins[] = "lab-$word/lab-$word.php";
}
$result = activate_plugins( $plugins );
if ( is_wp_error( $result ) ) {
	fwrite( STDERR, wp_json_encode( $result ) . "\n" );
	exit( 1 );
}
lab_banner_install();
$GLOBALS['wpdb']->insert( lab_banner_table(), [ 'customer' => 'Ada Baker', 'amount' => 12.5, 'placed' => '2026-01-15 09:00:00' ] );
switch_theme( 'twentytwentythree' );
delete_plugins( [ 'hello.php' ] );
flush_rewrite_rules( false );

echo wp_json_encode( [ 'wordpress' => $GLOBALS['wp_version'], 'database' => get_option( 'db_version' ),
	'posts' => (int) wp_count_posts()->publish, 'plugins' => count( get_option( 'active_plugins' ) ) ] ), "\n";
