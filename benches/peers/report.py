"""What a run leaves: a JSON file with every repetition, a Markdown table and an SVG plot of the medians."""
import html, json, os, statistics, time
from measure import METRICS

BASES = ("kernel-vxlan-bridge", "kernel-vxlan", "raw")     # the first that was measured is what ratios are to


def medians(runs):
    keys = sorted({k for r in runs for k in r})
    values = {k: [r[k] for r in runs if r.get(k) is not None] for k in keys}
    return {k: statistics.median(v) for k, v in values.items() if v}


def save(path, about, results):
    for r in results.values():
        r["median"] = medians(r["runs"])
    out = {"when": time.strftime("%Y-%m-%dT%H:%M:%S"), "kernel": os.uname().release, "cpus": os.cpu_count(),
           "args": about, "peers": results}
    with open(path, "w") as f:
        json.dump(out, f, indent=1)


class View:
    """The medians of the peers that have any, and the measures that any of them has."""

    def __init__(self, results):
        self.results = results
        self.median = {name: medians(r["runs"]) for name, r in results.items() if r["runs"]}
        self.keys = [k for k in METRICS if any(k in m for m in self.median.values())]
        self.base = next((b for b in BASES if b in self.median), None)

    def text(self, name, key):
        """The value, with its ratio to the base where there is one."""
        value = self.median[name].get(key)
        if value is None:
            return "-"
        shown = f"{value:.{METRICS[key].digits}f}"
        base = self.median.get(self.base, {}).get(key)
        if name == self.base or not base or key.endswith("_pct"):
            return shown
        return f"{shown} ({value / base:.2f}x)"

    def span(self, name, key):
        """The lowest and the highest repetition."""
        values = [r[key] for r in self.results[name]["runs"] if r.get(key) is not None]
        return min(values), max(values)

    def errors(self):
        return [f"{name}: {what}: {why}" for name, r in self.results.items() for what, why in r["errors"].items()]


def table(results):
    """Markdown: a row for each measure, a column for each peer."""
    view = View(results)
    if not view.median:
        return "\n".join(["Nothing was measured."] + [f"- {e}" for e in view.errors()])
    lines = ["| | " + " | ".join(view.median) + " |", "|---|" + "---|" * len(view.median)]
    for key in view.keys:
        lines.append(f"| {METRICS[key].label} | " + " | ".join(view.text(n, key) for n in view.median) + " |")
    if view.base:
        lines += ["", f"In parentheses: ratio to {view.base}."]
    missing = [f"- not measured: {e}" for e in view.errors()]
    return "\n".join(lines + [""] * bool(missing) + missing)


# --- the plot ----------------------------------------------------------------------------------

# Bars keep a contrast of 3:1 and more to both backgrounds. Who is in every plot has the same colour in each.
COLOURS = {"kernel-vxlan": "#6e7781", "kernel-vxlan-bridge": "#2f81c7", "weft": "#d1661f", "weft-geneve": "#2c974b",
           "weft-busy": "#a04fc0"}
OTHER_COLOURS = ("#c94a6a", "#8a7a1f", "#1d8a8a", "#7f6bd6")
STYLE = """
svg { color-scheme: light dark; font-family: system-ui, sans-serif; font-size: 12px; }
.page { fill: #ffffff; } text { fill: #1f2328; } .dim { fill: #59636e; } .line { stroke: #59636e; fill: none; }
@media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; } text { fill: #f0f6fc; } .dim { fill: #9198a1; } .line { stroke: #9198a1; }
}"""
PANEL, NAME, BAR, ROW, HEAD, GAP = 500, 150, 220, 18, 24, 14    # pixels


def svg(title, results):
    """Bars, one panel for each measure and one colour for each peer; a thin line spans the repetitions."""
    view = View(results)
    names = list(view.median)
    panel_height = HEAD + ROW * len(names) + GAP
    rows = (len(view.keys) + 1) // 2
    width, height = 2 * PANEL + 3 * GAP, 64 + rows * panel_height
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
             f'viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title)}"><style>{STYLE}</style>',
             f'<rect class="page" width="{width}" height="{height}"/>',
             _text(GAP, 24, title, 'font-size="16" font-weight="bold"'),
             _text(GAP, 44, "Medians; the thin line spans the repetitions."
                   + (f" In parentheses and dashed: against {view.base}." if view.base else ""), 'class="dim"')]
    for i, key in enumerate(view.keys):
        x, y = GAP + i % 2 * (PANEL + GAP), 64 + i // 2 * panel_height
        parts += _panel(view, names, key, x, y)
    return "\n".join(parts + ["</svg>"]) + "\n"


def _panel(view, names, key, x, y):
    metric = METRICS[key]
    spans = {n: view.span(n, key) for n in names if key in view.median[n]}
    scale = BAR / (max(high for _, high in spans.values()) or 1)
    left = x + NAME
    parts = [_text(x, y + 14, metric.label, 'font-weight="bold"'),
             _text(x + PANEL, y + 14, "more is better" if metric.more else "less is better",
                   'class="dim" text-anchor="end"')]
    for row, name in enumerate(names):
        top = y + HEAD + ROW * row
        parts.append(_text(left - 6, top + 13, name, 'text-anchor="end"'))
        value = view.median[name].get(key)
        if value is not None:
            low, high = (left + v * scale for v in spans[name])
            parts += [f'<rect x="{left}" y="{top + 2}" width="{value * scale:.1f}" height="{ROW - 4}" '
                      f'fill="{_colour(name, row)}"/>',
                      f'<path class="line" d="M{low:.1f} {top + ROW / 2}H{high:.1f}"/>']
        parts.append(_text(left + BAR + 8, top + 13, view.text(name, key)))
    base = view.median.get(view.base, {}).get(key)
    if base:
        at = left + base * scale
        bottom = y + HEAD + ROW * len(names)
        parts.append(f'<path class="line" stroke-dasharray="3 3" d="M{at:.1f} {y + HEAD}V{bottom}"/>')
    return parts


def _colour(name, row):
    return COLOURS.get(name) or OTHER_COLOURS[row % len(OTHER_COLOURS)]


def _text(x, y, text, attributes=""):
    return f'<text x="{x}" y="{y}" {attributes}>{html.escape(text)}</text>'
