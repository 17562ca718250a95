"""Every number of the README: what is measured for it, into one folder."""
import os, shutil, signal, subprocess, sys
import peerdefs
from run import Plan, run_all

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
KERNEL, WEFT = ["kernel-vxlan", "kernel-vxlan-bridge"], ["weft", "weft-geneve"]
PLANS = [
    Plan("default", "Two hosts, underlay MTU 1500", KERNEL + WEFT + ["weft-busy"], ["tcp", "udp", "rtt"]),
    Plan("wire", "Only MTU-sized frames cross the underlay", KERNEL + WEFT, ["tcp", "udp"], wire=True),
    Plan("jumbo", "Underlay MTU 9000", KERNEL + WEFT, ["tcp", "udp"], mtu=9000),
    Plan("ipv6", "IPv6 underlay", KERNEL + WEFT, ["tcp", "udp"], v6=True),
    Plan("mix", "One sender, 64 sockets, four hosts, sizes 64 to 1400", KERNEL + WEFT + ["ovs-vxlan"], ["mix"]),
    Plan("load", "Round trips of another pair of pods under load", KERNEL[1:] + WEFT, ["load"]),
]
OTHERS = [      # (title, seconds it may take, with building; command)
    ("One TCP stream with the tun-tap crate, frame by frame, and with weft's devices", 900,
     "cargo bench -p weft-benches --bench tun_tap"),
    ("An idle daemon with ten ports", 900,
     "cargo test --release -p weft-tests --test faults an_idle_daemon_with_ten_ports -- --ignored --nocapture"),
]


def run(options):
    """Writes OUT/numbers.md, and a .json and an .svg of each plan; returns the exit code."""
    peerdefs.weft_binary()      # rather now than after half an hour
    os.makedirs(options.out, exist_ok=True)
    for plan in PLANS:
        plan.reps, plan.seconds, plan.cc = options.reps or plan.reps, options.seconds or plan.seconds, options.cc
    files = lambda plan: [os.path.join(options.out, f"{plan.name}.{ending}") for ending in ("json", "svg")]
    tables, code = run_all(PLANS, options, files)
    path = os.path.join(options.out, "numbers.md")
    with open(path, "w") as out:
        def say(title, body):
            text = f"### {title}\n\n{body}\n"
            print(text, flush=True)
            print(text, file=out, flush=True)
        for plan in PLANS:
            if plan.name in tables:
                say(plan.title, tables[plan.name])
        for title, limit, command in OTHERS if not code else ():
            say(title, output_of(command, limit))
    print(f"This text is in {path}; each table has a .json with every repetition and an .svg beside it.",
          file=sys.stderr)
    return code


def output_of(command, limit):
    """What a command of cargo says, or how to run it where cargo is not root's."""
    quoted = f"    {command}\n\n"
    if not shutil.which("cargo"):
        return quoted + "Not run: cargo is not on root's PATH. Run it as the user who has it."
    print(f"running: {command}", file=sys.stderr, flush=True)
    p = subprocess.Popen(command.split(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                         start_new_session=True)
    try:
        said, errors = p.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        return quoted + f"Not done after {limit} s."
    finally:
        if p.poll() is None:
            os.killpg(p.pid, signal.SIGINT)     # cargo, and what it runs
            p.communicate()
    lines = (said + errors if p.returncode else said).splitlines()[-25:]
    return quoted + "\n".join(f"    {line}" for line in lines if line.strip())
