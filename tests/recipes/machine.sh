#!/bin/bash
# Stands for QEMU: the machine is a process in a network namespace of its own, whose eth0 is on the bridge that the TAP
# of the machine is a port of. Takes the options of the recipe in README.md.
set -eu
refuse() {
    echo "stand-in for $0: $*" >&2
    exit 1
}
value() { # the value of a key in a list such as tap,id=net0,ifname=vm1
    sed -n "s/^\(.*,\)\?$1=\([^,]*\).*/\2/p" <<<"$2"
}
pidfile='' netdev='' device='' daemonize=no
while [ $# -gt 0 ]; do
    case $1 in
    -m | -drive | -display | -serial) shift ;;
    -daemonize) daemonize=yes ;;
    -pidfile) pidfile=$2 && shift ;;
    -netdev) netdev=$2 && shift ;;
    -device) device=$2 && shift ;;
    *) refuse "no such option: $1" ;;
    esac
    shift
done
if [ $daemonize = no ]; then refuse "it would stay in the foreground"; fi
if [ "$(value id "$netdev")" != "$(value netdev "$device")" ]; then refuse "$device is not on $netdev"; fi
tap=$(value ifname "$netdev") mac=$(value mac "$device") mtu=$(value host_mtu "$device")
if [ ! -e "/sys/class/net/$tap/tun_flags" ]; then refuse "$tap is no TAP"; fi
bridge=$(basename "$(readlink -f "/sys/class/net/$tap/master")")

setsid unshare --net bash -c 'echo $$ >"$1"; exec sleep infinity' machine "$pidfile" </dev/null >/dev/null 2>&1 3>&- &
for ((tried = 0; tried < 100; tried++)); do
    if [ -s "$pidfile" ]; then break; fi
    sleep 0.05
done
ip link add "$tap-wire" mtu "$mtu" type veth peer name eth0 address "$mac" mtu "$mtu" netns "$(cat "$pidfile")"
ip link set "$tap-wire" master "$bridge" up
