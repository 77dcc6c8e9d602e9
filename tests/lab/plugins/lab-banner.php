<?php
/*
Plugin Name: Lab Banner
Description: Takes orders into a table of its own and shows their number on every page.
Version: @VERSION@
Requires PHP: 7.4
License: GPL-3.0-or-later
*/
if ( ! defined( 'ABSPATH' ) ) {
	exit;
}

function lab_banner_table() {
	global $wpdb;
	return $wpdb->prefix . 'lab_orders';
}

function lab_banner_install() {
	global $wpdb;
	$table = lab_banner_table();
	if ( (int) get_option( 'lab_banner_schema', 0 ) < 1 ) {
		$wpdb->query(
			"CREATE TABLE IF NOT EXISTS $table (id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, customer VARCHAR(100) NOT NULL,
			amount DECIMAL(10,2) NOT NULL, placed DATETIME NOT NULL) " . $wpdb->get_charset_collate()
		);
		update_option( 'lab_banner_schema', 1 );
	}
	// @MIGRATION@
}
add_action( 'plugins_loaded', 'lab_banner_install' );

function lab_banner_total() {
	global $wpdb;
	$table = lab_banner_table();
	$hide  = $wpdb->suppress_errors( true );
	$row   = $wpdb->get_row( "SELECT COUNT(*) AS orders, COALESCE(SUM(@AMOUNT@),0) AS total FROM $table" );
	$wpdb->suppress_errors( $hide );
	if ( ! $row ) {
		throw new RuntimeException( 'Lab Banner cannot read its orders: ' . $wpdb->last_error );
	}
	return $row;
}

add_action(
	'template_redirect',
	function () {
		$GLOBALS['lab_banner_total'] = lab_banner_total();
	}
);

add_action(
	'wp_footer',
	function () {
		$row = $GLOBALS['lab_banner_total'] ?? lab_banner_total();
		printf( '<div id="lab-banner">Lab Banner @VERSION@: %d orders, %s in all</div>', $row->orders, $row->total );
	}
);

function lab_banner_order( $request ) {
	global $wpdb;
	$order = array(
		'customer' => sanitize_text_field( $request['customer'] ?? 'nobody' ),
		'@AMOUNT@' => (float) ( $request['amount'] ?? 1 ),
		'placed'   => gmdate( 'Y-m-d H:i:s' ),
	);
	if ( ! $wpdb->insert( lab_banner_table(), $order ) ) {
		return new WP_Error( 'lab_order', 'The order was not kept.', array( 'status' => 500 ) );
	}
	return array( 'order' => $wpdb->insert_id );
}

// GET counts the orders; POST with `customer` and `amount` places one, as a visitor of a real shop would.
add_action(
	'rest_api_init',
	function () {
		$everyone = array( 'permission_callback' => '__return_true' );
		register_rest_route(
			'lab/v1',
			'/orders',
			array(
				array( 'methods' => 'GET', 'callback' => 'lab_banner_total' ) + $everyone,
				array( 'methods' => 'POST', 'callback' => 'lab_banner_order' ) + $everyone,
			)
		);
	}
);
