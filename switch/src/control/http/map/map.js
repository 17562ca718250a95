// The page: takes what the node tells, shows it as a graph or a table, and listens to pointer and keys.

import { Canvas, WRITTEN } from "./canvas.js";
import { Details, figures, tally } from "./details.js";
import { Graph, judgeView, viewOf } from "./graph.js";
import { Layout } from "./layout.js";
import { Live } from "./live.js";
import { Table } from "./table.js";
import { LEVELS, MARKS, element, facts, many, time } from "./words.js";

/** What taking in an event is called in the browser's own measurements. */
const UPDATE = "weft-update";

const part = (id) => document.getElementById(id);
const graph = new Graph();
const layout = new Layout();
const canvas = new Canvas(part("links"), part("graph"));
const live = new Live({ snapshot, changes, trouble, state, ask: askToken });
const table = new Table(graph, choose);
const details = new Details(part("details"), graph, live, { close: closeDetails, choose, toggle: toggleGroup });

let view = { items: [], edges: [], itemOf: new Map() };
let open = new Set();
let levelsShown = new Set();
let sought = "";
let fitted = false;

// ---- what the node tells ----

function snapshot(data) {
  timed(() => {
    graph.reset(JSON.parse(data));
    part("here").textContent = graph.name(graph.here);
    document.title = `${graph.name(graph.here)} \u2013 weft map`;
    notice("");
    rebuild();
  });
}

function changes(data) {
  timed(() => {
    notice("");
    const { shape, links, nodes, touched } = graph.apply(JSON.parse(data));
    if (shape || (nodes && part("grouping").value === "state")) return rebuild();
    if (links || nodes) judgeView(view);
    if (nodes) writeCounts();
    if (nodes || view.edges.length <= WRITTEN) canvas.redraw(links);
    else if (links) canvas.redrawEdges();
    if (!part("table-view").hidden) table.update(touched, nodes);
    details.update(touched);
    if (canvas.over) writeTip(canvas.over);
  });
}

function trouble(data) {
  const before = graph.nodes.size > 0 ? " \u2013 what is shown is from before." : "";
  notice(`${JSON.parse(data).message}${before}`);
}

function state(on, why) {
  part("live").className = on ? "live on" : "live";
  part("live").textContent = on ? "live" : "not connected";
  if (!on) notice(`The node cannot be asked: ${why}. Trying again.`);
}

function notice(text) {
  part("notice").textContent = text;
  part("notice").hidden = text === "";
  resized();
}

function timed(work) {
  const start = performance.now();
  work();
  performance.measure(UPDATE, { start });
  performance.clearMeasures(UPDATE);
}

// ---- what is shown ----

/** Shows another graph, or the same otherwise. */
function rebuild() {
  const [chosen, cursor] = [canvas.chosen?.key, canvas.cursor?.key];
  view = viewOf(graph, part("grouping").value, open);
  layout.set(view);
  const again = (key) => key === undefined ? null : view.items.find((item) => item.key === key) ?? null;
  Object.assign(canvas, { view, over: null, chosen: again(chosen), cursor: again(cursor) });
  part("tip").hidden = true;
  if (details.shown?.edge) closeDetails();
  if (details.shown?.group) {
    const { key, name } = details.shown.group;
    details.shown.group = groupOf(key, name);
    if (details.shown.group.nodes.length === 0) closeDetails();
  }
  part("close-groups").hidden = open.size === 0;
  writeCounts();
  writeSeen();
  listNodes();
  details.update();
  if (!fitted) {
    canvas.fit();
    fitted = true;
  }
  canvas.redraw(true);
  settle();
}

/** Lets the layout go on for as long as anything moves. */
function settle() {
  if (settle.runs) return;
  const more = () => {
    settle.runs = layout.step();
    if (!settle.runs) return;
    if (!canvas.touched) canvas.fit();
    canvas.redraw(true);
    requestAnimationFrame(more);
  };
  more();
}

function writeCounts() {
  const counts = [0, 0, 0];
  for (const node of graph.nodes.values()) if (node.id !== graph.here) counts[node.level] += 1;
  const box = part("counts");
  if (box.children.length === 0) LEVELS.forEach((_, level) => box.append(countButton(level)));
  counts.forEach((count, level) => {
    const button = box.children[level];
    button.lastChild.textContent = ` ${count} ${LEVELS[level]}`;
    button.setAttribute("aria-pressed", String(levelsShown.has(level)));
  });
}

function countButton(level) {
  const button = element("button");
  button.type = "button";
  button.append(element("span", MARKS[level], `mark ${LEVELS[level]}`), document.createTextNode(""));
  button.addEventListener("click", () => {
    if (!levelsShown.delete(level)) levelsShown.add(level);
    filter();
  });
  return button;
}

/** Says what this map cannot show. */
function writeSeen() {
  const own = [...graph.links.values()].every(({ told }) => told.from === graph.here);
  const grouped = view.grouped ? `${many(graph.nodes.size, "node", "nodes")} in groups: press one to open it. ` : "";
  part("seen").textContent = graph.nodes.size === 1 ? "No other node is known yet: [gossip] finds them, [[peer]] names them."
    : grouped + (own ? `As ${graph.name(graph.here)} sees it. Links between other nodes are on their own maps.` : "");
}

/** Pales what is not looked for. */
function filter() {
  const isOut = (node) => (levelsShown.size > 0 && (!levelsShown.has(node.level) || node.id === graph.here))
    || (sought !== "" && !graph.matches(node, sought));
  const nothing = levelsShown.size === 0 && sought === "";
  canvas.isDim = nothing ? () => false : (item) => item.nodes.every(isOut);
  table.isDim = nothing ? () => false : isOut;
  listNodes();
  writeCounts();
  canvas.redraw(true);
}

// ---- choosing ----

/** Shows all of a node, and where it is. */
function choose(id) {
  const item = view.itemOf.get(id);
  if (item?.isGroup) {
    open.add(item.key);
    canvas.group = item.key;
    canvas.touched = false;
    rebuild();
    canvas.fit();
  }
  select(view.itemOf.get(id) ?? null);
  details.show({ node: id });
  if (!part("table-view").hidden) table.reveal(id);
  table.mark(id);
  resized();
}

function select(item) {
  canvas.chosen = item;
  canvas.cursor = item ?? canvas.cursor;
  if (item && !part("graph-view").hidden) canvas.reveal(item);
  canvas.redraw(false);
}

/** What a press or Enter does to an item or an edge. */
function act({ item, edge }) {
  leave();
  if (item?.isGroup) return toggleGroup(item.key);
  if (item) return choose(item.nodes[0].id);
  if (!edge) return closeDetails();
  const link = edge.links[0].told;
  if (edge.links.length === 1 && link.from === graph.here) return choose(link.to);
  canvas.chosen = edge;
  details.show({ edge });
  resized();
  canvas.redraw(false);
}

/** Opens a group and tells of it, or closes it. */
function toggleGroup(key) {
  const item = view.items.find((other) => other.key === key);
  if (!open.delete(key)) open.add(key);
  canvas.group = open.has(key) ? key : null;
  canvas.touched = false;
  rebuild();
  canvas.fit();
  if (item) details.show({ group: groupOf(key, item.name) });
  const first = view.items.find((other) => other.key === key || other.group === key);
  if (canvas.focused) moveTo(first);
  resized();
}

/** A group with what it has now, shown as one or as its nodes. */
function groupOf(key, name) {
  const nodes = view.items.filter((item) => item.key === key || item.group === key).flatMap((item) => item.nodes);
  return { key, name, nodes, isOpen: open.has(key) };
}

function closeDetails() {
  const had = part("details").contains(document.activeElement);
  canvas.chosen = null;
  details.close();
  table.mark(null);
  if (had) (part("graph-view").hidden ? part("show-table") : part("graph")).focus();
  resized();
  canvas.redraw(false);
}

// ---- pointing ----

/** What is said of a thing when it is pointed at, and to who cannot see it. */
function describe({ item, edge }) {
  if (edge) {
    const links = edge.links.map(({ told }) => told);
    if (links.length > 1) return [`${edge.a.name} \u2013 ${edge.b.name}`, summary(links)];
    return [`${graph.name(links[0].from)} \u2192 ${graph.name(links[0].to)}`, figures(links[0], graph)];
  }
  if (item.isGroup) return [item.name, [["Nodes", `${item.nodes.length}: ${tally(item.levels)}`]]];
  const [node] = item.nodes;
  const link = graph.linkTo(node.id);
  const own = [["State", item.isHere ? "this node" : node.state === "suspect" ? "suspect" : ""], ["Address", node.address],
    ["MACs", String(node.macs)]];
  return [node.name, [...own, ...(link ? figures(link, graph) : [])]];
}

function summary(links) {
  const levels = LEVELS.map((word) => links.filter((link) => link.state === word).length);
  const most = (value) => Math.max(...links.map((link) => value(link) ?? 0));
  const loss = ({ count, of }) => of ? 100 * count / of : 0;
  return [
    ["Links", `${links.length}: ${tally(levels)}`],
    ["Longest round trip", time(most((link) => link.rtt_us))],
    ["Most loss", `${most((link) => Math.max(loss(link.lost_there), loss(link.lost_back))).toFixed(1)} %`],
    ["Smallest MTU", String(Math.min(...links.map((link) => link.path_mtu ?? Infinity)))],
    ["Wrong", [...new Set(links.flatMap((link) => link.degraded))].join(", ")],
  ].filter(([, value]) => value !== "Infinity");
}

function writeTip(thing) {
  const [title, rows] = describe(thing);
  part("tip").replaceChildren(element("b", title), facts(rows));
}

function point(x, y) {
  const thing = canvas.find(x, y);
  const same = thing.item === canvas.over?.item && thing.edge === canvas.over?.edge;
  const something = Boolean(thing.item || thing.edge);
  if (!same) {
    canvas.over = something ? thing : null;
    part("graph").classList.toggle("over", something);
    part("tip").hidden = !something;
    if (something) writeTip(thing);
    canvas.redraw(false);
  }
  if (!something) return;
  const tip = part("tip");
  const [right, below] = [x + 16 + tip.offsetWidth < canvas.width, y + 14 + tip.offsetHeight < canvas.height];
  tip.style.left = `${right ? x + 16 : Math.max(4, x - 12 - tip.offsetWidth)}px`;
  tip.style.top = `${below ? y + 14 : Math.max(4, y - 10 - tip.offsetHeight)}px`;
}

function leave() {
  canvas.over = null;
  part("tip").hidden = true;
  canvas.redraw(false);
}

function listenToPointer() {
  let from = null;
  const here = (event) => [event.offsetX, event.offsetY];
  part("graph").addEventListener("pointerdown", (event) => {
    from = { at: here(event), moved: false };
    part("graph").setPointerCapture(event.pointerId);
  });
  part("graph").addEventListener("pointermove", (event) => {
    const [x, y] = here(event);
    if (!from) return point(x, y);
    const [dx, dy] = [x - from.at[0], y - from.at[1]];
    if (!from.moved && Math.hypot(dx, dy) < 4) return;
    from = { at: [x, y], moved: true };
    canvas.touched = true;
    leave();
    canvas.pan(dx, dy);
  });
  part("graph").addEventListener("pointerup", (event) => {
    if (from && !from.moved) act(canvas.find(...here(event)));
    from = null;
  });
  part("graph").addEventListener("pointercancel", () => { from = null; });
  part("graph").addEventListener("pointerleave", leave);
  part("graph").addEventListener("wheel", (event) => {
    event.preventDefault();
    canvas.touched = true;
    canvas.zoom(Math.exp(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY), 120) / 500), ...here(event));
  }, { passive: false });
}

// ---- keys ----

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function listenToKeys() {
  part("graph").addEventListener("focus", () => {
    // A press of the pointer brings the focus, too, and has a place of its own.
    if (!part("graph").matches(":focus-visible")) return;
    canvas.focused = true;
    moveTo(canvas.cursor ?? view.items[0]);
  });
  part("graph").addEventListener("blur", () => {
    canvas.focused = false;
    canvas.redraw(false);
  });
  part("graph").addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { key } = event;
    canvas.focused = true;
    if (WAYS[key]) moveTo(next(...WAYS[key]));
    else if (key === "Home") moveTo(view.items.find((item) => item.isHere));
    else if (key === "Enter" || key === " ") {
      if (canvas.cursor) act({ item: canvas.cursor });
    } else if (key === "+" || key === "=") zoom(1.25);
    else if (key === "-") zoom(0.8);
    else if (key === "0") fit();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !part("details").hidden) closeDetails();
    const typing = event.target.matches("input, select, textarea");
    if (typing || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === "/") {
      event.preventDefault();
      part("search").focus();
    } else if (event.key === "t") {
      showTable(part("table-view").hidden);
    }
  });
}

/** The nearest item that way. */
function next(wayX, wayY) {
  const from = canvas.cursor ?? view.items[0];
  let [found, least] = [from, Infinity];
  for (const item of view.items) {
    const [dx, dy] = [item.x - from?.x, item.y - from?.y];
    const [along, aside] = [dx * wayX + dy * wayY, Math.abs(dx * wayY) + Math.abs(dy * wayX)];
    if (along > 1 && along + 2.5 * aside < least && aside < 3 * along) [found, least] = [item, along + 2.5 * aside];
  }
  return found;
}

function moveTo(item) {
  if (!item) return;
  canvas.cursor = item;
  canvas.reveal(item);
  const [title, rows] = describe({ item });
  const state = item.isHere ? "" : `, ${LEVELS[item.level]}`;
  const told = rows.filter(([what, value]) => value && what !== "State").map(([what, value]) => `${what} ${value}`);
  part("said").textContent = `${title}${state}. ${told.join(", ")}`;
  canvas.redraw(false);
}

// ---- the rest of the page ----

function zoom(factor) {
  canvas.touched = true;
  canvas.zoom(factor);
}

function fit() {
  canvas.group = null;
  canvas.touched = false;
  canvas.fit();
}

function showTable(on) {
  part("graph-view").hidden = on;
  part("table-view").hidden = !on;
  part("show-graph").setAttribute("aria-pressed", String(!on));
  part("show-table").setAttribute("aria-pressed", String(on));
  canvas.hidden = on;
  if (on) return listNodes();
  resized();
  canvas.redraw(true);
}

/** Writes the table anew, where it can be seen. */
function listNodes() {
  if (part("table-view").hidden) return;
  table.rebuild();
  table.reveal(details.shown?.node);
  table.mark(details.shown?.node);
}

/** The graph has another size: what fitted fits again, unless somebody moved it. */
function resized() {
  if (!part("graph-view").hidden && canvas.resize() && !canvas.touched) canvas.fit();
}

function askToken(wrong) {
  part("ask").hidden = false;
  part("wrong").textContent = wrong ? "That is not the token of this node." : "";
  part("token").value = "";
  part("token").focus();
  return new Promise((resolve) => {
    part("ask").addEventListener("submit", (event) => {
      event.preventDefault();
      part("ask").hidden = true;
      resolve(part("token").value.trim());
    }, { once: true });
  });
}

function listenToControls() {
  part("show-graph").addEventListener("click", () => showTable(false));
  part("show-table").addEventListener("click", () => showTable(true));
  part("closer").addEventListener("click", () => zoom(1.25));
  part("farther").addEventListener("click", () => zoom(0.8));
  part("fit").addEventListener("click", fit);
  part("close-groups").addEventListener("click", regroup);
  part("grouping").addEventListener("change", regroup);
  part("search").addEventListener("input", () => {
    sought = part("search").value.trim().toLowerCase();
    filter();
  });
  part("search").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || sought === "") return;
    const found = [...graph.nodes.values()].filter((node) => graph.matches(node, sought));
    if (found.length > 0) choose(found[0].id);
    part("said").textContent = many(found.length, "node matches", "nodes match");
  });
  new ResizeObserver(resized).observe(part("graph-view"));
}

/** Groups anew, all closed. */
function regroup() {
  open = new Set();
  canvas.group = null;
  canvas.touched = false;
  rebuild();
  canvas.fit();
}

listenToPointer();
listenToKeys();
listenToControls();
resized();
live.run();
