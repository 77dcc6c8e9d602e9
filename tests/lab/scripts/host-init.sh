#!/bin/bash
# The first program of a lab host. It runs in its own namespaces, makes the host's root out of the machine's `/` and a layer of the
# host's own, and then becomes systemd (mode `run`) or the builder of the template (mode `build`).
# From the environment: LAB_MODE LAB_FOLDER LAB_NAME LAB_HIDE, and for `run` LAB_ADDRESS LAB_GATEWAY LAB_MIRROR LAB_SUDO
# LAB_WAITS_FOR_DISK.
set -eu
folder=$LAB_FOLDER root=$LAB_FOLDER/root

mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work,index=off,redirect_dir=off,metacopy=off,xino=off" "$root"

# What belongs to the machine and must not shine through. /usr/local too: a plain Debian server has nothing there.
IFS=:
for place in $LAB_HIDE; do
    if [ -d "$root$place" ] && [ ! -L "$root$place" ]; then mount -t tmpfs -o mode=755,size=64m tmpfs "$root$place"; fi
done
unset IFS
chmod 700 "$root/root" 2>/dev/null || true

# Real directories, not overlay: what a site owner and a database would have on a disk.
for pair in srv:/srv mysql:/var/lib/mysql home:/home; do
    mkdir -p "$root${pair#*:}"
    mount --bind "$folder/${pair%%:*}" "$root${pair#*:}"
done
if [ "$LAB_MODE" = build ]; then
    mkdir -p "$root/mnt/lab"
    mount --bind "$folder/share" "$root/mnt/lab"
fi

mount -t proc proc "$root/proc"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup"
mount -o remount,bind,ro "$root/sys"
mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    IFS=: read -r device_name major minor <<<"$device"
    mknod -m 666 "$root/dev/$device_name" c "$major" "$minor"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${number%%:*}" "$root/dev/${number#*:}"; done
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mount -t tmpfs -o mode=1777,nosuid,nodev,size=2g tmpfs "$root/tmp"

cd "$root"
if [ "$LAB_MODE" = run ]; then
    install -m 600 "$folder/ssh_host_ed25519_key" etc/ssh/ssh_host_ed25519_key
    if [ "$LAB_SUDO" = yes ]; then
        echo 'deploy ALL=(ALL) NOPASSWD: ALL' >etc/sudoers.d/deploy
        chmod 440 etc/sudoers.d/deploy
    fi
    if [ "$LAB_WAITS_FOR_DISK" = no ]; then
        printf '[mysqld]\n%s\n' innodb_flush_method=nosync sync_frm=0 aria_sync_log_dir=NEVER >etc/mysql/mariadb.conf.d/95-lab.cnf
    fi
fi
mkdir -p run/.machine
pivot_root . run/.machine
umount -l /run/.machine
rmdir /run/.machine
cd /
hash -r

hostname "$LAB_NAME"
echo "$LAB_NAME" >/etc/hostname
: >/etc/resolv.conf # without a name server nothing waits for one
: >/etc/fstab
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
{
    echo "127.0.0.1 localhost $LAB_NAME"
    echo "::1 localhost"
    if [ "$LAB_MODE" = run ]; then
        echo "127.0.0.1 shop.example.test"
        echo "$LAB_MIRROR api.wordpress.org downloads.wordpress.org"
    fi
} >/etc/hosts
ip link set lo up

clean=(env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "UPKEEP_LAB_INSTANCE=$UPKEEP_LAB_INSTANCE")
if [ "$LAB_MODE" = build ]; then exec "${clean[@]}" /bin/bash /mnt/lab/build-template.sh; fi

# The lab puts the network cable in from outside as soon as this namespace exists.
for _ in $(seq 500); do
    if [ -e /sys/class/net/eth0 ]; then break; fi
    sleep 0.02
done
ip addr add "$LAB_ADDRESS/24" dev eth0
ip link set eth0 up
ip route add "$LAB_MIRROR/32" dev eth0
ip route add default via "$LAB_GATEWAY"
exec "${clean[@]}" container=lab /lib/systemd/systemd --unit=lab.target --show-status=0 --log-target=journal
