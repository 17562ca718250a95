#!/bin/bash -eu
# Copies a file to the home of root on another host of README.md: scp -p FILE root@ADDRESS:
case $3 in
    root@10.0.0.2:) host=B ;;
    root@10.0.0.9:) host=C ;;
    *) exit 1 ;;
esac
cp "$1" "$2" "$HOST_DIR/../$host/work/"
