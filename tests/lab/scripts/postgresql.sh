#!/bin/bash
# Runs on a lab host, as root: gives it PostgreSQL 15 and puts a small site of its own in the place of WordPress: notes.php
# becomes index.php, which reads its notes from the database. May be repeated: everything is as at first then.
#   bash postgresql.sh PASSWORD < notes.php
set -eu
password=$1
programs=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -1)
if [ -z "$programs" ]; then
    echo 'There is no PostgreSQL on this machine. Type: tests/lab/requirements.sh' >&2
    exit 1
fi
data=/var/lib/postgresql/lab socket=/run/postgresql

cat >/srv/shop/notes.php
systemctl stop lab-postgresql 2>/dev/null || true
systemctl stop mariadb
systemctl reset-failed lab-postgresql 2>/dev/null || true
rm -rf "$data"
install -d -o postgres -g postgres -m 700 "$data"
install -d -o postgres -g postgres -m 2775 "$socket"
runuser -u postgres -- "$programs/initdb" -D "$data" -N -E UTF8 --locale=C.UTF-8 --auth-local=peer --auth-host=scram-sha-256 >/dev/null
systemd-run -q --unit=lab-postgresql -p User=postgres -p KillSignal=SIGINT \
    "$programs/postgres" -D "$data" -k "$socket" -h 127.0.0.1 -c fsync=off -c shared_buffers=16MB -c max_connections=30
for _ in $(seq 200); do
    if "$programs/pg_isready" -q -h "$socket"; then break; fi
    sleep 0.05
done
runuser -u postgres -- psql -q -h "$socket" -v ON_ERROR_STOP=1 postgres <<END
CREATE ROLE notes LOGIN PASSWORD '$password';
CREATE DATABASE notes OWNER notes;
END

site=/srv/shop/htdocs
rm -rf "$site"
install -d -o shop -g shop "$site" "$site/files"
mv /srv/shop/notes.php "$site/index.php"
printf "<?php return ['dsn' => 'pgsql:host=127.0.0.1;dbname=notes', 'user' => 'notes', 'password' => '%s'];\n" "$password" >"$site/config.php"
echo 'A file of the site.' >"$site/files/readme.txt"
chown -R shop:shop "$site"
chmod 640 "$site/config.php"
