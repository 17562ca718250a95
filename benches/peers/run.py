"""Runs plans: sets up a lab for each peer, measures, and says how far it is."""
import contextlib, fcntl, os, subprocess, sys, time
from dataclasses import asdict, dataclass
import peerdefs, report
from lab import Lab, SetupError
from measure import LAB_SECONDS, LABS, MEASURES, METRICS, Bench, by_lab


@dataclass
class Plan:
    """What one table shows."""
    name: str
    title: str
    peers: list
    measures: list
    seconds: int = 1
    reps: int = 7
    mtu: int = 1500
    wire: bool = False
    v6: bool = False
    cc: str = "cubic"

    def steps(self):
        """(repetition, peer, lab, measures in it): the peers take turns, so that what slows the machine slows all."""
        labs = by_lab(self.measures)
        return [(rep, peer, lab, names) for rep in range(1, self.reps + 1) for peer in self.peers
                for lab, names in labs.items()]

    def step_seconds(self, lab, measures):
        return LAB_SECONDS[lab] + sum(MEASURES[m].seconds(self.seconds) for m in measures)


class Lock:
    """A machine-wide lock (as flock(1) takes) held while measuring, let go of now and then."""
    HOLD = 100   # seconds after which others get a turn, between two measurements

    def __init__(self, path):
        self.file, self.since = path and open(path, "a"), None

    @contextlib.contextmanager
    def __call__(self):
        if self.file and self.since is None:
            fcntl.flock(self.file, fcntl.LOCK_EX)
            self.since = time.monotonic()
        yield
        if self.file and time.monotonic() - self.since > self.HOLD:
            fcntl.flock(self.file, fcntl.LOCK_UN)
            self.since = None
            time.sleep(0.2)


class Progress:
    """Says on standard error what was done and how long the rest will take, at the pace so far."""

    def __init__(self, plans):
        self.expected = sum(plan.step_seconds(lab, names) for plan in plans for _, _, lab, names in plan.steps())
        self.done, self.start = 0, time.monotonic()

    def begin(self):
        print(f"about {minutes(self.expected)}; nothing else should run on this machine meanwhile", file=sys.stderr)
        if os.getloadavg()[0] > 0.5:
            print(f"the load average is {os.getloadavg()[0]:.1f}: something runs, and the numbers will show it",
                  file=sys.stderr)

    def step(self, expected, text):
        self.done += expected
        left = (self.expected - self.done) * (time.monotonic() - self.start) / self.done
        print(f"[{100 * self.done / self.expected:3.0f} %, {minutes(left)} left] {text}", file=sys.stderr, flush=True)


def minutes(seconds):
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def measure(plan, peer, lab_name, names, logs):
    """One repetition of the measures that one kind of lab has."""
    wanted = {lab_name} - {"pair"} | ({"v6"} if plan.v6 else set())
    missing = wanted - set(peer.can)
    if missing:
        raise SetupError(f"this peer has no setup for {' and '.join(sorted(missing))}")
    with Lab(plan.mtu, plan.wire, plan.v6, keep_logs=logs, **LABS[lab_name]) as lab:
        peer.setup(lab)
        lab.wait_ping()
        bench, result = Bench(lab, plan.seconds, plan.cc), {"mtu": lab.end_mtu()}
        for name in names:
            result |= MEASURES[name].run(bench)
        return result


def summary(result):
    return ", ".join(f"{key} {value:.{METRICS[key].digits}f}" for key, value in result.items()
                     if key in METRICS and value is not None)


def run(plan, results, options, lock, progress):
    """Fill `results`, which keeps what was measured also if this is interrupted."""
    for name in plan.peers:
        peer = peerdefs.PEERS[name]
        results[name] = {"layer": peer.layer, "note": peer.note, "runs": [{} for _ in range(plan.reps)], "errors": {}}
    for rep, name, lab_name, measures in plan.steps():
        r, what = results[name], "+".join(measures)
        if what in r["errors"] and not r["runs"][0]:
            text = "skipped"           # it never worked: do not wait for it again
        else:
            logs = os.path.join(options.logs, f"{plan.name}-{name}-{lab_name}-{rep}") if options.logs else None
            try:
                with lock():
                    result = measure(plan, peerdefs.PEERS[name], lab_name, measures, logs)
                r["runs"][rep - 1] |= result
                text = summary(result)
            except (SetupError, subprocess.TimeoutExpired, KeyError, ValueError) as e:
                r["errors"][what] = f"{e}".replace("\n", " ").replace("|", "/")[:300] or repr(e)
                text = f"FAILED: {r['errors'][what]}"
        progress.step(plan.step_seconds(lab_name, measures), f"{plan.name} {rep}/{plan.reps} {name}: {text}")


def finish(plan, results, json_path, svg_path):
    """Write the files; returns the table."""
    for r in results.values():
        r["runs"] = [m for m in r["runs"] if m]
    about = {k: v for k, v in asdict(plan).items() if k not in ("name", "title", "peers")}
    report.save(json_path, about, results)
    if svg_path and any(r["runs"] for r in results.values()):
        with open(svg_path, "w") as f:
            f.write(report.svg(plan.title, results))
    return report.table(results)


def run_all(plans, options, files):
    """Run the plans in turn; returns the tables by plan, and the exit code. `files(plan)`: where JSON and SVG go."""
    progress, lock, tables, code = Progress(plans), Lock(options.lock), {}, 0
    progress.begin()
    for plan in plans:
        results = {}
        try:
            run(plan, results, options, lock, progress)
        except KeyboardInterrupt:
            print("interrupted; all namespaces are removed", file=sys.stderr)
            code = 130
        tables[plan.name] = finish(plan, results, *files(plan))
        if code:
            break
        if not any(r["runs"] for r in results.values()):
            code = 1
    return tables, code
