# What docker.sh and podman.sh share.
ENGINE_DIR="$HOST_DIR/engine"
mkdir "$ENGINE_DIR"

# An image on standard output: busybox, if that is there and needs no library.
image() {
    local busybox name root="$ENGINE_DIR/image"
    busybox=$(command -v busybox) || return 1
    mkdir -p "$root/bin"
    cp "$busybox" "$root/bin/busybox"
    for name in sh sleep ping; do ln -s busybox "$root/bin/$name"; done
    chroot "$root" /bin/sh -c : || return 1
    tar -C "$root" -c .
}

# engine NAME FUNCTION: uses the engine that the function brings up, or else the stand-in; says which.
engine() {
    if "$2" >"$ENGINE_DIR/up.log" 2>&1; then
        echo "real $1" >"$HOST_DIR/engine.used"
    else
        PATH=$STAND_INS:$PATH
        echo "a stand-in for $1" >"$HOST_DIR/engine.used"
    fi
}
