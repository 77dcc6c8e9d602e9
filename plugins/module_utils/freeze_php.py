# GPL-3.0-or-later
"""The PHP that the site's own web server runs: what answers visitors in a freeze, and what tells of its log and opcode cache."""

# The freeze: WordPress itself loads `.maintenance` first in every request, cron and command line included. The token is
# not in this file but beside it, because an opcode cache without timestamp checks would go on serving an old token.
MAINTENANCE = r"""<?php
/* Written by Upkeep: this site accepts no writes for some seconds while an update is put in place. */
$upgrading = time();
$upkeep_seal = @file_get_contents(__DIR__ . '/.upkeep-freeze');
$upkeep_token = PHP_SAPI === 'cli' ? (string) getenv('UPKEEP_TOKEN') : (string) ($_SERVER['HTTP_X_UPKEEP_TOKEN'] ?? '');
if (is_string($upkeep_seal) && hash_equals(trim($upkeep_seal), hash('sha256', $upkeep_token))) {
    $upgrading = 0;
} elseif (PHP_SAPI === 'cli') {
    fwrite(STDERR, "This site is frozen for some seconds while an update is put in place.\n");
    exit(75);
} else {
    http_response_code(503);
    header('Retry-After: 10');
    header('Cache-Control: no-store');
    header('Content-Type: text/html; charset=utf-8');
    // A browser asks again by itself. What was sent with a form is asked of nobody: its visitor decides.
    if (($_SERVER['REQUEST_METHOD'] ?? '') === 'GET') { header('Refresh: 3'); }
    echo '<!DOCTYPE html><html><head><meta charset="utf-8"><title>One moment</title></head><body><h1>One moment</h1><p>This site is being updated and is back in a few seconds.</p></body></html>';
    exit;
}
unset($upkeep_seal, $upkeep_token);
"""

# A file with a name that nobody knows, there for less than a second: only PHP inside the web server can tell its log and
# its limits and empty its opcode cache. It does not load the CMS, so it works when the CMS does not.
ONE_TIME = r"""<?php
header('Content-Type: application/json');
header('Cache-Control: no-store');
if (!hash_equals('%(seal)s', hash('sha256', (string) ($_SERVER['HTTP_X_UPKEEP_TOKEN'] ?? '')))) { http_response_code(404); exit; }
$told = function_exists('opcache_get_configuration') ? (@opcache_get_configuration()['directives'] ?? []) : [];
// Where opcache.restrict_api shuts us out it tells nothing, and neither must that pass for a cache that is off.
$cache = function ($name) use ($told) { return $told["opcache.$name"] ?? ini_get("opcache.$name"); };
$do = function_exists('opcache_reset') ? (string) ($_GET['do'] ?? '') : '';
$paths = $do ? json_decode((string) @file_get_contents(substr(__FILE__, 0, -4) . '.json')) : null;
$reset = null;
$was_cached = [];
if ($do === 'reset') {
    // opcache_is_script_cached() would say no of everything that was replaced: it compares times.
    $scripts = @opcache_get_status(true)['scripts'] ?? [];
    foreach (is_array($paths) ? $paths : [] as $path) {
        if (isset($scripts[__DIR__ . '/' . $path])) { $was_cached[] = $path; }
    }
    // Without a look at timestamps, the cache may hold old code of any file. With one, all but these are as on disk.
    $these = is_array($paths) && $cache('validate_timestamps');
    $reset = $these ? true : @opcache_reset();
    foreach ($these ? $paths : [] as $path) {
        $file = __DIR__ . '/' . $path;
        $reset = (@opcache_invalidate($file, true) || !file_exists($file)) && $reset;
    }
}
foreach ($do === 'compile' && is_array($paths) ? $paths : [] as $path) {
    try { @opcache_compile_file(__DIR__ . '/' . $path); } catch (Throwable $error) { continue; }
}
echo json_encode([
    'php' => PHP_VERSION, 'sapi' => PHP_SAPI, 'user' => function_exists('posix_geteuid') ? posix_geteuid() : null,
    'error_log' => (string) ini_get('error_log'), 'log_errors' => (bool) ini_get('log_errors'), 'memory_limit' => ini_get('memory_limit'),
    'opcache' => (bool) $cache('enable'), 'reset' => $reset, 'was_cached' => $was_cached,
    'may_reset' => function_exists('opcache_reset') && strpos(__FILE__, (string) $cache('restrict_api')) === 0,
    'validate_timestamps' => (bool) $cache('validate_timestamps'), 'revalidate_freq' => (int) $cache('revalidate_freq'),
]);
"""
