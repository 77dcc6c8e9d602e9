# GPL-3.0-or-later
"""The PHP of a staging copy: what is loaded before each of its files, and the router of its web server."""

# Loaded before every PHP file of a staging copy (auto_prepend_file): another database, and silence towards the world.
STAGING = r"""<?php
if (defined('UPKEEP_STAGING')) { return; }
define('UPKEEP_STAGING', true);
define('DB_NAME', getenv('UPKEEP_STAGING_DATABASE'));
if (getenv('UPKEEP_STAGING_SQLITE')) {
    define('FQDB', getenv('UPKEEP_STAGING_SQLITE'));
    define('FQDBDIR', dirname(FQDB) . '/');
}
define('DISABLE_WP_CRON', true);
if (PHP_SAPI !== 'cli') { define('WP_HTTP_BLOCK_EXTERNAL', true); }
define('AUTOMATIC_UPDATER_DISABLED', true);
define('WP_CONTENT_DIR', getenv('UPKEEP_STAGING_CONTENT'));
define('WP_PLUGIN_DIR', WP_CONTENT_DIR . '/plugins');
define('WP_DEBUG_LOG', getenv('UPKEEP_STAGING_LOG'));
if (getenv('UPKEEP_STAGING_HTTPS') && PHP_SAPI !== 'cli') { $_SERVER['HTTPS'] = 'on'; $_SERVER['SERVER_PORT'] = '443'; }
set_error_handler(function ($number, $text) {
    return (bool) preg_match('~^Constant (DB_NAME|FQDB|FQDBDIR|DISABLE_WP_CRON|WP_HTTP_BLOCK_EXTERNAL|AUTOMATIC_UPDATER_DISABLED|WP_CONTENT_DIR|WP_PLUGIN_DIR|WP_DEBUG_LOG) already defined~', $text);
}, E_WARNING);
// Where the copy has a network, PHP's ways out are disabled. From PHP 8 on these are gone then, and calling one would be
// fatal: they say no instead, as they do where there is no network.
if (PHP_VERSION_ID >= 80000) {
    function upkeep_no(&$number, &$text) { $number = 101; $text = 'Network is unreachable'; return false; }
    if (!function_exists('fsockopen')) { function fsockopen($host, $port = -1, &$number = null, &$text = null, $timeout = null) { return upkeep_no($number, $text); } }
    if (!function_exists('pfsockopen')) { function pfsockopen($host, $port = -1, &$number = null, &$text = null, $timeout = null) { return upkeep_no($number, $text); } }
    if (!function_exists('stream_socket_client')) { function stream_socket_client($address, &$number = null, &$text = null, $timeout = null, $flags = 0, $context = null) { return upkeep_no($number, $text); } }
    if (!function_exists('socket_connect')) { function socket_connect($socket, $address, $port = null) { return false; } }
    if (!function_exists('socket_sendto')) { function socket_sendto($socket, $data, $length, $flags, $address, $port = null) { return false; } }
    if (!function_exists('curl_exec')) { function curl_exec($handle) { return false; } }
    if (!function_exists('curl_multi_exec')) { function curl_multi_exec($handle, &$running) { $running = 0; return 0; } }
}
if (PHP_SAPI !== 'cli') {
    $wp_filter = [];
    // What would have been sent is written down beside the copy, for a probe that looks for it.
    $wp_filter['pre_wp_mail'][1][] = ['function' => function ($before, $mail) {
        $told = ['to' => implode(', ', (array) ($mail['to'] ?? '')), 'subject' => (string) ($mail['subject'] ?? ''),
            'message' => substr((string) ($mail['message'] ?? ''), 0, 65536)];
        @file_put_contents((string) getenv('UPKEEP_STAGING_MAIL'), json_encode($told, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_UNICODE) . "\n", FILE_APPEND | LOCK_EX);
        return true;
    }, 'accepted_args' => 2];
    $wp_filter['pre_http_request'][1][] = ['function' => function ($before, $arguments, $url) {
        return new WP_Error('upkeep_silent', 'This is a staging copy: nothing leaves it.');
    }, 'accepted_args' => 3];
    $wp_filter['pre_option_blog_public'][1][] = ['function' => function () { return '0'; }, 'accepted_args' => 1];
}
"""

# The router of PHP's built-in web server: what nginx's `try_files $uri $uri/ /index.php?$args` does.
ROUTER = r"""<?php
require_once getenv('UPKEEP_STAGING_PREPEND');   // PHP does not prepend to a router
$upkeep_root = $_SERVER['DOCUMENT_ROOT'];
$upkeep_path = rawurldecode((string) parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH));
if (strpos($upkeep_path, "\0") !== false || strpos($upkeep_path, '/..') !== false) { http_response_code(400); return true; }
$upkeep_file = $upkeep_root . $upkeep_path;
if (is_dir($upkeep_file) && is_file(rtrim($upkeep_file, '/') . '/index.php')) { $upkeep_path = rtrim($upkeep_path, '/') . '/index.php'; }
elseif (is_file($upkeep_file) && substr($upkeep_path, -4) !== '.php') { return false; }
elseif (!is_file($upkeep_file)) { $upkeep_path = '/index.php'; }
$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = $upkeep_path;
$_SERVER['SCRIPT_FILENAME'] = $upkeep_root . $upkeep_path;
unset($_SERVER['PATH_INFO']);
chdir(dirname($upkeep_root . $upkeep_path));
require $upkeep_root . $upkeep_path;
return true;
"""
