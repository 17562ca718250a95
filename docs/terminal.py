#!/usr/bin/env python3
"""Makes an SVG of what a terminal shows: the output of `tmux capture-pane -e -p` on standard input.

docs/top.svg:  WEFT_TOP_PICTURE=/tmp/top.txt cargo test -p weft-tests --test top keys -- --ignored
               docs/terminal.py < /tmp/top.txt > docs/top.svg
"""
import re
import sys
from html import escape

WIDTH, HEIGHT, BACK, FRONT = 8, 17, "#1b1e24", "#d5d8de"
COLOURS = {31: "#f2777a", 32: "#8cc570", 33: "#e6b450", 36: "#5fc4d1"}
BARS = "▁▂▃▄▅▆▇█"
style = set()  # codes; it goes on over the ends of lines


def cells(line):
    """Every character with its style."""
    global style
    line = re.sub(r"38;5;(\d)(?=[;m])", r"3\1", line)
    for codes, char in re.findall(r"\x1b\[([\d;]*)m|([^\x1b])", line):
        if char:
            yield char, frozenset(style)
        for code in [int(code or 0) for code in codes.split(";")] if not char else []:
            style = set() if code == 0 else style - set(COLOURS) if code == 39 or code in COLOURS else style
            style = style | {code}


def draw(x, y, text, style):
    """One run of characters of one style."""
    front = next((COLOURS[code] for code in style if code in COLOURS), FRONT)
    left, top = x * WIDTH + 10, y * HEIGHT + 10
    if 7 in style:
        yield f'<rect x="{left}" y="{top}" width="{len(text) * WIDTH}" height="{HEIGHT}" fill="{front}"/>'
        front = BACK
    extra = ' font-weight="bold"' * (1 in style) + ' opacity="0.6"' * (2 in style)
    extra += ' text-decoration="underline"' * (4 in style)
    for at, char in enumerate(text):
        if char in BARS:
            high = (BARS.index(char) + 1) * HEIGHT / 8
            place = f'x="{left + at * WIDTH}" y="{top + HEIGHT - high:.1f}"'
            yield f'<rect {place} width="{WIDTH}" height="{high:.1f}" fill="{front}"/>'
    # Word by word, so that columns stand below each other in any font.
    for word in re.finditer(f"[^ {BARS}]+", text):
        place = f'x="{left + word.start() * WIDTH}" y="{top + 13}" textLength="{len(word.group()) * WIDTH}"'
        yield f'<text {place} fill="{front}"{extra}>{escape(word.group())}</text>'


lines = [list(cells(line)) for line in sys.stdin.read().rstrip("\n").split("\n")]
columns = max(len(line) for line in lines)
size = f"{columns * WIDTH + 20} {len(lines) * HEIGHT + 20}"
print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="DejaVu Sans Mono, monospace" font-size="13">')
print(f'<rect width="100%" height="100%" rx="6" fill="{BACK}"/>')
for y, line in enumerate(lines):
    start = 0
    for x in range(1, len(line) + 1):
        if x == len(line) or line[x][1] != line[start][1]:
            print("\n".join(draw(start, y, "".join(char for char, _ in line[start:x]), line[start][1])))
            start = x
print("</svg>")
