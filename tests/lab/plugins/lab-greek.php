<?php
/*
Plugin Name: Lab @WORD@
Description: Adds one comment to the footer.
Version: @VERSION@
Requires PHP: 7.4
License: GPL-3.0-or-later
*/
if ( ! defined( 'ABSPATH' ) ) {
	exit;
}

add_action(
	'wp_footer',
	function () {
		echo '<!-- lab-@WORD@ @VERSION@ -->';
	}
);
