"""What is measured, between the pods of a lab.  A measure is a function of a Bench that returns {metric: value}."""
import contextlib, json, os, subprocess
from typing import Callable, NamedTuple
from lab import SetupError

PPS = os.environ["BENCH_PPS"]     # the built pps.c, from peers.sh
PORT = 5201
MIX_SEED, MIX_BURST = 7348, 8
PING_EVERY_US = 1000              # under load: a fixed rate sees a stall as often as it lasts long


class Metric(NamedTuple):
    label: str
    digits: int
    more: bool          # is more better?


METRICS = {
    "tcp1_gbps": Metric("TCP, 1 stream, Gbit/s", 2, True),
    "cpu_s_per_gb": Metric("TCP, 1 stream, CPU s per GB", 2, False),
    "tcp4_gbps": Metric("TCP, 4 streams, Gbit/s", 2, True),
    "tcp4_cpu_s_per_gb": Metric("TCP, 4 streams, CPU s per GB", 2, False),
    "udp64_kpps": Metric("UDP 64 B blast, delivered kpps", 0, True),
    "udp64_loss_pct": Metric("UDP 64 B blast, lost %", 0, False),
    "udp64_cpu_s_per_mpkt": Metric("UDP 64 B blast, CPU s per million delivered", 2, False),
    "udp64_nodrop_kpps": Metric("UDP 64 B paced, at most 1 % lost, kpps", 0, True),
    "udp1400_kpps": Metric("UDP 1400 B blast, delivered kpps", 0, True),
    "udp1400_gbps": Metric("UDP 1400 B blast, payload Gbit/s", 2, True),
    "udp1400_loss_pct": Metric("UDP 1400 B blast, lost %", 0, False),
    "udp1400_cpu_s_per_mpkt": Metric("UDP 1400 B blast, CPU s per million delivered", 2, False),
    "rtt_p50_us": Metric("Round trip, p50, us", 1, False),
    "rtt_p99_us": Metric("Round trip, p99, us", 1, False),
    "mix_kpps": Metric("UDP mix to 4 peers, delivered kpps", 0, True),
    "mix_gbps": Metric("UDP mix to 4 peers, payload Gbit/s", 2, True),
    "mix_loss_pct": Metric("UDP mix to 4 peers, lost %", 0, False),
    "mix_cpu_s_per_mpkt": Metric("UDP mix to 4 peers, CPU s per million delivered", 2, False),
    "load_p50_us": Metric("Round trip of another pair under load, p50, us", 0, False),
    "load_p99_us": Metric("Round trip of another pair under load, p99, us", 0, False),
    "load_lost_pct": Metric("Round trips lost under load, %", 1, False),
    "load_tcp_gbps": Metric("The load: TCP, 4 streams, Gbit/s", 2, True),
    "load_udp_kpps": Metric("The load: UDP 64 B blast, delivered kpps", 0, True),
}


class Cpu:
    """Seconds that all cores were busy, and that the hypervisor took, while it is entered."""

    def __enter__(self):
        self.start = self._read()
        return self

    def __exit__(self, *exc):
        self.busy, self.steal = (b - a for a, b in zip(self.start, self._read()))

    @staticmethod
    def _read():
        with open("/proc/stat") as f:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, f.readline().split()[1:9])
        hz = os.sysconf("SC_CLK_TCK")
        return (user + nice + system + irq + softirq) / hz, steal / hz


class Blast(NamedTuple):
    sent: int
    got: int
    octets: int       # of payload, received
    secs: float
    busy: float       # CPU seconds of the whole machine

    def metrics(self, prefix):
        if not self.got:
            raise SetupError(f"none of {self.sent} datagrams arrived")
        return {f"{prefix}_sent_kpps": self.sent / self.secs / 1e3, f"{prefix}_kpps": self.got / self.secs / 1e3,
                f"{prefix}_gbps": self.octets * 8 / self.secs / 1e9,
                f"{prefix}_loss_pct": 100 * (1 - self.got / self.sent),
                f"{prefix}_cpu_s_per_mpkt": self.busy / (self.got / 1e6)}


class Bench:
    def __init__(self, lab, seconds, cc):
        self.lab, self.seconds, self.cc = lab, seconds, cc
        self.short = max(1, seconds / 2)      # of a blast
        self.ip = lab.end_ip("B")

    # --- the measures ----------------------------------------------------------------------

    def tcp(self):
        m = {}
        m["tcp1_gbps"], m["cpu_s_per_gb"], m["steal_s"] = self.streams(1)
        m["tcp4_gbps"], m["tcp4_cpu_s_per_gb"], _ = self.streams(4)
        return m

    def udp(self):
        blast = self.blast(64, self.short)
        m = blast.metrics("udp64")
        m["udp64_nodrop_kpps"] = self.nodrop(blast.got / blast.secs, 1) / 1e3
        # 1400 B of payload need an inner MTU of 1428; a smaller one gets what fits (never fragments).
        m["udp1400_size"] = min(1400, self.lab.end_mtu() - 28)
        return m | self.blast(m["udp1400_size"], self.short).metrics("udp1400")

    def rtt(self):
        with self.server(PPS, "echo", PORT):
            r = self.client(PPS, "ping", self.ip, PORT, 64, self.seconds)
        return {"rtt_p50_us": r.get("p50_us"), "rtt_p99_us": r.get("p99_us"), "rtt_lost": r["lost"]}

    def mix(self):
        """One sender, 64 sockets, a quarter of them to each of four nodes."""
        sides = self.lab.sides[1:]
        with contextlib.ExitStack() as stack:
            sinks = [stack.enter_context(self.server(PPS, "recv", PORT, side=s)) for s in sides]
            with Cpu() as cpu:
                tx = self.client(PPS, "mix", PORT, self.short, MIX_SEED, MIX_BURST, *map(self.lab.end_ip, sides))
            got = [json.loads(sink.communicate(timeout=15)[0]) for sink in sinks]
        return Blast(tx["packets"], sum(g["packets"] for g in got), sum(g["bytes"] for g in got), tx["secs"],
                     cpu.busy).metrics("mix")

    def load(self):
        """Round trips of the second pair of pods while the first carries four TCP streams and a blast."""
        other = {"side": "B", "number": 2}
        with contextlib.ExitStack() as stack:
            start = lambda *cmd, **kw: stack.enter_context(self.server(*cmd, **kw))
            start("iperf3", "-s", "-1", "-p", PORT, tcp=True)
            sink = start(PPS, "recv", PORT + 1, port=PORT + 1)
            start(PPS, "echo", PORT, **other)
            streams = stack.enter_context(self.background(*self.iperf3(4, self.seconds + 2)))
            self.wait_flows()
            stack.enter_context(self.background(PPS, "send", self.ip, PORT + 1, 64, self.seconds + 1))
            self.wait_flows()
            r = self.client(PPS, "ping", self.lab.end_ip(**other), PORT, 64, self.seconds, PING_EVERY_US, number=2)
            udp = json.loads(sink.communicate(timeout=self.seconds + 20)[0])
            tcp = json.loads(streams.communicate(timeout=self.seconds + 20)[0])["end"]["sum_received"]
        return {"load_p50_us": r.get("p50_us"), "load_p99_us": r.get("p99_us"), "load_max_us": r.get("max_us"),
                "load_lost_pct": 100 * r["lost"] / (r["n"] + r["lost"]),
                "load_tcp_gbps": tcp["bits_per_second"] / 1e9, "load_udp_kpps": udp["packets"] / udp["secs"] / 1e3}

    # --- what they are made of ---------------------------------------------------------------

    def iperf3(self, streams, secs):
        return "iperf3", "-c", self.ip, "-p", PORT, "-t", secs, "-P", streams, "-C", self.cc, "-J"

    def streams(self, count):
        """Returns (Gbit/s, CPU seconds a GB, stolen seconds)."""
        with self.server("iperf3", "-s", "-1", "-p", PORT, tcp=True), Cpu() as cpu:
            got = self.client(*self.iperf3(count, self.seconds))["end"]["sum_received"]
        return got["bits_per_second"] / 1e9, cpu.busy / (got["bytes"] / 1e9), cpu.steal

    def blast(self, size, secs, rate=0):
        with self.server(PPS, "recv", PORT) as sink:
            with Cpu() as cpu:
                tx = self.client(PPS, "send", self.ip, PORT, size, secs, rate)
            got = json.loads(sink.communicate(timeout=15)[0])
        return Blast(tx["packets"], got["packets"], got["bytes"], tx["secs"], cpu.busy)

    def nodrop(self, delivered_pps, secs):
        """The highest paced rate with at most 1% lost: up or down from what a blast delivered."""
        def delivered(share):
            b = self.blast(64, secs, delivered_pps * share)
            return b.got / b.secs if b.got >= 0.99 * b.sent else 0.0
        best = delivered(1.0)
        if not best:
            return next(filter(None, map(delivered, (0.8, 0.6, 0.45, 0.3, 0.2, 0.1, 0.05))), 0.0)
        for share in (1.3, 1.7, 2.2, 3.0):
            rate = delivered(share)
            if rate < 1.1 * best:     # lossy, or the sender can do no more
                return max(best, rate)
            best = rate
        return best

    @contextlib.contextmanager
    def server(self, *cmd, side="B", number=1, port=PORT, tcp=False):
        """A program that listens in a pod while this is entered."""
        ns = self.lab.end(side, number)
        with self.background(*cmd, side=side, number=number) as p:
            self.lab.wait(lambda: f":{port} " in self.lab.run(ns, "ss", "-Hltn" if tcp else "-Huan"), 5, cmd[0])
            yield p

    @contextlib.contextmanager
    def background(self, *cmd, side="A", number=1):
        p = self.lab.spawn(self.lab.end(side, number), *cmd, stdout=subprocess.PIPE)
        try:
            yield p
        finally:
            self.lab.stop(p)

    def client(self, *cmd, number=1):
        """What a program in a pod of A printed, as JSON."""
        return json.loads(self.lab.run(self.lab.end("A", number), *cmd, timeout=self.seconds + 25))

    def wait_flows(self):
        """Wait until B's first pod has received a thousand more frames."""
        before = self.lab.received("B")
        self.lab.wait(lambda: self.lab.received("B") > before + 1000, 10, "traffic")


class Measure(NamedTuple):
    run: Callable
    lab: str            # of LABS; a peer must name it in `can`, except for "pair"
    seconds: Callable   # about how long it takes, of --seconds
    note: str


LABS = {"pair": {}, "star": {"nodes": 5}, "pairs": {"pods": 2}}
LAB_SECONDS = {"pair": 1.5, "star": 3, "pairs": 2}       # to set it up, and to take it down
MEASURES = {
    "tcp": Measure(Bench.tcp, "pair", lambda s: 2 * s + 1.5, "TCP, one stream and four"),
    "udp": Measure(Bench.udp, "pair", lambda s: 2 * max(1, s / 2) + 5, "UDP, 64 and 1400 octets, one flow"),
    "rtt": Measure(Bench.rtt, "pair", lambda s: s + 0.5, "round trips, one in flight"),
    "mix": Measure(Bench.mix, "star", lambda s: max(1, s / 2) + 1, "UDP of 64, 128, 512 and 1400 octets from one "
                   "sender over 64 sockets to four nodes"),
    "load": Measure(Bench.load, "pairs", lambda s: s + 3.5, "round trips of one pair of pods while another carries "
                    "four TCP streams and a blast of 64 octets"),
}


def by_lab(names):
    """{lab: [measure...]}: those of one lab are made in it one after another."""
    labs = {}
    for name in names:
        labs.setdefault(MEASURES[name].lab, []).append(name)
    return labs
