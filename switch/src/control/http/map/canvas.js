// Draws items and edges, and finds what is under the pointer.
//
// Edges have a canvas of their own below that of the nodes: they are the most, and change only with the state of a link.

import { LEVELS, MARKS, time } from "./words.js";

/** What draws are called in the browser's own measurements. */
export const DRAW = "weft-draw";
/** Up to so many edges have their round trip written beside them. */
export const WRITTEN = 20;
/** From so many edges on good ones are thin and pale, so that the others stand out. */
const CROWD = 300;
const DASHES = [[], [9, 5], [2, 5]];
const RELAYED = [14, 4, 2, 4];

/** How large an item is drawn, as a radius in pixels at scale 1. */
export function radiusOf(item) {
  if (item.isGroup) return 20 + 2.2 * Math.sqrt(item.nodes.length);
  return item.isHere ? 17 : item.group ? 9 : 12;
}

export class Canvas {
  constructor(links, graph) {
    [this.links, this.graph] = [links, graph];
    this.scale = 1;
    [this.x, this.y] = [0, 0];
    this.view = { items: [], edges: [] };
    this.cursor = this.over = this.chosen = null;
    // The key of the open group that is looked at.
    this.group = null;
    this.isDim = () => false;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress());
    this.dress();
  }

  /** Takes the colours of the style sheet. */
  dress() {
    const style = getComputedStyle(document.documentElement);
    const names = ["back", "front", "soft", "line", "panel", "accent", "up", "degraded", "down", "link", "halo", "on-node"];
    this.colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.redraw(true);
  }

  /** Fits the canvases to their place on the page; says whether they had another size. */
  resize() {
    const { clientWidth: width, clientHeight: height } = this.graph;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    if (this.width === width && this.height === height && this.ratio === ratio) return false;
    [this.width, this.height, this.ratio] = [width, height, ratio];
    for (const canvas of [this.links, this.graph]) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    this.redraw(true);
    return true;
  }

  /** Asks for a drawing of items in the next frame; `all`: of edges, too. */
  redraw(all) {
    this.itemsToo = true;
    this.edgesToo ||= all;
    this.ask();
  }

  /** The same of edges alone, unless one is drawn between the items now. */
  redrawEdges() {
    this.edgesToo = true;
    this.itemsToo ||= Boolean(this.over || this.chosen || this.focused);
    this.ask();
  }

  ask() {
    if (this.asked || this.hidden) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const start = performance.now();
      this.draw();
      performance.measure(DRAW, { start });
      performance.clearMeasures(DRAW);
    });
  }

  /** Shows all items, or the nodes of the group that is looked at, and this node where there is room for both. */
  fit() {
    const { items } = this.view;
    const looked = this.group ? items.filter((item) => item.group === this.group) : [];
    if (looked.length === 0) return this.fitTo(items, 1.15);
    this.fitTo([...looked, ...items.filter((item) => item.isHere)], 1);
    // Smaller than this, names of neighbours meet.
    if (this.scale < 0.9) this.fitTo(looked, 1);
  }

  /** Shows these items, no larger than at scale `most`. */
  fitTo(items, most) {
    if (items.length === 0 || !this.width) return;
    const edge = (pick, of, sign) => pick(...items.map((item) => item[of] + sign * (radiusOf(item) + 34)));
    const [left, right] = [edge(Math.min, "x", -1), edge(Math.max, "x", 1)];
    const [top, bottom] = [edge(Math.min, "y", -1), edge(Math.max, "y", 1)];
    // The legend and the buttons are left free.
    const [width, height] = [this.width - 40, Math.max(this.height - 100, 50)];
    this.scale = Math.min(most, width / (right - left), height / (bottom - top));
    this.x = this.width / 2 - this.scale * (left + right) / 2;
    this.y = this.height / 2 + 2 - this.scale * (top + bottom) / 2;
    this.redraw(true);
  }

  /** Changes the scale by a factor; the point at x, y stays. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.min(4, Math.max(0.08, this.scale * factor));
    this.x = x - (x - this.x) * scale / this.scale;
    this.y = y - (y - this.y) * scale / this.scale;
    this.scale = scale;
    this.redraw(true);
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.redraw(true);
  }

  /** Moves the picture so that an item can be seen. */
  reveal(item) {
    const [x, y] = this.at(item);
    const beyond = (value, size) => Math.min(0, value - 70) + Math.max(0, value - size + 70);
    const [dx, dy] = [beyond(x, this.width), beyond(y, this.height)];
    if (dx || dy) this.pan(-dx, -dy);
  }

  /** Where an item is on the page. */
  at(item) {
    return [item.x * this.scale + this.x, item.y * this.scale + this.y];
  }

  radius(item) {
    return radiusOf(item) * Math.min(1.25, Math.max(0.42, this.scale));
  }

  /** The item or edge at a point of the page, if any. */
  find(x, y) {
    const near = (item) => {
      const [ix, iy] = this.at(item);
      return Math.hypot(ix - x, iy - y) - this.radius(item);
    };
    const item = least(this.view.items, near, 5);
    if (item) return { item };
    const edge = least(this.view.edges, (edge) => this.distance(edge, x, y), 6);
    return edge ? { edge } : {};
  }

  /** How far a point is from an edge. */
  distance(edge, x, y) {
    const [[ax, ay], [bx, by]] = [this.at(edge.a), this.at(edge.b)];
    if (edge.relayed) {
      const [cx, cy] = this.bend(ax, ay, bx, by);
      return Math.min(toLine(x, y, ax, ay, (ax + bx + 2 * cx) / 4, (ay + by + 2 * cy) / 4),
        toLine(x, y, (ax + bx + 2 * cx) / 4, (ay + by + 2 * cy) / 4, bx, by));
    }
    return toLine(x, y, ax, ay, bx, by);
  }

  /** The control point of the way over a relay: to the outside, so that it is not taken for a direct one. */
  bend(ax, ay, bx, by) {
    const [mx, my] = [(ax + bx) / 2, (ay + by) / 2];
    const [outX, outY] = [mx - this.x, my - this.y];
    const length = Math.hypot(outX, outY);
    const far = Math.hypot(bx - ax, by - ay) * 0.45;
    return length < 1 ? [mx - (by - ay) * 0.45, my + (bx - ax) * 0.45] : [mx + outX / length * far, my + outY / length * far];
  }

  draw() {
    if (this.edgesToo) this.drawEdges();
    if (this.itemsToo) this.drawItems();
    this.edgesToo = this.itemsToo = false;
  }

  drawItems() {
    const context = this.begin(this.graph);
    for (const edge of this.view.edges) {
      if (this.isLit(edge)) this.stroke(context, [edge], edge.level, 3.5, 1);
    }
    if (this.view.edges.length <= WRITTEN && this.scale > 0.5) this.view.edges.forEach((edge) => this.write(context, edge));
    this.view.items.forEach((item) => this.drawItem(context, item));
    this.drawNames(context);
  }

  begin(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    return context;
  }

  /** Whether an edge belongs to what is pointed at or chosen. */
  isLit(edge) {
    const of = (thing) => thing && (thing === edge || thing === edge.a || thing === edge.b);
    const item = this.over?.item ?? this.over?.edge;
    return of(item) || of(this.chosen) || (this.focused && of(this.cursor));
  }

  drawEdges() {
    const context = this.begin(this.links);
    const { edges } = this.view;
    const crowd = edges.length > CROWD;
    for (const relayed of [false, true]) {
      for (const level of [0, 1, 2]) {
        const some = edges.filter((edge) => edge.level === level && edge.relayed === relayed);
        for (const dim of [true, false]) {
          const wide = new Map();
          for (const edge of some) {
            if ((this.isDim(edge.a) || this.isDim(edge.b)) !== dim) continue;
            const width = crowd ? 1 : Math.min(6, 2 + 0.6 * Math.log2(edge.links.length));
            const key = Math.round(width * 2) / 2;
            if (!wide.has(key)) wide.set(key, []);
            wide.get(key).push(edge);
          }
          const alpha = dim ? 0.12 : crowd && level === 0 ? 0.35 : 0.95;
          for (const [width, same] of wide) this.stroke(context, same, level, level && crowd ? width + 0.6 : width, alpha);
        }
      }
    }
  }

  /** Draws edges that look the same. */
  stroke(context, edges, level, width, alpha) {
    context.beginPath();
    for (const { a, b, relayed } of edges) {
      const ax = a.x * this.scale + this.x;
      const ay = a.y * this.scale + this.y;
      const bx = b.x * this.scale + this.x;
      const by = b.y * this.scale + this.y;
      context.moveTo(ax, ay);
      if (relayed) context.quadraticCurveTo(...this.bend(ax, ay, bx, by), bx, by);
      else context.lineTo(bx, by);
    }
    context.globalAlpha = alpha;
    context.lineWidth = width;
    context.strokeStyle = level === 0 ? this.colours.link : this.colours[LEVELS[level]];
    context.setLineDash(edges[0]?.relayed ? RELAYED : DASHES[level]);
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }

  /** The round trip beside an edge, and what is wrong: the first of it, and how much more there is. */
  write(context, edge) {
    if (edge.links.length !== 1 || this.isDim(edge.a) || this.isDim(edge.b)) return;
    const link = edge.links[0].told;
    const [cause, ...more] = link.degraded;
    const wrong = more.length > 0 ? `${cause} +${more.length}` : cause;
    const lines = [link.rtt_us === undefined || edge.level === 2 ? "" : time(link.rtt_us), wrong];
    const words = lines.filter(Boolean).join("  ").slice(0, 40);
    if (!words) return;
    const [[ax, ay], [bx, by]] = [this.at(edge.a), this.at(edge.b)];
    const [cx, cy] = edge.relayed ? this.bend(ax, ay, bx, by) : [(ax + bx) / 2, (ay + by) / 2];
    const [x, y] = [(ax + 2 * cx + bx) / 4, (ay + 2 * cy + by) / 4];
    context.font = "12px system-ui, 'DejaVu Sans', sans-serif";
    const width = context.measureText(words).width;
    context.fillStyle = this.colours.halo;
    context.globalAlpha = 0.85;
    context.fillRect(x - width / 2 - 4, y - 9, width + 8, 18);
    context.globalAlpha = 1;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = edge.level ? this.colours[LEVELS[edge.level]] : this.colours.soft;
    context.fillText(words, x, y);
  }

  drawItem(context, item) {
    const [x, y] = this.at(item);
    const radius = this.radius(item);
    if (x < -radius || y < -radius || x > this.width + radius || y > this.height + radius) return;
    context.globalAlpha = this.isDim(item) ? 0.2 : 1;
    if (this.focused && item === this.cursor) this.ring(context, x, y, radius + 7, this.colours.accent, 2.5, [4, 3]);
    if (item === this.chosen) this.ring(context, x, y, radius + 4, this.colours.accent, 3, []);
    if (item.isGroup) this.drawGroup(context, item, x, y, radius);
    else this.drawNode(context, item, x, y, radius);
    context.globalAlpha = 1;
  }

  ring(context, x, y, radius, colour, width, dash) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    [context.strokeStyle, context.lineWidth] = [colour, width];
    context.setLineDash(dash);
    context.stroke();
    context.setLineDash([]);
  }

  drawNode(context, item, x, y, radius) {
    const colour = this.colours[item.isHere ? "front" : LEVELS[item.level]];
    context.beginPath();
    if (item.nodes[0].kind === "static") context.rect(x - radius * 0.9, y - radius * 0.9, radius * 1.8, radius * 1.8);
    else context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = item.level === 2 ? this.colours.back : colour;
    context.fill();
    [context.strokeStyle, context.lineWidth] = [colour, 2];
    if (item.level === 2) context.stroke();
    if (item.isHere) this.ring(context, x, y, radius + 4, colour, 1.5, []);
    if (item.level && radius > 6) this.sign(context, MARKS[item.level], x, y, radius, item.level === 2 ? colour : this.colours["on-node"]);
  }

  /** A group: how many it has of each level, around their number. */
  drawGroup(context, item, x, y, radius) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fillStyle = this.colours.panel;
    context.fill();
    let from = -Math.PI / 2;
    item.levels.forEach((count, level) => {
      if (!count) return;
      const to = from + 2 * Math.PI * count / item.nodes.length;
      context.beginPath();
      context.arc(x, y, radius - 2.5, from, to);
      [context.strokeStyle, context.lineWidth] = [this.colours[LEVELS[level]], level ? 7 : 4];
      context.setLineDash(level === 2 ? [3, 2] : []);
      context.stroke();
      from = to;
    });
    context.setLineDash([]);
    if (radius > 11) this.sign(context, String(item.nodes.length), x, y, radius * 0.62, this.colours.front);
  }

  sign(context, text, x, y, radius, colour) {
    context.font = `700 ${Math.round(radius * 1.15)}px system-ui, 'DejaVu Sans', sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillStyle = colour;
    context.fillText(text, x, y + 0.5);
  }

  /** Names below items, the important first, and none over another or over an item. */
  drawNames(context) {
    const weight = (item) => (item === this.over?.item ? 9 : 0) + (item === this.chosen || (this.focused && item === this.cursor) ? 8 : 0)
      + (item.isHere ? 7 : 0) + (item.isGroup ? 4 : 0) + item.level - (this.isDim(item) ? 5 : 0);
    const taken = new Boxes();
    for (const item of this.view.items) {
      const [[x, y], radius] = [this.at(item), this.radius(item)];
      taken.add([x - radius, y - radius, x + radius, y + radius]);
    }
    context.textAlign = "center";
    context.textBaseline = "top";
    context.lineJoin = "round";
    for (const item of [...this.view.items].sort((a, b) => weight(b) - weight(a))) {
      const important = weight(item) >= 7;
      if (this.isDim(item) && !important) continue;
      const [x, y] = this.at(item);
      if (x < 0 || y < 0 || x > this.width || y > this.height) continue;
      const name = item.name.length > 30 && !important ? `${item.name.slice(0, 28)}\u2026` : item.name.slice(0, 80);
      const weighty = important || item.isGroup ? 600 : 400;
      context.font = `${weighty} 12.5px system-ui, 'DejaVu Sans', sans-serif`;
      const top = y + this.radius(item) + (item.isHere ? 8 : 4);
      item.widths ??= {};
      const half = (item.widths[weighty] ??= context.measureText(name).width) / 2 + 3;
      const box = [x - half, top, x + half, top + 15];
      if (!important && taken.meet(box)) continue;
      taken.add(box);
      [context.strokeStyle, context.lineWidth] = [this.colours.halo, 4];
      context.strokeText(name, x, top);
      context.fillStyle = this.colours.front;
      context.fillText(name, x, top);
    }
  }
}

/** What is taken of the page: boxes of left, top, right and bottom, found by the squares that they touch. */
class Boxes {
  static SQUARE = 80;

  constructor() {
    this.squares = new Map();
  }

  /** The squares that a box touches. */
  * keys([left, top, right, bottom]) {
    const square = (value) => Math.floor(value / Boxes.SQUARE);
    for (let y = square(top); y <= square(bottom); y += 1) {
      for (let x = square(left); x <= square(right); x += 1) yield `${x} ${y}`;
    }
  }

  add(box) {
    for (const key of this.keys(box)) {
      if (!this.squares.has(key)) this.squares.set(key, []);
      this.squares.get(key).push(box);
    }
  }

  meet(box) {
    const over = (other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3];
    for (const key of this.keys(box)) if (this.squares.get(key)?.some(over)) return true;
    return false;
  }
}

/** The thing with the smallest measure of at most `most`. */
function least(things, measure, most) {
  let found;
  for (const thing of things) {
    const value = measure(thing);
    if (value <= most) [found, most] = [thing, value];
  }
  return found;
}

/** How far a point is from a stretch of a line. */
function toLine(x, y, ax, ay, bx, by) {
  const [dx, dy] = [bx - ax, by - ay];
  const along = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
