#!/bin/bash
# Install what the lab needs from the distribution (Debian 12, Ubuntu 24.04) and from npm: only what is missing.
# Nothing that is installed here is started, neither now nor at the next boot. Needs root.
#   tests/lab/requirements.sh [--ceph]     --ceph: also a real Ceph (350 MB), for tests of object lock and versions
set -euo pipefail
say() { printf 'requirements: %s\n' "$*" >&2; }

ceph=no
case "${1:-}" in
--ceph) ceph=yes ;;
'') ;;
*)
    say "'$1' is not understood. Type: tests/lab/requirements.sh [--ceph]"
    exit 2
    ;;
esac
if [ "$(id -u)" -ne 0 ]; then
    say 'This needs root. Type: sudo tests/lab/requirements.sh'
    exit 2
fi
if ! command -v apt-get >/dev/null; then
    say 'The lab is made for Debian and Ubuntu: apt-get is missing.'
    exit 2
fi
export DEBIAN_FRONTEND=noninteractive

installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]; }
known() { [ -n "$(apt-cache --quiet=0 madison "$1" 2>/dev/null)" ]; }

# PHP has its version in the names of its packages: take the one that is here, else the distribution's.
php=
for file in /usr/sbin/php-fpm8.*; do if [ -x "$file" ]; then php=${file#/usr/sbin/php-fpm}; fi; done
updated=no
update() {
    if [ "$updated" = no ]; then
        say 'reading the lists of packages (apt-get update)'
        apt-get update -q >/dev/null || say 'apt-get update complained; going on with the lists that are here'
        updated=yes
    fi
}
if [ -z "$php" ]; then
    update
    for version in 8.2 8.3 8.4; do if known "php$version-fpm"; then
        php=$version
        break
    fi; done
    if [ -z "$php" ]; then
        say 'This distribution has no PHP 8.2 to 8.4. The lab is made for Debian 12 and Ubuntu 24.04.'
        exit 1
    fi
fi

wanted=(nginx-light mariadb-server openssh-server openssh-client sudo acl restic rsync systemd systemd-sysv dbus
    libpam-systemd iproute2 util-linux procps python3 curl)
for part in fpm cli mysql xml mbstring curl gd zip intl sqlite3 opcache; do wanted+=("php$php-$part"); done
# A file system that shares blocks, as a site may lie on.
wanted+=(xfsprogs)
wanted+=(postgresql "php$php-pgsql")
# A browser for looks at a copy. Ubuntu's is a snap, which this does not fetch: Google's own will do there.
if ! command -v google-chrome >/dev/null && [ "$(. /etc/os-release && echo "$ID")" = debian ]; then wanted+=(chromium); fi
if [ "$ceph" = yes ]; then wanted+=(ceph-mon ceph-osd radosgw ceph-common); fi
if ! command -v npm >/dev/null; then wanted+=(npm); fi

missing=()
for package in "${wanted[@]}"; do if ! installed "$package"; then missing+=("$package"); fi; done
if [ ${#missing[@]} -eq 0 ]; then
    say 'every package is installed already'
else
    update
    say "installing ${#missing[@]} packages: ${missing[*]}"
    # Debian's own way to say "install, but start nothing". One that is there already stays as it is.
    policy=/usr/sbin/policy-rc.d
    log=$(mktemp)
    made_policy=no
    clean() {
        if [ "$made_policy" = yes ]; then rm -f "$policy"; fi
        rm -f "$log"
    }
    trap clean EXIT
    if [ ! -e "$policy" ]; then
        made_policy=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    apt-get install -y -q --no-install-recommends -o Dpkg::Use-Pty=0 "${missing[@]}" >"$log" 2>&1 &
    job=$!
    begin=$SECONDS
    while kill -0 "$job" 2>/dev/null; do
        sleep 1
        if [ $(((SECONDS - begin) % 8)) -eq 7 ]; then say "… $((SECONDS - begin)) s: $(tail -n 1 "$log" | cut -c 1-90)"; fi
    done
    if ! wait "$job"; then
        tail -n 20 "$log" >&2
        say 'apt-get failed; its last lines are above'
        exit 1
    fi
    # What came in now must not start at the machine's next boot either; what was here before is not touched.
    for pair in nginx-light:nginx mariadb-server:mariadb "php$php-fpm:php$php-fpm" openssh-server:ssh openssh-server:ssh.socket rsync:rsync postgresql:postgresql; do
        package=${pair%%:*} unit=${pair#*:}
        if [[ " ${missing[*]} " == *" $package "* ]]; then
            systemctl disable --quiet "$unit" 2>/dev/null || true
        fi
    done
    say "installed in $((SECONDS - begin)) s"
fi
say 'ready. Next: python -m tests.lab up'
