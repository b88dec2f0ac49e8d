#!/bin/sh
# Becomes PID 1 of a systemd that owns nothing of this machine: called in namespaces of its own by systemd_host.py.
# /usr is there read-only, of /etc what logging in needs; all else lies in memory and is gone with the last process.
set -e
place=$1
root=$place/root

mount --make-rprivate /
mount -t tmpfs -o mode=755 none "$root"
cd "$root"
mkdir -p usr etc proc sys run dev tmp root home srv units var/lib/systemd/linger var/log ".$place"
chmod 1777 tmp
mount --bind /usr usr
mount -o remount,bind,ro usr
mount --bind "$place" ".$place"
ln -s /run var/run
for link in bin sbin lib lib32 lib64 libx32; do
    [ ! -L "/$link" ] || ln -s "$(readlink "/$link")" "$link"
done
for name in hosts passwd group nsswitch.conf login.defs pam.d security ld.so.cache ld.so.conf ld.so.conf.d \
    alternatives dbus-1 polkit-1 ssl; do
    [ ! -e "/etc/$name" ] || cp -a "/etc/$name" "etc/$name"
done
sed 's/:.*/:*::0:99999:7:::/' etc/passwd >etc/shadow
chmod 600 etc/shadow
echo 0123456789abcdef0123456789abcdef >etc/machine-id

mount -t proc none proc
# The kernel's settings are this machine's, too.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro none sys
mount -t cgroup2 none sys/fs/cgroup
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=755 none dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 none dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

for unit in dbus.service dbus.socket polkit.service systemd-logind.service user@.service user-runtime-dir@.service \
    basic.target sysinit.target sockets.target shutdown.target user.slice; do
    [ ! -e "/usr/lib/systemd/system/$unit" ] || cp "/usr/lib/systemd/system/$unit" units/
done
mkdir run/sshd
. "$place/set_up"

mkdir old
pivot_root . old
umount -l old
rmdir old
# It says to systemd that the machine is somebody else's: no clock, no kernel modules, no reboot.
exec env -i container=other PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin SYSTEMD_UNIT_PATH=/units \
    /usr/lib/systemd/systemd --system --log-target=console --show-status=0
