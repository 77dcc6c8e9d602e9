#!/bin/bash
# Runs once inside an empty layer over the machine's `/` and turns it into a client's web server: the template of every host.
# What it needs lies in /mnt/lab. It starts MariaDB by hand, because systemd does not run here.
set -eu
lab=/mnt/lab site=/srv/shop htdocs=/srv/shop/htdocs
begin=$(date +%s%N)
lap() { printf 'template: %5d ms  %s\n' $((($(date +%s%N) - begin) / 1000000)) "$1"; }
random() { head -c 32 /dev/urandom | sha256sum | cut -c "1-${1:-32}"; }
php_version=$(php -r 'echo PHP_MAJOR_VERSION.".".PHP_MINOR_VERSION;')

# ---- people -----------------------------------------------------------------------------------------------------------
# Fixed numbers, far from those of the machine's own people.
groupadd -g 21001 shop
useradd -u 21001 -g 21001 -d /home/shop -s /bin/bash shop
groupadd -g 21002 deploy
useradd -u 21002 -g 21002 -d /home/deploy -s /bin/bash deploy
usermod -p '*' shop # no password, but not locked: sshd refuses locked accounts
usermod -p '*' deploy
for name in shop deploy; do
    cp -rT /etc/skel "/home/$name"
    install -d -m 700 "/home/$name/.ssh"
    chown -R "$name:$name" "/home/$name"
    chmod 755 "/home/$name"
done
: >/etc/environment
rm -f /etc/profile.d/* /etc/motd /usr/sbin/policy-rc.d

# ---- ssh --------------------------------------------------------------------------------------------------------------
rm -f /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d/* /etc/ssh/sshd_not_to_be_run
cat >/etc/ssh/sshd_config <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM yes
UseDNS no
MaxSessions 50
MaxStartups 50
Subsystem sftp /usr/lib/openssh/sftp-server
END

# ---- mail: nothing leaves, everything is kept -----------------------------------------------------------------------------
install -d -m 1777 /var/log/mail-sink
rm -f /usr/sbin/sendmail
cat >/usr/sbin/sendmail <<'END'
#!/bin/sh
exec cat >"/var/log/mail-sink/$(date +%s%N).$$.eml"
END
chmod 755 /usr/sbin/sendmail

# ---- database -----------------------------------------------------------------------------------------------------------
cat >/etc/mysql/mariadb.conf.d/90-lab.cnf <<'END'
[mysqld]
skip-name-resolve
performance_schema=off
innodb_buffer_pool_size=64M
innodb_log_file_size=16M
max_connections=40
END
install -d -o mysql -g mysql /run/mysqld
chown mysql:mysql /var/lib/mysql
chmod 755 /var/lib/mysql
mariadb-install-db --user=mysql --datadir=/var/lib/mysql --skip-test-db >/tmp/install-db.log 2>&1 || { cat /tmp/install-db.log; exit 1; }
lap 'MariaDB initialised'
mariadbd --user=mysql >/tmp/mariadbd.log 2>&1 &
for _ in $(seq 300); do
    if mariadb-admin ping >/dev/null 2>&1; then break; fi
    sleep 0.05
done
database_password=$(random 24)
mariadb <<END
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE DATABASE shop_staging CHARACTER SET utf8mb4;
CREATE USER shop@localhost IDENTIFIED BY '$database_password';
GRANT ALL PRIVILEGES ON shop.* TO shop@localhost;
GRANT ALL PRIVILEGES ON shop_staging.* TO shop@localhost;
END
lap 'databases made'

# ---- web server and PHP ---------------------------------------------------------------------------------------------------
install -d /var/log/php
install -o shop -g adm -m 640 /dev/null /var/log/php/shop.log
rm -f "/etc/php/$php_version/fpm/pool.d/"*
# 96 MB is enough for the site with every release that is good, and not for lab-banner 2.12.
cat >"/etc/php/$php_version/fpm/pool.d/shop.conf" <<'END'
[shop]
user = shop
group = shop
listen = /run/php/shop.sock
listen.owner = www-data
listen.group = www-data
pm = dynamic
pm.max_children = 6
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
request_terminate_timeout = 60s
; A test that fails shows where PHP was (tests/conftest.py).
request_slowlog_timeout = 5s
slowlog = /var/log/php/slow.log
catch_workers_output = yes
php_admin_value[memory_limit] = 96M
php_admin_value[error_log] = /var/log/php/shop.log
php_admin_flag[log_errors] = on
php_value[upload_max_filesize] = 16M
php_value[post_max_size] = 16M
END
rm -f /etc/nginx/sites-enabled/* /etc/nginx/conf.d/*
cat >/etc/nginx/sites-available/shop <<'END'
server {
    listen 80 default_server;
    server_name _;
    root /srv/shop/htdocs;
    index index.php index.html;
    client_max_body_size 16m;
    server_tokens off;
    access_log /var/log/nginx/shop.access.log;
    error_log /var/log/nginx/shop.error.log;

    location / {
        try_files $uri $uri/ /index.php?$args;
    }
    location ~ /\. {
        deny all;
    }
    location ~ \.php$ {
        include snippets/fastcgi-php.conf;
        # Debian passes $host, which has no port: a site with a port would redirect to itself for ever.
        fastcgi_param HTTP_HOST $http_host;
        fastcgi_pass unix:/run/php/shop.sock;
        fastcgi_read_timeout 60s;
    }
}
END
ln -s ../sites-available/shop /etc/nginx/sites-enabled/shop

# ---- WordPress ------------------------------------------------------------------------------------------------------------
python3 -m zipfile -e $lab/core.zip /tmp/unpacked
mkdir -p $site
mv /tmp/unpacked/wordpress $htdocs
for archive in $lab/plugin-*.zip; do python3 -m zipfile -e "$archive" $htdocs/wp-content/plugins; done
mkdir -p $htdocs/wp-content/uploads
lap 'WordPress unpacked'
{
    echo '<?php'
    echo "define( 'DB_NAME', 'shop' );"
    echo "define( 'DB_USER', 'shop' );"
    echo "define( 'DB_PASSWORD', '$database_password' );"
    echo "define( 'DB_HOST', 'localhost' );"
    echo "define( 'DB_CHARSET', 'utf8mb4' );"
    echo "define( 'DB_COLLATE', '' );"
    for key in AUTH_KEY SECURE_AUTH_KEY LOGGED_IN_KEY NONCE_KEY AUTH_SALT SECURE_AUTH_SALT LOGGED_IN_SALT NONCE_SALT; do
        echo "define( '$key', '$(random 64)' );"
    done
    echo "\$table_prefix = 'wp_';"
    echo "define( 'WP_DEBUG', false );"
    echo "define( 'DISABLE_WP_CRON', true );"
    echo "if ( ! defined( 'ABSPATH' ) ) { define( 'ABSPATH', __DIR__ . '/' ); }"
    echo "require_once ABSPATH . 'wp-settings.php';"
} >$htdocs/wp-config.php
find $site -type d -exec chmod 755 {} +
find $site -type f -exec chmod 644 {} +
chmod 640 $htdocs/wp-config.php
chown -R shop:shop $site
runuser -u shop -- php $lab/seed.php $htdocs http://shop.example.test "$(random 20)"
lap 'WordPress installed and filled'
mariadb-admin shutdown
wait
lap 'MariaDB stopped'

# ---- systemd: only what a web server of this kind runs -----------------------------------------------------------------------
rm -rf /etc/systemd/system/* /etc/systemd/*.conf.d
mkdir -p /etc/systemd/system/lab.target.wants /etc/systemd/system/mariadb.service.d
cat >/etc/systemd/system/lab.target <<'END'
[Unit]
Description=A client's web server
Requires=basic.target
After=basic.target
AllowIsolate=yes
END
# The check of old tables after every start is of no use for a database that was made a moment ago.
printf '[Service]\nExecStartPost=\nTimeoutStopSec=20\n' >/etc/systemd/system/mariadb.service.d/lab.conf
units=/lib/systemd/system
for unit in mariadb nginx "php$php_version-fpm" ssh dbus systemd-logind systemd-user-sessions cron; do
    if [ -f "$units/$unit.service" ]; then ln -s "$units/$unit.service" /etc/systemd/system/lab.target.wants/; fi
done
ln -s $units/ssh.service /etc/systemd/system/sshd.service
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
    systemd-modules-load.service systemd-sysctl.service systemd-hwdb-update.service systemd-firstboot.service \
    systemd-networkd.service systemd-networkd.socket systemd-resolved.service systemd-timesyncd.service \
    systemd-remount-fs.service systemd-random-seed.service systemd-pstore.service systemd-binfmt.service \
    systemd-journal-flush.service systemd-update-utmp.service systemd-machine-id-commit.service systemd-repart.service \
    systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup-dev-early.service kmod-static-nodes.service \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount console-getty.service getty@.service \
    apt-daily.timer apt-daily-upgrade.timer ssh.socket snapd.service snapd.socket apparmor.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
rm -rf /var/log/mysql/* /var/log/nginx/* /var/log/journal /var/lib/systemd/random-seed
touch /srv/.built
lap 'template ready'
