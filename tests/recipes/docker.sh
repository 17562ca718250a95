# Gives this host a docker engine of its own, with an image called alpine. Where that cannot be, the stand-in is used.
docker_up() {
    local tried
    export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG="$ENGINE_DIR/config"
    command -v docker >/dev/null && command -v dockerd >/dev/null || return 1
    dockerd --data-root "$ENGINE_DIR/data" --exec-root "$ENGINE_DIR/exec" --pidfile "$ENGINE_DIR/pid" \
        --host "$DOCKER_HOST" --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$CGROUP" --bridge none \
        --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false >"$ENGINE_DIR/log" 2>&1 3>&- &
    for ((tried = 0; tried < 100; tried++)); do
        if docker info >/dev/null 2>&1; then break; fi
        sleep 0.1
    done
    if image | docker import - alpine && docker run --rm --network none alpine sh -c :; then
        disown
    else
        kill %1
        wait %1
        return 1
    fi
}
engine docker docker_up
