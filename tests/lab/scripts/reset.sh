#!/bin/bash
# Bring one host's site back to the template: reset.sh TEMPLATE HOST-FOLDER PID-OF-ITS-SYSTEMD
set -eu
template=$1 folder=$2 pid=$3
pools=("/proc/$pid/root/etc/php/"*/fpm/pool.d/shop.conf)
version=${pools[0]#"/proc/$pid/root/etc/php/"}
units=(mariadb "php${version%%/*}-fpm")
inside() { nsenter -t "$pid" -m -u -i -n -p -C -- "$@"; }

# The new copies are made while the old state still serves; the exchange below is short.
rm -rf "$folder/srv/.next" "$folder/mysql/.next"
cp -a --reflink=auto "$template/srv/shop" "$folder/srv/.next" &
files=$!
cp -a --reflink=auto "$template/mysql" "$folder/mysql/.next"
wait "$files"

# Nothing of the database is kept, so it need not be asked politely.
inside systemctl kill -s KILL "${units[@]}" 2>/dev/null || true
inside systemctl stop "${units[@]}"
# Whatever a test left running as the site's owner: staging servers, watchers, half-dead updates. Logins stay.
for process in $(inside pgrep -u shop || true); do
    case $(inside cat "/proc/$process/comm" 2>/dev/null || true) in
    sshd | sshd-session | systemd | "(sd-pam)") ;;
    *) inside kill -KILL "$process" 2>/dev/null || true ;;
    esac
done

mv "$folder/srv/shop" "$folder/srv/.old"
mv "$folder/srv/.next" "$folder/srv/shop"
find "$folder/mysql" -mindepth 1 -maxdepth 1 ! -name .next -exec rm -rf {} +
find "$folder/mysql/.next" -mindepth 1 -maxdepth 1 -exec mv -t "$folder/mysql" {} +
rmdir "$folder/mysql/.next"
find "$folder/srv" -mindepth 1 -maxdepth 1 ! -name shop ! -name .old -exec rm -rf {} +
find "$folder/home/shop" -mindepth 1 -maxdepth 1 ! -name .ssh ! -name '.bash*' ! -name .profile -exec rm -rf {} +
inside sh -c 'rm -rf /var/log/mail-sink/* /var/log/mysql/*
    : >/var/log/php/shop.log
    : >/var/log/php/slow.log
    find /tmp /var/tmp -mindepth 1 -user shop -delete 2>/dev/null
    systemctl reset-failed
    systemctl start nginx "$@"' sh "${units[@]}"
rm -rf "$folder/srv/.old"
