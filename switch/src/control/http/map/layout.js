// Where items are: the same for the same graph, however long the frames take, and where they were when it changes a little.
//
// A star is drawn as rings around this node. Any other graph finds its shape by forces (Fruchterman and Reingold 1991):
// a fixed number of rounds, as many in a frame as there is time for. The nodes of an open group lie in lines outside the
// place of the group, so that nothing else has to move.

/** Milliseconds of a frame that may go into the layout. */
const BUDGET_MS = 8;
/** Rounds until it is settled, anew and after a change. */
const ROUNDS = 260;
const ROUNDS_AGAIN = 60;
/** Up to so many items are settled at once. */
const AT_ONCE = 80;
/** The distance that neighbours like to have. */
const LENGTH = 130;
const GOLDEN = Math.PI * (3 - Math.sqrt(5));
/** Screens are wide. */
const WIDE = 1.35;

export class Layout {
  constructor() {
    this.places = new Map();
    this.left = 0;
  }

  /** Takes another view; what it has in common with the last stays where it is. */
  set(view) {
    const top = topOf(view);
    const known = top.items.filter((item) => this.places.has(item.key)).length;
    const star = isStar(view, top);
    if (star !== this.star || known < top.items.length / 2) [this.places, this.settled] = [new Map(), null];
    this.star = star;
    this.view = view;
    this.top = top;
    if (star) {
      this.rings(top.items);
      this.left = 0;
    } else {
      this.scatter(top.items);
      const fresh = top.items.some((item) => !this.settled?.has(item.key));
      this.left = !fresh ? 0 : this.settled ? ROUNDS_AGAIN : ROUNDS;
      this.hot = this.settled ? 0.25 : 1;
      this.rounds = this.left;
      this.begin();
      if (top.items.length <= AT_ONCE) while (this.left > 0) this.round();
    }
    this.place();
  }

  /** Goes on for a part of a frame; says whether anything may have moved. */
  step(now = () => performance.now()) {
    if (this.left === 0) return false;
    const end = now() + BUDGET_MS;
    do this.round(); while (this.left > 0 && now() < end);
    this.place();
    return true;
  }

  /** Places for a star: the middle, and rings of which each outer one has more. */
  rings(items) {
    const centre = items.find((item) => item.isHere);
    if (centre) this.places.set(centre.key, { x: 0, y: 0 });
    const others = items.filter((item) => item !== centre);
    const room = items.some((item) => item.isGroup) ? 150 : 118;
    const fresh = others.filter((item) => !this.places.has(item.key));
    if (fresh.length < others.length) return fresh.forEach((item) => this.squeezeIn(item, others));
    // Two lie beside it, as screens are wide.
    const turn = others.length === 2 ? 0 : Math.PI / 2;
    // Each has a direction of its own: no link leads to what lies behind another.
    const rings = ringsFor(others.length, room).map((ring) => ({ ...ring, due: 0 }));
    others.forEach((item, i) => {
      for (const ring of rings) ring.due += ring.size / others.length;
      const ring = rings.reduce((most, other) => other.due > most.due ? other : most);
      ring.due -= 1;
      this.places.set(item.key, polar(2 * Math.PI * i / others.length - turn, ring.radius));
    });
  }

  /** A place for one more: in the widest gap of the outermost ring, or a ring further. */
  squeezeIn(item, others) {
    const placed = others.map((other) => this.places.get(other.key)).filter(Boolean);
    const radius = Math.max(INNER, ...placed.map((place) => Math.hypot(place.x / WIDE, place.y)));
    const angles = placed.filter((place) => Math.hypot(place.x / WIDE, place.y) > radius - 30)
      .map((place) => Math.atan2(place.y, place.x / WIDE)).sort((a, b) => a - b);
    let [widest, middle] = [0, -Math.PI / 2];
    angles.forEach((angle, i) => {
      const next = i + 1 < angles.length ? angles[i + 1] : angles[0] + 2 * Math.PI;
      if (next - angle > widest + 1e-9) [widest, middle] = [next - angle, (angle + next) / 2];
    });
    const fits = widest * radius > 150 || angles.length < 2;
    this.places.set(item.key, polar(middle, fits ? radius : radius + 140));
  }

  /** First places: on a spiral, in the order of names; of what is new later, beside a neighbour. */
  scatter(items) {
    const beside = new Map();
    for (const edge of this.top.edges) {
      beside.set(edge.a.key, edge.b.key);
      beside.set(edge.b.key, edge.a.key);
    }
    items.forEach((item, i) => {
      if (this.places.has(item.key)) return;
      const near = this.settled && this.places.get(beside.get(item.key));
      const [from, distance] = near ? [near, LENGTH * 0.7] : [{ x: 0, y: 0 }, LENGTH * 0.55 * Math.sqrt(i)];
      const { x, y } = polar(i * GOLDEN, distance);
      this.places.set(item.key, { x: from.x + x, y: from.y + y });
    });
  }

  begin() {
    const { items, edges } = this.top;
    const at = new Map(items.map((item, i) => [item.key, i]));
    this.x = Float64Array.from(items, (item) => this.places.get(item.key).x);
    this.y = Float64Array.from(items, (item) => this.places.get(item.key).y);
    this.size = Float64Array.from(items, (item) => item.isGroup ? 1.3 : 1);
    this.ends = Uint32Array.from(edges.flatMap((edge) => [at.get(edge.a.key), at.get(edge.b.key)]));
    const degrees = new Float64Array(items.length);
    for (const end of this.ends) degrees[end] += 1;
    this.pull = Float64Array.from(edges, (_, i) => 1 / Math.sqrt(degrees[this.ends[2 * i]] * degrees[this.ends[2 * i + 1]]));
  }

  /** One round of forces: all push each other apart, edges pull, and so does the middle. */
  round() {
    const { x, y, size, ends, pull } = this;
    const count = x.length;
    const fx = new Float64Array(count);
    const fy = new Float64Array(count);
    for (let i = 0; i < count; i += 1) {
      for (let j = i + 1; j < count; j += 1) {
        const dx = x[i] - x[j];
        const dy = y[i] - y[j];
        const force = LENGTH * LENGTH * size[i] * size[j] / (dx * dx + dy * dy + 25);
        fx[i] += dx * force;
        fy[i] += dy * force;
        fx[j] -= dx * force;
        fy[j] -= dy * force;
      }
    }
    for (let e = 0; e < pull.length; e += 1) {
      const i = ends[2 * e];
      const j = ends[2 * e + 1];
      const dx = x[i] - x[j];
      const dy = y[i] - y[j];
      const force = 2 * pull[e] * Math.sqrt(dx * dx + dy * dy) / LENGTH;
      fx[i] -= dx * force;
      fy[i] -= dy * force;
      fx[j] += dx * force;
      fy[j] += dy * force;
    }
    this.left -= 1;
    const most = 1 + LENGTH * this.hot * this.left / this.rounds;
    for (let i = 0; i < count; i += 1) {
      fx[i] -= x[i] * 0.25;
      fy[i] -= y[i] * 0.75;
      const length = Math.hypot(fx[i], fy[i]) || 1;
      const step = Math.min(length * 0.25, most) / length;
      x[i] += fx[i] * step;
      y[i] += fy[i] * step;
    }
    if (this.left === 0) this.settled = new Set(this.top.items.map((item) => item.key));
  }

  /** Gives each item of the view its place. */
  place() {
    if (!this.star) {
      this.top.items.forEach((item, i) => this.places.set(item.key, { x: this.x[i], y: this.y[i] }));
    }
    const blocks = this.blocks();
    for (const item of this.view.items) {
      const block = blocks.get(item.group);
      const { x, y } = block ? block.next() : this.places.get(item.key);
      item.x = x;
      item.y = y;
    }
  }

  /** Where open groups lie: further out than their place, so far that they touch nothing. */
  blocks() {
    const blocks = new Map();
    const taken = this.top.items.filter((item) => !item.members)
      .map((item) => ({ ...this.places.get(item.key), width: 60, height: 55 }));
    for (const item of this.top.items) {
      if (!item.members) continue;
      const place = this.places.get(item.key);
      const block = new Block(item.members);
      const angle = Math.atan2(place.y, place.x);
      for (let out = Math.hypot(place.x, place.y); taken.some((other) => meet(other, block.at(angle, out)));) out += 20;
      taken.push(block);
      blocks.set(item.key, block);
    }
    return blocks;
  }
}

/** Room for a line of nodes with their names below. */
const LINE = 54;
/** About the pixels of a letter of a name. */
const LETTER = 7;

/** The nodes of an open group: lines of places, so wide that each name has room. `width` and `height` are halves. */
class Block {
  constructor(members) {
    const longest = Math.max(...members.map(({ name }) => Math.min(name.length, 30)));
    this.room = Math.max(70, LETTER * longest + 22);
    this.columns = Math.min(members.length, Math.ceil(Math.sqrt(members.length * 1.3 * LINE / this.room)));
    const lines = Math.ceil(members.length / this.columns);
    [this.width, this.height] = [this.columns * this.room / 2, lines * LINE / 2];
    this.given = 0;
  }

  /** Lies so far out, in this direction. */
  at(angle, out) {
    [this.x, this.y] = [Math.cos(angle) * out, Math.sin(angle) * out];
    return this;
  }

  /** The place of one more. */
  next() {
    const [column, line] = [this.given % this.columns, Math.floor(this.given / this.columns)];
    this.given += 1;
    return { x: this.x - this.width + (column + 0.5) * this.room, y: this.y - this.height + (line + 0.5) * LINE };
  }
}

/** The innermost ring, and how far others are from the one before. */
const INNER = 190;
const BETWEEN = 140;
/** Up to so many are one ring, which grows with them. */
const ONE_RING = 18;

/** Rings for so many items that each take some room, all as full as the others. */
function ringsFor(count, room) {
  if (count <= ONE_RING) return [{ radius: Math.max(INNER, count * room / (2 * Math.PI)), size: count }];
  const full = [];
  for (let all = 0; all < count; all += full[full.length - 1]) {
    full.push(Math.floor(2 * Math.PI * (INNER + BETWEEN * full.length) / room));
  }
  const all = full.reduce((sum, size) => sum + size);
  let [before, upTo] = [0, 0];
  return full.map((size, ring) => {
    upTo += size;
    const share = Math.round(count * upTo / all) - before;
    before += share;
    return { radius: INNER + BETWEEN * ring, size: share };
  });
}

const polar = (angle, radius, wide = WIDE) => ({ x: Math.cos(angle) * radius * wide, y: Math.sin(angle) * radius });
const meet = (one, other) => Math.abs(one.x - other.x) < one.width + other.width
  && Math.abs(one.y - other.y) < one.height + other.height;

/** The view with each open group as one item, which has its `members`. */
function topOf(view) {
  const items = [];
  const groups = new Map();
  for (const item of view.items) {
    if (!item.group) {
      items.push(item);
    } else if (groups.has(item.group)) {
      groups.get(item.group).members.push(item);
    } else {
      const group = { key: item.group, isGroup: true, members: [item] };
      groups.set(item.group, group);
      items.push(group);
    }
  }
  const topItem = (item) => item.group ? groups.get(item.group) : item;
  const edges = new Map();
  for (const edge of view.edges) {
    const [a, b] = [topItem(edge.a), topItem(edge.b)];
    if (a !== b) edges.set(`${a.key}\t${b.key}`, { a, b, relayed: edge.relayed });
  }
  return { items, edges: [...edges.values()] };
}

/** Whether all links are this node's. */
function isStar(view, top) {
  const here = view.items.find((item) => item.isHere);
  return top.edges.every((edge) => edge.relayed || edge.a === here || edge.b === here);
}
