"""Does each measure of the peer benchmark work here?  Run as `peers.sh --check`; its numbers mean nothing."""
import json, os, re, signal, subprocess, sys, tempfile, time, unittest
import xml.etree.ElementTree as xml
import measure, peerdefs, readme, report
from lab import sh

HERE = os.path.dirname(os.path.abspath(__file__))


def start(*args, **kw):
    """The benchmark, in a process group of its own, as a shell would have it."""
    return subprocess.Popen([sys.executable, os.path.join(HERE, "peers.py"), "--seconds", "1", "--reps", "1", *args],
                            start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)


def measured(test, peers, *args):
    """The medians of each peer; fails if one of them has none."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "out.json")
        p = start("--only", ",".join(peers), "--json", path, *args)
        said, _ = p.communicate(timeout=60)
        test.assertEqual(p.returncode, 0, said)
        with open(path) as f:
            results = json.load(f)["peers"]
    for name in peers:
        test.assertEqual(results[name]["errors"], {}, said)
    return [results[name]["median"] for name in peers]


class Measures(unittest.TestCase):
    def test_mixed_sizes_reach_four_hosts(self):
        for m in measured(self, ["kernel-vxlan-bridge", "weft"], "--measure", "mix"):
            self.assertGreater(m["mix_kpps"], 0)
            self.assertGreater(m["mix_cpu_s_per_mpkt"], 0)

    def test_sizes_are_drawn_evenly(self):
        (m,) = measured(self, ["raw"], "--measure", "mix", "--wire")
        octets = m["mix_gbps"] * 1e6 / 8 / m["mix_kpps"]
        self.assertAlmostEqual(octets, (64 + 128 + 512 + 1400) / 4, delta=15)

    def test_round_trips_are_measured_under_load(self):
        (m,) = measured(self, ["weft"], "--measure", "load")
        for key in ("load_p99_us", "load_tcp_gbps", "load_udp_kpps"):
            self.assertGreater(m[key], 0, key)

    def test_jumbo_frames_pass_an_ipv6_underlay_in_both_formats(self):
        for m in measured(self, ["weft", "weft-geneve"], "--measure", "tcp", "--mtu", "9000", "--v6"):
            self.assertEqual(m["mtu"], 9000 - 70)
            self.assertGreater(m["tcp1_gbps"], 0)
            self.assertGreater(m["tcp4_cpu_s_per_gb"], 0)


class Ends(unittest.TestCase):
    def test_ctrl_c_leaves_no_namespace_and_no_folder(self):
        with tempfile.TemporaryDirectory() as d:
            p = start("--only", "weft", "--json", os.path.join(d, "out.json"), env={**os.environ, "TMPDIR": d})
            mine = lambda: re.findall(rf"^ovb{p.pid}-\S+", sh("ip", "netns", "list"), re.M)
            end = time.monotonic() + 20
            while len(mine()) < 4 and time.monotonic() < end:
                time.sleep(0.02)
            self.assertEqual(len(mine()), 4)
            os.killpg(p.pid, signal.SIGINT)
            said, _ = p.communicate(timeout=20)
            self.assertEqual(p.returncode, 130, said)
            self.assertEqual(mine(), [])
            self.assertEqual(os.listdir(d), ["out.json"])

    def test_a_switch_that_does_not_start_is_named_with_its_reason(self):
        with tempfile.TemporaryDirectory() as d:
            p = start("--only", "broken", "--switch", "broken=sh -c 'echo no such thing >&2; exit 1'",
                      "--json", os.path.join(d, "out.json"))
            said, _ = p.communicate(timeout=30)
        self.assertEqual(p.returncode, 1, said)
        self.assertIn("no such thing", said)


class Reports(unittest.TestCase):
    def results(self):
        runs = lambda *values: {"runs": [{"tcp1_gbps": v, "rtt_p50_us": 100 / v} for v in values], "errors": {}}
        return {"kernel-vxlan-bridge": runs(10, 20, 30), "weft": runs(5, 10, 40),
                "absent": {"runs": [], "errors": {"tcp": "not <installed>"}}}

    def test_a_table_has_medians_ratios_and_what_is_missing(self):
        text = report.table(self.results())
        self.assertIn("| TCP, 1 stream, Gbit/s | 20.00 | 10.00 (0.50x) |", text)
        self.assertIn("not measured: absent: tcp: not <installed>", text)

    def test_a_plot_is_xml_with_a_bar_for_each_peer_and_measure(self):
        root = xml.fromstring(report.svg("a < b", self.results()))
        bars = [e for e in root if e.tag.endswith("rect") and "fill" in e.attrib]
        self.assertEqual([float(b.attrib["width"]) for b in bars[:2]], [report.BAR * 20 / 40, report.BAR * 10 / 40])
        self.assertEqual(len(bars), 4)

    def test_every_peer_of_the_readme_can_do_what_is_asked_of_it(self):
        for plan in readme.PLANS:
            for name in plan.peers:
                can = {"pair", *peerdefs.PEERS[name].can}
                self.assertLessEqual({measure.MEASURES[m].lab for m in plan.measures}, can, (plan.name, name))
                self.assertTrue("v6" in can or not plan.v6, (plan.name, name))


if __name__ == "__main__":
    unittest.main(verbosity=2)
