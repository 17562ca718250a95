"""The overlays that are measured.  A peer is a function that brings one up:

    @peer("name", note="how it moves a packet")
    def _(lab):
        for s in SIDES:
            lab.spawn(lab.node(s), "switch", "--tap", "tap0", "--local", UNDERLAY[s],
                      "--remote", UNDERLAY[OTHER[s]])
            lab.give_pod(s, "tap0", lab.mtu - 50)

The harness then waits for a ping and measures; all processes and namespaces go with the
lab.  Put a new one in a file of your own and pass it with --peers FILE, or use --switch.
Programs are looked up on PATH and in the folders of BENCH_PATH.

`can` names what else than two nodes with one pod each, over IPv4, the function sets up. Such
a function asks the lab instead of the constants:

    star   five nodes: lab.sides, lab.others(side)
    pairs  two pods on each node: lab.pod_numbers()
    v6     an IPv6 underlay: lab.underlay(side), lab.pod_mtu
"""
import glob, os, shutil
from typing import Callable, NamedTuple
from lab import OTHER, POD, SIDES, UNDERLAY, SetupError, sh

PEERS = {}
FLOODED = "00:00:00:00:00:00"   # the VXLAN device's entry for what it has not learned


class Peer(NamedTuple):
    setup: Callable
    layer: int
    note: str
    can: tuple


def peer(name, layer=2, note="", can=()):
    def add(setup):
        PEERS[name] = Peer(setup, layer, note, can)
        return setup
    return add


def program(*names):
    """The first of these programs that is installed; else the peer is skipped."""
    path = os.environ.get("BENCH_PATH", "") + os.pathsep + os.environ["PATH"] + ":/usr/sbin:/sbin"
    for n in names:
        found = shutil.which(n, path=path)
        if found:
            return found
    raise SetupError(f"{names[0]} is not installed")


def tap_switch(name, command):
    """A peer out of one command line: {side} {dev} {local} {remote} {mtu} {dir} are filled in."""
    @peer(name, note=command)
    def _(lab):
        for s in SIDES:
            words = command.format(side=s, dev="tap0", local=UNDERLAY[s], remote=UNDERLAY[OTHER[s]],
                                   mtu=lab.mtu - 50, dir=lab.dir)
            lab.spawn(lab.node(s), "sh", "-c", "exec " + words, log=f"{name}-{s}.log")
            lab.give_pod(s, "tap0", lab.mtu - 50)


# --- the limits ---------------------------------------------------------------------------

@peer("raw", note="no overlay: the underlay itself", can=("star",))
def _(lab):
    lab.on_underlay = True


def vxlan_dev(lab, s):
    node = lab.node(s)
    lab.ip(node, "link", "add", "tun0", "type", "vxlan", "id", 7, "dstport", 4789, "local", lab.underlay(s), "dev", "u0")
    for o in lab.others(s):
        lab.run(node, "bridge", "fdb", "append", FLOODED, "dev", "tun0", "dst", lab.underlay(o))


def geneve_dev(lab, s):
    (other,) = lab.others(s)
    lab.ip(lab.node(s), "link", "add", "tun0", "type", "geneve", "id", 7, "remote", lab.underlay(other))


def bridged(lab, make_dev):
    """The tunnel device and the pods' veths on a bridge, as container networks have it."""
    for s in lab.sides:
        node = lab.node(s)
        make_dev(lab, s)
        lab.ip(node, "link", "add", "br0", "type", "bridge")
        for dev in ["tun0"] + [lab.veth_pod(s, lab.pod_mtu, number) for number in lab.pod_numbers()]:
            lab.ip(node, "link", "set", dev, "master", "br0")
            lab.ip(node, "link", "set", dev, "mtu", lab.pod_mtu, "up")
        lab.ip(node, "link", "set", "br0", "up")


@peer("kernel-vxlan", note="kernel vxlan device in the pod", can=("star", "v6"))
def _(lab):
    for s in lab.sides:
        vxlan_dev(lab, s)
        lab.give_pod(s, "tun0", lab.pod_mtu)


@peer("kernel-vxlan-bridge", note="kernel vxlan + bridge + veth, as flannel does", can=("star", "pairs", "v6"))
def _(lab): bridged(lab, vxlan_dev)


@peer("kernel-geneve-bridge", note="kernel geneve + bridge + veth", can=("pairs", "v6"))
def _(lab): bridged(lab, geneve_dev)


# --- Open vSwitch, userspace datapath -------------------------------------------------------

def ovs(lab, tunnel, overhead, pod_port, port_type="system"):
    if port_type.startswith("afxdp") and lab.mtu > 3000:
        raise SetupError("AF_XDP has no room for a jumbo frame in its page; use an MTU up to 3000")
    if pod_port == "tap" and lab.mtu > 1500:
        raise SetupError("OVS passes no jumbo frames through an internal port that a pod took; use an MTU up to 1500")
    schema = (glob.glob("/usr/share/openvswitch/vswitch.ovsschema") or [None])[0]
    for s in lab.sides:
        node, d = lab.node(s), lab.path(f"ovs{s}")
        os.makedirs(d)
        env = {"OVS_RUNDIR": d, "OVS_DBDIR": d, "OVS_LOGDIR": d}
        db = f"unix:{d}/db.sock"
        sh(program("ovsdb-tool"), "create", f"{d}/conf.db", schema)
        lab.spawn(node, program("ovsdb-server"), f"{d}/conf.db", f"--remote=p{db}", env=env)
        lab.wait(lambda: os.path.exists(f"{d}/db.sock"), 5, "ovsdb-server")
        ctl = lambda *a: lab.run(node, program("ovs-vsctl"), f"--db={db}", "--timeout=8", *a)
        ctl("--no-wait", "init")
        lab.spawn(node, program("ovs-vswitchd"), db, env=env)
        # The underlay: OVS takes u0 (AF_PACKET); its address moves to the bridge's own port.
        mac = lab.run(node, "cat", "/sys/class/net/u0/address").strip()
        ctl("add-br", "phy", "--", "set", "bridge", "phy", "datapath_type=netdev", f"other_config:hwaddr={mac}", "--",
            "add-port", "phy", "u0", "--", "set", "interface", "u0", f"type={port_type}")
        lab.ip(node, "addr", "flush", "dev", "u0")
        lab.ip(node, "addr", "add", UNDERLAY[s] + "/24", "dev", "phy")
        lab.ip(node, "link", "set", "phy", "up")
        ctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        for o in lab.others(s):
            ctl("add-port", "br0", f"tun{o}", "--", "set", "interface", f"tun{o}", f"type={tunnel}",
                f"options:remote_ip={UNDERLAY[o]}", "options:key=7")
        if pod_port == "veth":
            port = lab.veth_pod(s, lab.mtu - overhead)
            ctl("add-port", "br0", port, "--", "set", "interface", port, f"type={port_type}")
            # This OVS forwards half-made checksums and TSO frames unfinished over a tunnel.
            lab.ethtool(lab.pod(s), "-K", "eth0", "tx", "off")
        else:
            ctl("add-port", "br0", "tap0", "--", "set", "interface", "tap0", "type=internal")
            lab.give_pod(s, "tap0", lab.mtu - overhead)


@peer("ovs-vxlan", note="OVS netdev datapath; AF_PACKET on veth pod and underlay, recvmmsg/sendmmsg x32",
      can=("star",))
def _(lab): ovs(lab, "vxlan", 50, "veth")


@peer("ovs-geneve", note="as ovs-vxlan, Geneve without options")
def _(lab): ovs(lab, "geneve", 50, "veth")


@peer("ovs-vxlan-afxdp", note="as ovs-vxlan, both veths through AF_XDP (non-PMD, generic or native as OVS chooses)")
def _(lab): ovs(lab, "vxlan", 50, "veth", "afxdp-nonpmd")


@peer("ovs-vxlan-tap", note="as ovs-vxlan, pod on an OVS internal port (TAP, one read/write per frame)")
def _(lab): ovs(lab, "vxlan", 50, "tap")


# --- TAP (layer 2) switches -------------------------------------------------------------------

@peer("socat-tap", note="naive floor: TAP <-> UDP copy, one read and one write per frame, no header at all")
def _(lab):
    for s in SIDES:
        lab.spawn(lab.node(s), program("socat"), "-b", "9216", "TUN,tun-type=tap,iff-no-pi,tun-name=tap0,iff-up",
                  f"UDP4:{UNDERLAY[OTHER[s]]}:4789,bind={UNDERLAY[s]}:4789")
        lab.give_pod(s, "tap0", lab.mtu - 42)


def fastd(lab, method, overhead):
    fd = program("fastd")
    secret, public = {}, {}
    for s in SIDES:
        secret[s] = sh(fd, "--generate-key", "--machine-readable").strip()
        conf = lab.write(f"key{s}.conf", f'secret "{secret[s]}";')
        public[s] = sh(fd, "--show-key", "--machine-readable", "--config", conf).strip()
    for s in reversed(SIDES):   # only A calls: two crossing handshakes would back off for 20 s
        remote = f"remote {UNDERLAY['B']}:10000;" if s == "A" else ""
        conf = lab.write(f"fastd{s}.conf", f'''
            mode tap; interface "tap0"; mtu {lab.mtu - overhead}; method "{method}"; log level warn;
            secret "{secret[s]}"; bind {UNDERLAY[s]}:10000;
            peer "other" {{ key "{public[OTHER[s]]}"; {remote} }}''')
        lab.spawn(lab.node(s), fd, "--config", conf)
        lab.give_pod(s, "tap0", lab.mtu - overhead)


@peer("fastd-null", note="one thread, one read/write per frame, no cipher")
def _(lab): fastd(lab, "null", 70)


@peer("fastd-salsa", note="as fastd-null, salsa2012+umac")
def _(lab): fastd(lab, "salsa2012+umac", 90)


@peer("n2n", note="n2n 1.3: one thread, one read/sendto per frame, Twofish always on")
def _(lab):
    lab.spawn(lab.node("A"), program("supernode"), "-l", "7654")
    for s in SIDES:
        lab.spawn(lab.node(s), program("edge"), "-d", "tap0", "-a", POD[s], "-s", "255.255.255.0", "-c", "bench",
                  "-k", "secret", "-l", f"{UNDERLAY['A']}:7654", "-p", "7700", "-m", f"02:00:00:00:00:0{SIDES.index(s)+1}",
                  "-M", str(lab.mtu - 100))
        lab.give_pod(s, "tap0", lab.mtu - 100)


def tinc(lab, cipher, digest):
    key = {}
    for s in SIDES:
        os.makedirs(lab.path(f"tinc{s}", "hosts"), exist_ok=True)
        key[s] = sh("openssl", "genrsa", "-traditional", "2048")
        pub = sh("openssl", "rsa", "-RSAPublicKey_out", input=key[s])
        for t in SIDES:
            lab.write(f"tinc{t}/hosts/n{s}", f"Address={UNDERLAY[s]}\nCipher={cipher}\nDigest={digest}\n"
                      f"PMTU={lab.mtu}\n{pub}")
    for s in SIDES:
        lab.write(f"tinc{s}/tinc.conf", f"Name=n{s}\nMode=switch\nDeviceType=tap\nInterface=tap0\n"
                  f"ConnectTo=n{OTHER[s]}\n")
        lab.write(f"tinc{s}/tinc-up", "#!/bin/sh\n")
        os.chmod(lab.path(f"tinc{s}/tinc-up"), 0o755)
        lab.write(f"tinc{s}/rsa_key.priv", key[s])
        lab.spawn(lab.node(s), program("tincd"), "-D", "-c", lab.path(f"tinc{s}"), "--pidfile",
                  lab.path(f"tinc{s}.pid"))
        lab.give_pod(s, "tap0", lab.mtu - 100)


@peer("tinc-plain", note="tinc 1.0 switch mode, no cipher, no digest; one thread, one read/sendto per frame")
def _(lab): tinc(lab, "none", "none")


@peer("tinc", note="as tinc-plain, its default AES-256-CBC + SHA-256")
def _(lab): tinc(lab, "aes-256-cbc", "sha256")


def openvpn(lab, crypto):
    cert = {}
    for s in SIDES:
        k, c = lab.path(f"k{s}.pem"), lab.path(f"c{s}.pem")
        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
           "-keyout", k, "-out", c, "-days", "9", "-subj", f"/CN=n{s}")
        fp = sh("openssl", "x509", "-in", c, "-noout", "-fingerprint", "-sha256").split("=")[1].strip()
        cert[s] = (k, c, fp)
    for s in SIDES:
        role = ["--tls-server", "--dh", "none"] if s == "A" else ["--tls-client"]
        lab.spawn(lab.node(s), program("openvpn"), "--dev", "tap0", "--dev-type", "tap", "--proto", "udp",
                  "--local", UNDERLAY[s], "--remote", UNDERLAY[OTHER[s]], "--port", "1194", *role,
                  "--key", cert[s][0], "--cert", cert[s][1], "--peer-fingerprint", cert[OTHER[s]][2],
                  "--tun-mtu", lab.mtu - 100, "--mssfix", "0", "--sndbuf", "4000000", "--rcvbuf", "4000000",
                  "--txqueuelen", "1000", "--ping", "10", "--disable-dco", "--verb", "1", *crypto)
        lab.give_pod(s, "tap0", lab.mtu - 100)


@peer("openvpn-plain", note="OpenVPN 2.6 TAP, no cipher; one thread, poll + one read/write per frame")
def _(lab): openvpn(lab, ["--data-ciphers", "none", "--data-ciphers-fallback", "none", "--cipher", "none", "--auth", "none"])


@peer("openvpn-aes", note="as openvpn-plain, AES-256-GCM")
def _(lab): openvpn(lab, ["--data-ciphers", "AES-256-GCM"])


def vpncloud(lab, algorithm):
    for s in SIDES:
        lab.ip(lab.node(s), "route", "add", "default", "dev", "u0")   # it asks for its public address
        lab.spawn(lab.node(s), program("vpncloud"), "--type", "tap", "--mode", "switch", "--device", "tap0",
                  "--listen", f"{UNDERLAY[s]}:3210", "--peer", f"{UNDERLAY[OTHER[s]]}:3210", "--password", "bench",
                  "--algorithm", algorithm, "--no-port-forwarding", "--ip", POD[s] + "/24",
                  env={"HOME": lab.dir})
        lab.give_pod(s, "tap0", lab.mtu - 100)


@peer("vpncloud-plain", note="Rust, TAP switch, no cipher; one thread, epoll_wait + one read/send per frame")
def _(lab): vpncloud(lab, "plain")


@peer("vpncloud-aes", note="as vpncloud-plain, AES-128-GCM")
def _(lab): vpncloud(lab, "aes128")


# --- layer 3 tunnels (TUN): not switches, but the state of the art of userspace packet moving ---

def wireguard(lab, name, *args):
    exe = program(name)
    key = {s: sh("wg", "genkey").strip() for s in SIDES}
    pub = {s: sh("wg", "pubkey", input=key[s]).strip() for s in SIDES}
    for s in SIDES:
        dev = f"wg{os.getpid() % 100000}{s}"   # its control socket has a path common to all namespaces
        control = f"/var/run/wireguard/{dev}.sock"
        lab.remove_after(control)
        lab.spawn(lab.node(s), exe, *args, dev, env={"WG_PROCESS_FOREGROUND": "1", "WG_SUDO": "1"})
        lab.wait(lambda: os.path.exists(control), 5, f"{name} control socket")
        lab.run(lab.node(s), "wg", "set", dev, "private-key", lab.write(f"key{s}", key[s]), "listen-port", "51820")
        lab.run(lab.node(s), "wg", "set", dev, "peer", pub[OTHER[s]], "allowed-ips", "10.98.0.0/24",
                "endpoint", f"{UNDERLAY[OTHER[s]]}:51820")
        lab.ip(lab.node(s), "link", "set", dev, "mtu", lab.mtu - 80, "up")
        lab.give_pod(s, dev, lab.mtu - 80)


@peer("wireguard-go", 3, note="Go, TUN vnet_hdr TSO/USO + own GRO, UDP_SEGMENT/UDP_GRO, sendmmsg x128, ChaCha20-Poly1305 on all cores")
def _(lab): wireguard(lab, "wireguard-go", "-f")


@peer("gotatun", 3, note="Rust (Mullvad), tokio, sendmmsg/recvmmsg x100 + UDP_GRO, but one read/write per packet on the TUN")
def _(lab): wireguard(lab, "gotatun", "--foreground", "--verbosity", "error", "--disable-drop-privileges")


@peer("boringtun", 3, note="Rust (Cloudflare), 4 epoll threads, multi-queue TUN, one read/send per packet")
def _(lab): wireguard(lab, "boringtun-cli", "--foreground", "--disable-drop-privileges")


@peer("nebula", 3, note="Go, TUN, recvmmsg on receive only, AES-256-GCM, one routine")
def _(lab):
    sh(program("nebula-cert"), "ca", "-name", "bench", "-out-crt", lab.path("ca.crt"), "-out-key", lab.path("ca.key"))
    for s in SIDES:
        crt, key = lab.path(f"n{s}.crt"), lab.path(f"n{s}.key")
        sh(program("nebula-cert"), "sign", "-ca-crt", lab.path("ca.crt"), "-ca-key", lab.path("ca.key"),
           "-name", f"n{s}", "-ip", POD[s] + "/24", "-out-crt", crt, "-out-key", key)
        conf = lab.write(f"nebula{s}.yml", f'''
pki: {{ca: {lab.path("ca.crt")}, cert: {crt}, key: {key}}}
static_host_map: {{"{POD[OTHER[s]]}": ["{UNDERLAY[OTHER[s]]}:4242"]}}
lighthouse: {{am_lighthouse: {"true" if s == "A" else "false"}, hosts: {"[]" if s == "A" else '["10.98.0.1"]'}}}
listen: {{host: {UNDERLAY[s]}, port: 4242}}
tun: {{dev: neb0, mtu: {lab.mtu - 80}, tx_queue: 1000}}
cipher: aes
firewall: {{outbound: [{{port: any, proto: any, host: any}}], inbound: [{{port: any, proto: any, host: any}}]}}
''')
        lab.spawn(lab.node(s), program("nebula"), "-config", conf)
    for s in SIDES:
        lab.wait(lambda: "10.98.0" in lab.ip(lab.node(s), "addr", "show"), 5, "nebula address")
        lab.give_pod(s, "neb0", lab.mtu - 80)


# --- weft -------------------------------------------------------------------------------------

def weft_binary():
    built = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../target/release/weft")
    exe = os.environ.get("WEFT_BIN") or (built if os.path.exists(built) else shutil.which("weft"))
    if not exe or not os.path.exists(exe):
        raise SetupError("no weft to measure: run `cargo build --release`, or name the binary in WEFT_BIN")
    return exe


def weft(lab, format="vxlan", extra=""):
    exe = weft_binary()
    for s in lab.sides:
        conf = f'''
[node]
name = "node-{s}"
socket = "{lab.path(f"weft{s}.sock")}"
[underlay]
address = "{lab.underlay(s)}"
[encap]
format = "{format}"
{extra}
[[network]]
name = "pods"
vni = 7
'''
        for number in lab.pod_numbers():
            conf += f'[[port]]\nname = "tap{number}"\nnetwork = "pods"\n'
        for o in lab.others(s):
            conf += f'[[peer]]\naddress = "{lab.underlay(o)}"\n'
        lab.spawn(lab.node(s), exe, "run", "--config", lab.write(f"weft{s}.toml", conf), log=f"weft{s}.log")
        for number in lab.pod_numbers():
            lab.give_pod(s, f"tap{number}", lab.pod_mtu, number)


WEFT_CAN = ("star", "pairs", "v6")


@peer("weft", note="VXLAN; TAP with TSO/USO, UDP_SEGMENT, UDP_GRO, coalescing; one thread for two CPUs", can=WEFT_CAN)
def _(lab): weft(lab)


@peer("weft-geneve", note="as weft, Geneve", can=WEFT_CAN)
def _(lab): weft(lab, "geneve")


@peer("weft-busy", note="as weft, poll = \"busy\"", can=WEFT_CAN)
def _(lab): weft(lab, extra='[datapath]\npoll = "busy"')
