<?php
/* A persistent object cache as hosting companies put in, on the disk instead of in Redis: what was read once is read from here. */

class WP_Object_Cache {
	const FOLDER = '/home/shop/object-cache';
	private $here    = array();
	private $passing = array();

	public function __construct() {
		@mkdir( self::FOLDER, 0700 );
	}

	public function pass( $groups ) {
		$this->passing += array_fill_keys( (array) $groups, true );
	}

	private function file( $key, $group ) {
		return self::FOLDER . '/' . sha1( "$group:$key" );
	}

	public function get( $key, $group, &$found = null ) {
		$group = $group ?: 'default';
		if ( isset( $this->passing[ $group ] ) ) {
			$found = isset( $this->here[ "$group:$key" ] );
			$value = $found ? $this->here[ "$group:$key" ][0] : false;
		} else {
			$stored = @file_get_contents( $this->file( $key, $group ) );
			$found  = false !== $stored;
			$value  = $found ? unserialize( $stored ) : false;
		}
		return is_object( $value ) ? clone $value : $value;
	}

	public function set( $key, $value, $group ) {
		$group = $group ?: 'default';
		if ( isset( $this->passing[ $group ] ) ) {
			$this->here[ "$group:$key" ] = array( is_object( $value ) ? clone $value : $value );
			return true;
		}
		$file = $this->file( $key, $group );
		$new  = $file . getmypid();
		return false !== file_put_contents( $new, serialize( $value ) ) && rename( $new, $file );
	}

	public function delete( $key, $group ) {
		$group = $group ?: 'default';
		unset( $this->here[ "$group:$key" ] );
		return @unlink( $this->file( $key, $group ) );
	}

	public function flush() {
		$this->here = array();
		array_map( 'unlink', glob( self::FOLDER . '/*' ) );
		return true;
	}
}

function wp_cache_init() {
	$GLOBALS['wp_object_cache'] = new WP_Object_Cache();
}
function wp_cache_get( $key, $group = '', $force = false, &$found = null ) {
	return $GLOBALS['wp_object_cache']->get( $key, $group, $found );
}
function wp_cache_set( $key, $value, $group = '', $expire = 0 ) {
	return $GLOBALS['wp_object_cache']->set( $key, $value, $group );
}
function wp_cache_add( $key, $value, $group = '', $expire = 0 ) {
	if ( wp_suspend_cache_addition() ) {
		return false;
	}
	wp_cache_get( $key, $group, false, $found );
	return ! $found && wp_cache_set( $key, $value, $group );
}
function wp_cache_replace( $key, $value, $group = '', $expire = 0 ) {
	wp_cache_get( $key, $group, false, $found );
	return $found && wp_cache_set( $key, $value, $group );
}
function wp_cache_delete( $key, $group = '' ) {
	return $GLOBALS['wp_object_cache']->delete( $key, $group );
}
function wp_cache_incr( $key, $offset = 1, $group = '' ) {
	$value = max( 0, (int) wp_cache_get( $key, $group ) + $offset );
	wp_cache_set( $key, $value, $group );
	return $value;
}
function wp_cache_decr( $key, $offset = 1, $group = '' ) {
	return wp_cache_incr( $key, -$offset, $group );
}
function wp_cache_flush() {
	return $GLOBALS['wp_object_cache']->flush();
}
function wp_cache_close() {
	return true;
}
function wp_cache_add_global_groups( $groups ) {
}
function wp_cache_add_non_persistent_groups( $groups ) {
	$GLOBALS['wp_object_cache']->pass( $groups );
}
function wp_cache_switch_to_blog( $blog_id ) {
}
