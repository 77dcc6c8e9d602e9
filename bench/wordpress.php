<?php
/*
 * WordPress's own functions from the command line, for the peers: php wordpress.php ROOT COMMAND [PACKAGE]
 *   core | plugins | themes    update what WordPress.org offers, as the clicks of an administrator do
 *   database                   WordPress's own database update, if it is due
 *   plugin PACKAGE             install a release over the one that is there (the way back that an administrator has)
 *   verify                     compare the files of WordPress with what WordPress.org says they are
 *   versions | config | cookie what is installed; how the database is reached; a session of an administrator
 * Nothing of WordPress is changed: maintenance mode, download, unpacking and copying are its own. One JSON line is printed.
 */
[ , $root, $command ] = $argv;
ini_set( 'memory_limit', '512M' );
set_time_limit( 0 );
error_reporting( E_ERROR | E_PARSE );
$_SERVER += [ 'HTTP_HOST' => 'shop.example.test', 'REQUEST_URI' => '/wp-admin/update-core.php', 'REQUEST_METHOD' => 'GET',
	'SERVER_PROTOCOL' => 'HTTP/1.1', 'SERVER_NAME' => 'shop.example.test', 'REMOTE_ADDR' => '127.0.0.1' ];
define( 'WP_USE_THEMES', false );
define( 'CORE_UPGRADE_SKIP_NEW_BUNDLED', true ); // the other side leaves new bundled themes out as well
if ( 'database' === $command ) {
	define( 'WP_INSTALLING', true );
}
ob_start();
require $root . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/admin.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/class-wp-upgrader.php';

$skin   = new Automatic_Upgrader_Skin(); // WordPress's own silent skin
$result = null;
switch ( $command ) {
	case 'core':
		wp_version_check( [], true );
		$offers = array_values( array_filter( get_core_updates() ?: [], fn( $offer ) => 'upgrade' === $offer->response ) );
		$result = $offers ? ( new Core_Upgrader( $skin ) )->upgrade( $offers[0] ) : new WP_Error( 'none', 'nothing on offer' );
		break;
	case 'plugins':
		wp_update_plugins();
		$result = ( new Plugin_Upgrader( $skin ) )->bulk_upgrade( array_keys( get_plugin_updates() ) );
		break;
	case 'themes':
		wp_update_themes();
		$result = ( new Theme_Upgrader( $skin ) )->bulk_upgrade( array_keys( get_theme_updates() ) );
		break;
	case 'database':
		require ABSPATH . WPINC . '/version.php';
		if ( (int) get_option( 'db_version' ) !== (int) $wp_db_version ) {
			wp_upgrade();
		}
		$result = true;
		break;
	case 'plugin':
		$result = ( new Plugin_Upgrader( $skin ) )->install( $argv[3], [ 'overwrite_package' => true ] );
		break;
	case 'verify':
		$wrong  = [];
		$sums   = get_core_checksums( get_bloginfo( 'version' ), 'en_US' );
		$ours   = array_filter( array_keys( $sums ?: [] ), fn( $file ) => 0 !== strpos( $file, 'wp-content' ) );
		foreach ( $ours as $file ) {
			if ( ! is_file( ABSPATH . $file ) || md5_file( ABSPATH . $file ) !== $sums[ $file ] ) {
				$wrong[] = $file;
			}
		}
		$result = $ours && ! $wrong ? true : new WP_Error( 'wrong', count( $wrong ) . ' files differ, such as ' . ( $wrong[0] ?? 'none: no list' ) );
		break;
	case 'versions':
		$result = [ 'core' => get_bloginfo( 'version' ), 'database' => (int) get_option( 'db_version' ) ];
		foreach ( get_plugins() as $file => $plugin ) {
			$result[ dirname( $file ) ] = $plugin['Version'];
		}
		foreach ( wp_get_themes() as $slug => $theme ) {
			$result[ $slug ] = $theme->get( 'Version' );
		}
		break;
	case 'config':
		$result = [ 'name' => DB_NAME, 'user' => DB_USER, 'password' => DB_PASSWORD, 'host' => DB_HOST ];
		break;
	case 'cookie':
		$user   = get_users( [ 'role' => 'administrator', 'number' => 1 ] )[0];
		$until  = time() + 900;
		$token  = WP_Session_Tokens::get_instance( $user->ID )->create( $until );
		$result = AUTH_COOKIE . '=' . wp_generate_auth_cookie( $user->ID, $until, 'auth', $token )
			. '; ' . LOGGED_IN_COOKIE . '=' . wp_generate_auth_cookie( $user->ID, $until, 'logged_in', $token );
		break;
	default:
		$result = new WP_Error( 'unknown', 'unknown command' );
}
ob_end_clean();
$failed = is_wp_error( $result ) ? $result->get_error_message() : ( $result ? '' : 'WordPress gave no reason' );
foreach ( is_array( $result ) && in_array( $command, [ 'plugins', 'themes' ], true ) ? $result : [] as $name => $one ) {
	if ( is_wp_error( $one ) || ! $one ) {
		$failed .= "$name: " . ( is_wp_error( $one ) ? $one->get_error_message() : 'not updated' );
	}
}
echo json_encode( [ 'failed' => $failed, 'result' => in_array( $command, [ 'versions', 'config', 'cookie' ], true ) ? $result : null, 'said' => $skin->get_upgrade_messages() ] ), "\n";
exit( $failed ? 1 : 0 );
