# GPL-3.0-or-later
"""PHP of our own. It calls WordPress's own functions; nothing of it is installed into the client's site.

Kept in a Python module because Ansible carries module_utils to the host, and nothing else, without further tasks.
"""

from __future__ import annotations

# Every answer of PROGRAM is one line that begins with this; whatever plugins print is not ours.
MARK = "UPKEEP-ANSWER:"

# wordpress.php ROOT COMMAND < request.json. WordPress reads hooks that exist before it loads from a plain array
# (WP_Hook::build_preinitialized_hooks), which is how mail and outgoing requests are stopped before any plugin runs.
PROGRAM = r"""<?php
if (PHP_SAPI !== 'cli') { exit(1); }
$upkeep_root = $argv[1];
$upkeep_command = $argv[2];
$upkeep_request = json_decode(stream_get_contents(STDIN), true) ?: [];
$upkeep_answer = ['ok' => false, 'asked' => [], 'said' => []];
ini_set('display_errors', 'stderr');
ini_set('log_errors', '0');
ini_set('memory_limit', '512M');
set_time_limit(0);
error_reporting(E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR | E_USER_ERROR | E_RECOVERABLE_ERROR);
ob_start();
register_shutdown_function(function () {
    global $upkeep_answer;
    while (ob_get_level() && @ob_end_clean()) {}
    $error = error_get_last();
    $deadly = [E_ERROR, E_PARSE, E_CORE_ERROR, E_COMPILE_ERROR, E_USER_ERROR, E_RECOVERABLE_ERROR];
    if ($error && in_array($error['type'], $deadly, true)) {
        $upkeep_answer['ok'] = false;
        $upkeep_answer['fatal'] = strtok($error['message'], "\n") . ' in ' . $error['file'] . ':' . $error['line'];
    }
    fwrite(STDOUT, "\nUPKEEP-ANSWER:" . json_encode($upkeep_answer, JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR) . "\n");
});

if ($upkeep_command === 'configuration') {
    // wp-config.php ends by loading WordPress. Everything before that may be needed (getenv, includes), so it is run up to there.
    $upkeep_answer['at'] = 'running wp-config.php';
    $path = is_file("$upkeep_root/wp-config.php") ? "$upkeep_root/wp-config.php" : dirname($upkeep_root) . '/wp-config.php';
    $source = @file_get_contents($path);
    if ($source === false) { $upkeep_answer['fatal'] = 'wp-config.php cannot be read'; exit; }
    $source = preg_replace('~\b(?:require|include)(?:_once)?\b[^;]*wp-settings\.php[^;]*;~', ' return;', $source);
    $source = preg_replace('~^(?:\xEF\xBB\xBF)?\s*<\?php\b~', '', $source, 1, $opened);
    $source = str_replace(['__FILE__', '__DIR__'], [var_export($path, true), var_export(dirname($path), true)], $source);
    $_SERVER += ['HTTP_HOST' => $upkeep_request['host'] ?? 'localhost', 'REQUEST_URI' => '/', 'SERVER_NAME' => 'localhost', 'REMOTE_ADDR' => '127.0.0.1'];
    if (!defined('ABSPATH')) { define('ABSPATH', $upkeep_root . '/'); }
    try {
        eval($opened ? $source : '?>' . $source);
    } catch (Throwable $error) {
        // Its message may quote a line of the file, and with it a password.
        $upkeep_answer['fatal'] = basename($path) . ' cannot be run: ' . get_class($error) . ' in line ' . $error->getLine();
        exit;
    }
    $value = fn($name, $default = '') => defined($name) ? constant($name) : $default;
    $content = (string) $value('WP_CONTENT_DIR', $upkeep_root . '/wp-content');
    // As wp_debug_mode() reads it: without WP_DEBUG there is no log of WordPress's own.
    $log = $value('WP_DEBUG', false) ? $value('WP_DEBUG_LOG', false) : false;
    $log = in_array(strtolower((string) $log), ['true', '1'], true) ? "$content/debug.log" : (is_string($log) ? $log : '');
    // Where WordPress's SQLite drop-in has its file, by the rules of its own constants.php.
    $dropin = (string) @file_get_contents("$content/db.php", false, null, 0, 65536);
    $engine = strtolower((string) $value('DB_ENGINE', $value('DATABASE_ENGINE', $value('DATABASE_TYPE', 'sqlite'))));
    $folder = rtrim((string) $value('FQDBDIR', $value('DB_DIR', "$content/database")), '/');
    $sqlite = strpos($dropin, 'SQLITE_DB_DROPIN_VERSION') !== false && $engine === 'sqlite'
        ? (string) $value('FQDB', $folder . '/' . $value('DB_FILE', '.ht.sqlite')) : '';
    $upkeep_answer += [
        'sqlite' => $sqlite, 'path' => $path, 'name' => (string) $value('DB_NAME'), 'user' => (string) $value('DB_USER'),
        'password' => (string) $value('DB_PASSWORD'), 'host' => (string) $value('DB_HOST', 'localhost'),
        'prefix' => (string) ($table_prefix ?? 'wp_'), 'content' => $content, 'plugins' => (string) $value('WP_PLUGIN_DIR'),
        'multisite' => (bool) $value('MULTISITE', false), 'debug_log' => $log, 'php' => PHP_VERSION,
        'disabled' => (string) ini_get('disable_functions'), 'curl' => extension_loaded('curl'),
    ];
    $upkeep_answer['ok'] = true;
    exit;
}

$wp_filter = [];
function upkeep_hook($hook, $function, $arguments = 1, $priority = 1) {
    global $wp_filter;
    $wp_filter[$hook][$priority][] = ['function' => $function, 'accepted_args' => $arguments];
}
// Ask the catalogue of the controller what WordPress would ask WordPress.org; null where there is no answer. By curl alone: what
// goes through WordPress is seen by plugins, and may be sent to a proxy. Versions of plugins and themes are not told.
function upkeep_catalogue($gateway, $kind, $url, $body) {
    global $upkeep_answer;
    $origin = &$upkeep_answer['catalogue'][$kind];
    $origin = ['kind' => $kind, 'origin' => 'publisher'];
    if ($gateway === '') { return null; }
    if (!function_exists('curl_exec')) { $origin['note'] = 'PHP has no curl'; return null; }
    $pick = fn($from, ...$names) => array_map('strval', array_intersect_key((array) $from, array_flip($names)));
    $listed = (array) (json_decode((string) ($body[$kind] ?? ''), true)[$kind] ?? []);
    if ($kind === 'core') {
        parse_str((string) parse_url($url, PHP_URL_QUERY), $query);
        $question = $pick($query, 'version', 'php', 'locale', 'mysql', 'local_package', 'channel');
    } else {
        require ABSPATH . WPINC . '/version.php';
        $headers = ['Name', 'PluginURI', 'Author', 'AuthorURI', 'Author URI', 'TextDomain', 'UpdateURI', 'Template'];
        $question = ['wordpress' => $wp_version, 'installed' => (object) array_map(fn($each) => (object) $pick($each, ...$headers), $listed)];
    }
    $curl = curl_init($gateway . 'catalogue/' . $kind);
    curl_setopt_array($curl, [CURLOPT_POSTFIELDS => json_encode($question), CURLOPT_RETURNTRANSFER => true, CURLOPT_PROXY => '',
        CURLOPT_HTTPHEADER => ['Content-Type: application/json', 'Expect:'], CURLOPT_CONNECTTIMEOUT => 5, CURLOPT_TIMEOUT => 90]);
    $said = curl_exec($curl);
    $told = json_decode((string) $said, true);
    if (curl_getinfo($curl, CURLINFO_RESPONSE_CODE) !== 200 || !is_array($told)) {
        $origin['note'] = 'not by the controller: ' . substr(is_string($said) && $said !== '' ? $said : curl_error($curl), 0, 200);
        return null;
    }
    $origin = ['kind' => $kind, 'origin' => 'controller', 'since' => (string) ($told['since'] ?? '')];
    if ($kind === 'core') { return ['offers' => $told['offers'], 'translations' => []]; }
    $answer = [$kind => [], 'no_update' => [], 'translations' => []];
    foreach ($told['records'] as $name => $record) {
        $newer = version_compare($record['new_version'], (string) ($listed[$name]['Version'] ?? ''), '>');
        $answer[$newer ? $kind : 'no_update'][$name] = $record;
    }
    return $answer;
}
if (!empty($upkeep_request['without_plugins'])) {
    upkeep_hook('pre_option_active_plugins', fn() => []);
    upkeep_hook('pre_site_option_active_sitewide_plugins', fn() => []);
    upkeep_hook('wp_using_themes', '__return_false');
}
upkeep_hook('wp_fatal_error_handler_enabled', fn() => false);
upkeep_hook('automatic_updates_is_vcs_checkout', fn() => false);
upkeep_hook('pre_wp_mail', fn() => true);
upkeep_hook('filesystem_method', fn() => 'direct');
upkeep_hook('enable_maintenance_mode', fn() => false);
upkeep_hook('pre_http_request', function ($before, $arguments, $url) {
    global $upkeep_answer, $upkeep_request;
    $host = strtolower((string) parse_url($url, PHP_URL_HOST));
    if (in_array($host, $upkeep_request['may_ask'] ?? [], true)) { return $before; }
    $upkeep_answer['asked'][] = $host;
    return new WP_Error('upkeep_silent', "Outgoing request to $host was not let out.");
}, 3);
// After everybody else: a plugin that answers by itself goes on doing so. The way to the catalogue holds a secret, and no plugin sees it.
$upkeep_gateway = (string) ($upkeep_request['catalogue'] ?? '');
upkeep_hook('pre_http_request', function ($before, $arguments, $url) use ($upkeep_gateway) {
    global $upkeep_answer;
    if ($before !== false) { return $before; }
    $about = '~^https?://api\.wordpress\.org/(?:(core)/version-check/1\.7|(plugins|themes)/update-check/1\.1)/~';
    if (preg_match($about, $url, $found)) {
        $told = upkeep_catalogue($upkeep_gateway, $found[2] ?? $found[1], $url, $arguments['body'] ?? []);
        if ($told !== null) {
            $answer = ['headers' => [], 'body' => json_encode($told), 'response' => ['code' => 200, 'message' => 'OK'], 'cookies' => [], 'filename' => null];
            return apply_filters('http_response', $answer, $arguments, $url);
        }
    }
    $upkeep_answer['asked'][] = strtolower((string) parse_url($url, PHP_URL_HOST));
    return $before;
}, 3, PHP_INT_MAX);
unset($upkeep_gateway, $upkeep_request['catalogue']);
// WordPress gives its questions three seconds, and takes no answer for no news.
upkeep_hook('http_request_args', fn($arguments) => ['timeout' => max(30, $arguments['timeout'] ?? 0)] + $arguments);
upkeep_hook('http_api_debug', function ($answer, $context, $class, $arguments, $url) {
    $told = is_wp_error($answer) ? $answer->get_error_message() : (string) wp_remote_retrieve_response_code($answer);
    $GLOBALS['upkeep_answer']['answered'][parse_url($url, PHP_URL_HOST) . parse_url($url, PHP_URL_PATH)] = $told;
}, 5);
$_SERVER += ['HTTP_HOST' => $upkeep_request['host'] ?? 'localhost', 'REQUEST_URI' => '/', 'REQUEST_METHOD' => 'GET',
    'SERVER_PROTOCOL' => 'HTTP/1.1', 'SERVER_NAME' => 'localhost', 'REMOTE_ADDR' => '127.0.0.1', 'SCRIPT_NAME' => '/index.php', 'PHP_SELF' => '/index.php'];
if (!empty($upkeep_request['https'])) { $_SERVER['HTTPS'] = 'on'; }
if (!defined('DISABLE_WP_CRON')) { define('DISABLE_WP_CRON', true); }
define('WP_USE_THEMES', false);
define('CORE_UPGRADE_SKIP_NEW_BUNDLED', true);
if ($upkeep_command === 'migrate') { define('WP_INSTALLING', true); }
set_error_handler(fn($number, $text) => (bool) preg_match('~^Constant \w+ already defined~', $text), E_WARNING);
$upkeep_answer['at'] = 'loading WordPress';
require $upkeep_root . '/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/admin.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/class-wp-upgrader.php';

class Upkeep_Skin extends WP_Upgrader_Skin {
    public function feedback($feedback, ...$arguments) {
        if (isset($this->upgrader->strings[$feedback])) { $feedback = $this->upgrader->strings[$feedback]; }
        if ($arguments) { $feedback = vsprintf($feedback, $arguments); }
        $GLOBALS['upkeep_answer']['said'][] = trim(strip_tags($feedback));
    }
    public function error($errors) {
        foreach (is_wp_error($errors) ? $errors->get_error_messages() : [(string) $errors] as $text) { $GLOBALS['upkeep_answer']['said'][] = 'error: ' . strip_tags($text); }
    }
    public function header() {}
    public function footer() {}
    public function bulk_header() {}
    public function bulk_footer() {}
    public function before($title = '') {}
    public function after($title = '') {}
    public function request_filesystem_credentials($error = false, $context = '', $allow_relaxed_file_ownership = false) { return true; }
}
$upkeep_package = function ($zip) {   // WordPress deletes the package that it is given
    $copy = wp_tempnam(basename($zip));
    unlink($copy);
    copy($zip, $copy . '.zip');
    return $copy . '.zip';
};
$upkeep_error = fn($result) => is_wp_error($result) ? $result->get_error_message() : (($result === false || $result === null) ? 'WordPress gave no reason' : '');

$upkeep_answer['at'] = '';
switch ($upkeep_command) {
case 'where':
    // What this WordPress would write to: asked of a staging copy before any plugin runs in it.
    $upkeep_answer['database'] = $wpdb instanceof WP_SQLite_DB ? FQDB : $wpdb->get_var('SELECT DATABASE()');
    $upkeep_answer['folders'] = [ABSPATH, WP_CONTENT_DIR, WP_PLUGIN_DIR, get_theme_root()];
    $upkeep_answer['read'] = is_readable((string) ($upkeep_request['read'] ?? ''));
    $upkeep_answer['ok'] = true;
    break;
case 'offers':
    foreach (['update_core', 'update_plugins', 'update_themes'] as $name) { delete_site_transient($name); }
    wp_version_check([], true);
    wp_update_plugins();
    wp_update_themes();
    $offers = [];
    $current = get_bloginfo('version');
    foreach ((array) (get_site_transient('update_core')->updates ?? []) as $update) {
        if (version_compare($update->current, $current, '>')) {
            $offers["core wordpress $update->current"] = ['kind' => 'core', 'slug' => 'wordpress', 'file' => '', 'from' => $current, 'to' => $update->current, 'package' => (string) ($update->packages->full ?? '')];
        }
    }
    foreach (get_plugin_updates() as $file => $plugin) {
        $slug = dirname($file) === '.' ? basename($file, '.php') : dirname($file);
        $offers["plugin $slug"] = ['kind' => 'plugin', 'slug' => $slug, 'file' => $file, 'from' => $plugin->Version, 'to' => (string) $plugin->update->new_version, 'package' => (string) ($plugin->update->package ?? '')];
    }
    foreach (get_theme_updates() as $slug => $theme) {
        $offers["theme $slug"] = ['kind' => 'theme', 'slug' => (string) $slug, 'file' => '', 'from' => $theme->get('Version'), 'to' => (string) $theme->update['new_version'], 'package' => (string) ($theme->update['package'] ?? '')];
    }
    $upkeep_answer['offers'] = array_values($offers);
    // Without an answer none of these is there; of core at least the newest release is named.
    $upkeep_answer['unanswered'] = array_keys(array_filter([
        'core' => empty(get_site_transient('update_core')->updates),
        'plugins' => !isset(get_site_transient('update_plugins')->response),
        'themes' => !isset(get_site_transient('update_themes')->response),
    ]));
    $upkeep_answer['ok'] = true;
    break;
case 'apply':
    $upkeep_answer['results'] = [];
    foreach ($upkeep_request['changes'] as $change) {
        $upkeep_answer['at'] = "updating $change[kind] $change[slug]";
        $package = $upkeep_package($change['zip']);
        $skin = new Upkeep_Skin();
        if ($change['kind'] === 'core') {
            $offer = (object) ['response' => 'upgrade', 'download' => $package, 'locale' => get_locale(), 'current' => $change['to'], 'version' => $change['to'],
                'packages' => (object) ['full' => $package, 'no_content' => false, 'new_bundled' => false, 'partial' => false, 'rollback' => false],
                'php_version' => '5.6', 'mysql_version' => '5.0', 'new_bundled' => '', 'partial_version' => false];
            $upgrader = new Core_Upgrader($skin);
            $result = $upgrader->upgrade($offer, ['attempt_rollback' => false, 'do_rollback' => false, 'allow_relaxed_file_ownership' => true]);
        } elseif ($change['kind'] === 'plugin') {
            $updates = get_site_transient('update_plugins') ?: new stdClass();
            $updates->response[$change['file']] = (object) ['slug' => $change['slug'], 'plugin' => $change['file'], 'new_version' => $change['to'], 'package' => $package];
            $answer = fn() => $updates;
            add_filter('pre_site_transient_update_plugins', $answer);
            $upgrader = new Plugin_Upgrader($skin);
            $result = $upgrader->bulk_upgrade([$change['file']])[$change['file']] ?? null;
            remove_filter('pre_site_transient_update_plugins', $answer);
        } else {
            $updates = get_site_transient('update_themes') ?: new stdClass();
            $updates->response[$change['slug']] = ['theme' => $change['slug'], 'new_version' => $change['to'], 'package' => $package];
            $answer = fn() => $updates;
            add_filter('pre_site_transient_update_themes', $answer);
            $upgrader = new Theme_Upgrader($skin);
            $result = $upgrader->bulk_upgrade([$change['slug']])[$change['slug']] ?? null;
            remove_filter('pre_site_transient_update_themes', $answer);
        }
        @unlink($package);
        $upkeep_answer['results'][] = ['kind' => $change['kind'], 'slug' => $change['slug'], 'error' => $upkeep_error($result)];
    }
    $upkeep_answer['ok'] = true;
    break;
case 'migrate':
    require ABSPATH . WPINC . '/version.php';
    $upkeep_answer['from'] = (int) get_option('db_version');
    if ($upkeep_answer['from'] !== (int) $wp_db_version) { wp_upgrade(); }
    wp_cache_flush();
    $upkeep_answer['to'] = (int) $wpdb->get_var("SELECT option_value FROM $wpdb->options WHERE option_name = 'db_version'");
    $upkeep_answer['ok'] = $upkeep_answer['to'] === (int) $wp_db_version;
    if (!$upkeep_answer['ok']) { $upkeep_answer['fatal'] = "the database has version $upkeep_answer[to] and WordPress wants $wp_db_version"; }
    break;
case 'sign-in':
    // A session of an administrator who is there already, on this host only and for minutes: no account is made.
    $users = get_users(['role' => 'administrator', 'number' => 1, 'orderby' => 'ID']);
    if (!$users) { $upkeep_answer['fatal'] = 'the site has no administrator'; break; }
    $user = $users[0];
    $expires = time() + (int) $upkeep_request['seconds'];
    $token = WP_Session_Tokens::get_instance($user->ID)->create($expires);
    $upkeep_answer['user'] = $user->ID;
    $upkeep_answer['token'] = $token;
    $upkeep_answer['cookies'] = [AUTH_COOKIE => wp_generate_auth_cookie($user->ID, $expires, 'auth', $token),
        SECURE_AUTH_COOKIE => wp_generate_auth_cookie($user->ID, $expires, 'secure_auth', $token),
        LOGGED_IN_COOKIE => wp_generate_auth_cookie($user->ID, $expires, 'logged_in', $token)];
    $upkeep_answer['ok'] = true;
    break;
case 'sign-out':
    WP_Session_Tokens::get_instance((int) $upkeep_request['user'])->destroy($upkeep_request['token']);
    $upkeep_answer['ok'] = true;
    break;
case 'auto-updates':
    // What WordPress updates by itself stands in its options: lists of plugins and themes, a word for each kind of core release.
    $plugins = get_plugins();
    $slug_of = fn($kind, $entry) => $kind === 'plugin' ? (dirname($entry) === '.' ? basename($entry, '.php') : dirname($entry)) : $entry;
    $core = get_bloginfo('version');
    $branch = fn($version) => implode('.', array_slice(explode('.', $version), 0, 2));
    $installed = function ($kind, $slug) use ($plugins, $slug_of, $core) {
        if ($kind === 'core') { return $core; }
        if ($kind === 'theme') { return (string) wp_get_theme($slug)->get('Version'); }
        foreach ($plugins as $file => $plugin) { if ($slug_of('plugin', $file) === $slug) { return $plugin['Version']; } }
        return '';
    };
    $kept_out = [];
    foreach ($upkeep_request['holds'] as $hold) {
        $there = $installed($hold['kind'], $hold['slug']);
        if ($there === '' || ($hold['only'] === '' && version_compare($there, $hold['version'], '>='))) { continue; }
        $minor = $hold['only'] !== '' || $branch($core) === $branch($hold['version']);
        if ($hold['kind'] !== 'core') { $kept_out["$hold[kind] $hold[slug]"] = true; continue; }
        if ($minor) { $kept_out['core auto_update_core_minor'] = true; }
        if (!$minor || $hold['only'] !== '') { $kept_out['core auto_update_core_major'] = true; }
    }
    $lists = ['plugin' => (array) get_site_option('auto_update_plugins', []), 'theme' => (array) get_site_option('auto_update_themes', [])];
    $words = ['auto_update_core_minor' => ['enabled', 'disabled'], 'auto_update_core_major' => ['unset', 'unset']];
    $before = $lists;
    $ours = $off = $on = $still = [];
    foreach ($upkeep_request['ours'] as $each) {
        $unit = $each['kind'] === 'core' ? "core $each[entry]" : $each['kind'] . ' ' . $slug_of($each['kind'], $each['entry']);
        if (isset($kept_out[$unit])) { $ours["$each[kind] $each[entry]"] = $each; continue; }
        $on[] = $unit;
        if ($each['kind'] === 'core') { update_site_option($each['entry'], 'enabled'); }
        elseif (!in_array($each['entry'], $lists[$each['kind']], true)) { $lists[$each['kind']][] = $each['entry']; }
    }
    foreach ($lists as $kind => $entries) {
        foreach ($entries as $entry) {
            $unit = $kind . ' ' . $slug_of($kind, $entry);
            if (!isset($kept_out[$unit])) { continue; }
            $ours["$kind $entry"] = ['kind' => $kind, 'entry' => $entry];
            $off[] = $unit;
            $lists[$kind] = array_values(array_diff($lists[$kind], [$entry]));
        }
        if ($lists[$kind] !== $before[$kind]) { update_site_option("auto_update_{$kind}s", $lists[$kind]); }
    }
    foreach ($words as $option => [$default, $word]) {
        if (!isset($kept_out["core $option"])) { continue; }
        // A word in wp-config.php counts for more than the options.
        if (defined('WP_AUTO_UPDATE_CORE') && WP_AUTO_UPDATE_CORE) { $still[] = "core $option: wp-config.php says WP_AUTO_UPDATE_CORE"; continue; }
        if (get_site_option($option, $default) !== 'enabled') { continue; }
        update_site_option($option, $word);
        $ours["core $option"] = ['kind' => 'core', 'entry' => $option];
        $off[] = "core $option";
    }
    $upkeep_answer += ['ours' => array_values($ours), 'turned_off' => $off, 'turned_on' => $on, 'still_on' => $still];
    $upkeep_answer['ok'] = true;
    break;
default:
    $upkeep_answer['fatal'] = 'unknown command';
}
"""
