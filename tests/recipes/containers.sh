#!/bin/bash
# Stands for docker and podman where neither can run: a container is a process in a network namespace of its own, with
# nothing in it but `lo`. Knows the commands of the recipes in README.md, word for word, and refuses all others.
set -eu
containers=/run/stand-in
refuse() {
    echo "stand-in for ${0##*/}: cannot do: $*" >&2
    exit 125
}
# start NAME: runs the container's command; its process id is then in the file NAME.
start() {
    local words tried file="$containers/$1"
    mapfile -d '' words <"$file.command"
    rm -f "$file"
    setsid unshare --net bash -c 'ip link set lo up; echo $$ >"$0"; exec "$@"' "$file" "${words[@]}" \
        </dev/null >/dev/null 2>&1 3>&- &
    for ((tried = 0; tried < 100; tried++)); do
        if [ -s "$file" ]; then return; fi
        sleep 0.05
    done
    refuse "start $1"
}
mkdir -p $containers
case "$*" in
"run -d --network none --name "*)
    name=$6
    shift 7
    if [ -e "$containers/$name" ]; then refuse "the name $name is taken"; fi
    printf '%s\0' "$@" >"$containers/$name.command"
    start "$name"
    ;;
"inspect -f {{.State.Pid}} "*) cat "$containers/$4" ;;
"exec "*)
    pid=$(cat "$containers/$2")
    shift 2
    exec nsenter --target "$pid" --net -- "$@"
    ;;
"restart -t 0 "*)
    kill -KILL "$(cat "$containers/$4")"
    start "$4"
    ;;
"rm -f "*)
    name=${*: -1}
    kill -KILL "$(cat "$containers/$name")"
    rm "$containers/$name" "$containers/$name.command"
    ;;
*) refuse "$*" ;;
esac
