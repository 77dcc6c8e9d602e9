#!/bin/bash
# The floor of an update run: the same work by a shell over ssh, one call for each step, nothing reusable and nothing reported.
# Told by its environment: the login (SSH, a command line), the store (BUCKET, ENDPOINT), its keys, and the folder with our PHP (HERE).
set -eu
read -ra login <<<"$SSH"
remote() { "${login[@]}" "$preamble bash -eus"; }
preamble="RESTIC_REPOSITORY=s3:$ENDPOINT/$BUCKET/bare/restic RESTIC_PASSWORD=$RESTIC_PASSWORD AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID
 AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY AWS_DEFAULT_REGION=us-east-1 RESTIC_CACHE_DIR=/srv/shop/.bare-cache"
preamble="export ${preamble//$'\n'/ };"

# ---- what the host needs
tar -C "$HERE" -cf - wordpress.php stock/router.php | "${login[@]}" 'mkdir -m 700 /srv/shop/.bare && tar -C /srv/shop/.bare -xf -'
"${login[@]}" 'cat >/srv/shop/.bare/lib.sh' <<'END'
root=/srv/shop/htdocs work=/srv/shop/.bare copy=/srv/shop/.bare/htdocs name=shop.example.test
ask() { php "$work/wordpress.php" "$@" | php -r '$answer = json_decode(stream_get_contents(STDIN), true); $result = $answer["result"]; echo is_array($result) ? json_encode($result) : $result; exit($answer["failed"] ? 1 : 0);'; }
staged() { php -d "auto_prepend_file=$work/prepend.php" "$work/wordpress.php" "$copy" "$@"; }
db() { mariadb "--defaults-extra-file=$work/client.cnf" "$@"; }
get() { curl -sS -m 20 -H "Host: $name" -H "X-Stock-Token: ${token:-}" "$@"; }
# probe BASE COOKIE LOG: pages with their texts, REST, admin-ajax, two admin pages, the front page's assets, the log
probe() {
    local size page; size=$(stat -c %s "$3")
    page=$(get -f "$1/"); [[ $page == *"Example Bakery"* && $page == *"</html>"* ]]
    [[ $(get -f "$1/lab-post-1/") == *LAB-1*"</html>"* ]]
    get -f -o /dev/null "$1/wp-json/"
    [ "$(get -o /dev/null -w '%{http_code}' "$1/wp-admin/admin-ajax.php?action=upkeep")" = 400 ]
    for path in index plugins; do [[ $(get -f -b "$2" "$1/wp-admin/$path.php") == *wp-admin*"</html>"* ]]; done
    grep -oP "(?:src|href)=[\"']https?://$name\K/[^\"']+\.(?:js|css|png|jpg|svg)[^\"']*" <<<"$page" | sort -u | sed "s|^|$1|" | xargs -r curl -sSf -m 20 -I -H "Host: $name" -H "X-Stock-Token: ${token:-}" >/dev/null
    if tail -c "+$((size + 1))" "$3" | grep -E 'PHP (Fatal|Parse)'; then return 1; fi
}
END

# ---- preflight
remote <<'END'
. /srv/shop/.bare/lib.sh
[ "$(df --output=avail -B1 $root | tail -n 1)" -gt 500000000 ]
ask $root config | php -r '$c = json_decode(stream_get_contents(STDIN)); printf("[client]\nuser=%s\npassword=\"%s\"\nhost=%s\n", $c->user, $c->password, $c->host);' | install -m 600 /dev/stdin $work/client.cnf
[ -z "$(find $root ! -user "$(id -un)" -print -quit)" ]
echo '<?php echo PHP_VERSION, ini_get("memory_limit"), ini_get("opcache.enable");' >$root/bare-php.php
get -f -o $work/php http://127.0.0.1/bare-php.php
rm $root/bare-php.php
ask $root versions >$work/before.json
ask $root cookie >$work/cookie
probe http://127.0.0.1 "$(cat $work/cookie)" /var/log/php/shop.log
END

# ---- snapshot
remote <<'END'
. /srv/shop/.bare/lib.sh
mkdir -m 700 $work/dump
mariadb-dump "--defaults-extra-file=$work/client.cnf" --single-transaction --result-file=$work/dump/database.sql shop
tail -n 1 $work/dump/database.sql | grep -q 'Dump completed'
restic cat config >/dev/null 2>&1 || restic init >/dev/null
restic backup --quiet --tag bare $root $work/dump
restic snapshots --json latest | grep -q '"id"'
END

# ---- stage
remote <<'END'
. /srv/shop/.bare/lib.sh
cp -a --reflink=auto $root $copy
cat >$work/prepend.php <<'PHP'
<?php
if (!defined('DB_NAME')) {
    define('DB_NAME', 'shop_staging');
    define('DISABLE_WP_CRON', true);
    if (PHP_SAPI !== 'cli') { define('WP_HTTP_BLOCK_EXTERNAL', true); }
    set_error_handler(fn($number, $text) => (bool) preg_match('~^Constant (DB_NAME|DISABLE_WP_CRON|WP_HTTP_BLOCK_EXTERNAL) already defined~', $text), E_WARNING);
    $wp_filter['pre_wp_mail'][1][] = ['function' => fn() => true, 'accepted_args' => 1];
}
PHP
db shop_staging <$work/dump/database.sql
rm -f $copy/wp-content/object-cache.php $copy/wp-content/advanced-cache.php
END

# ---- try the updates in staging
remote <<'END'
. /srv/shop/.bare/lib.sh
for what in core database plugins themes; do staged $what >/dev/null; done
staged versions >$work/tried.json
staged verify >/dev/null
cookie=$(staged cookie | php -r 'echo json_decode(stream_get_contents(STDIN))->result;')
: >$work/php.log
STOCK_PREPEND=$work/prepend.php PHP_CLI_SERVER_WORKERS=3 setsid php -d error_log=$work/php.log -d log_errors=1 -S 127.0.0.1:8081 -t $copy $work/stock/router.php >/dev/null 2>&1 &
until curl -s -o /dev/null http://127.0.0.1:8081/readme.html; do sleep 0.1; done
probe http://127.0.0.1:8081 "$cookie" $work/php.log
pkill -f 127.0.0.1:8081
END

# ---- production
remote <<'END'
. /srv/shop/.bare/lib.sh
[ -z "$(find $root -newer $work/dump/database.sql -name '*.php')" ]
token=$(head -c 16 /dev/urandom | md5sum | cut -c 1-32)
for tree in $copy $root; do
    echo "<?php \$upgrading = (PHP_SAPI === 'cli' || (\$_SERVER['HTTP_X_STOCK_TOKEN'] ?? '') === '$token') ? 0 : time();" >$tree/.maintenance
done
until [ "$(db -N -e 'SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()')" = 0 ]; do sleep 0.1; done
cp -au $root/wp-content/uploads/. $copy/wp-content/uploads/
mariadb-dump "--defaults-extra-file=$work/client.cnf" --result-file=$work/before.sql shop
mv $root $work/old && mv $copy $root
echo '<?php opcache_reset();' >$root/$token.php
get -f -o /dev/null http://127.0.0.1/$token.php
rm $root/$token.php
ask $root database >/dev/null
ask $root verify
ask $root versions | cmp - <(php -r 'echo json_encode(json_decode(file_get_contents($argv[1]))->result);' $work/tried.json)
probe http://127.0.0.1 "$(cat $work/cookie)" /var/log/php/shop.log
rm $root/.maintenance
END

# ---- clean up
remote <<'END'
. /srv/shop/.bare/lib.sh
db -e 'DROP DATABASE shop_staging; CREATE DATABASE shop_staging'
rm -rf $work
END
