// The panel beside the graph: all of one node, a group, or the links of an edge.

import { LEVELS, age, bits, element, facts, level, many, octets, or, share, time } from "./words.js";
import { byName } from "./graph.js";

/** How often what was asked for is asked for again. */
const AGAIN_MS = 5000;
/** Up to so many lines of a list. */
const LINES = 100;

/** The figures of a link as rows of what and how much. */
export function figures(link, graph) {
  const rate = link.rate && `${bits(link.rate.received)} from it, ${bits(link.rate.sent)} to it`;
  return [
    ["Path", link.via ? `${link.state}, through ${graph.name(link.via)}` : link.state],
    ["Round trip", time(link.rtt_us)],
    ["Loss", `${share(link.lost_there)} there, ${share(link.lost_back)} back`],
    ["MTU", link.path_mtu && `${link.path_mtu} underlay, ${or(link.mtu)} pods`],
    ["Sent as", link.format],
    ["Bytes", `${octets(link.received.octets)} from it, ${octets(link.sent.octets)} to it`],
    ["Now", rate],
    ["Wrong", link.degraded.join(", ")],
  ];
}

/** How many nodes of each level, in words. */
export function tally(levels) {
  return levels.map((count, i) => count && `${count} ${LEVELS[i]}`).filter(Boolean).join(", ");
}

export class Details {
  /** `on`: what to do to `close` the panel, to `choose` a node by id, to `toggle` a group by key. */
  constructor(panel, graph, live, on) {
    Object.assign(this, { panel, graph, live, on });
    this.turn = 0;
    setInterval(() => !document.hidden && this.ask(), AGAIN_MS);
  }

  close() {
    this.shown = null;
    this.panel.hidden = true;
  }

  /** Shows a thing: `{ node }`, by id, `{ group }`, an item, or `{ edge }`. */
  show(thing) {
    this.shown = thing;
    this.turn += 1;
    const close = element("button", "\u2715", "close");
    close.type = "button";
    close.setAttribute("aria-label", "Close");
    close.addEventListener("click", () => this.on.close());
    this.live_part = element("div");
    this.asked_part = element("div");
    this.panel.replaceChildren(close, this.live_part, this.asked_part);
    this.panel.hidden = false;
    this.panel.scrollTop = 0;
    this.update();
    this.ask();
  }

  /** Writes what comes with the stream; `touched`: the nodes that there is news of, if not all. */
  update(touched) {
    if (!this.shown || (touched && !this.missed && !this.isOf(touched))) return;
    // Who selects a text wants to keep it.
    this.missed = this.isSelected();
    if (this.missed) return;
    const { node, group, edge } = this.shown;
    if (node !== undefined) this.writeNode(this.graph.nodes.get(node));
    else if (group) this.writeGroup(group);
    else this.writeEdge(edge);
  }

  /** Whether what is shown is of any of these nodes. */
  isOf(touched) {
    const { node, group, edge } = this.shown;
    if (node !== undefined) return touched.has(node);
    if (group) return group.nodes.some(({ id }) => touched.has(id));
    return edge.links.some(({ told }) => touched.has(told.from) || touched.has(told.to));
  }

  isSelected() {
    const selection = getSelection();
    return !selection.isCollapsed && this.panel.contains(selection.anchorNode);
  }

  writeNode(node) {
    if (!node) return put(this.live_part, [element("p", "This node is no longer known.")]);
    const here = node.id === this.graph.here;
    const link = this.graph.linkTo(node.id);
    const kinds = { here: "this node", member: "a node", static: "a static peer" };
    const state = element("p");
    const word = node.state === "suspect" && node.level === 1 ? "suspect" : LEVELS[node.level];
    state.append(element("span", here ? "" : word, `state ${LEVELS[node.level]}`), here ? "this node" : `, ${kinds[node.kind] ?? node.kind}`);
    const parts = [element("h2", node.name), state, facts([
      ["Address", node.address], ["weft", node.version], ["Networks", node.networks.join(", ")],
      ["MACs", String(node.macs)], ["Id", node.kind === "static" || node.id === "here" ? "" : node.id],
    ])];
    if (link) parts.push(element("h3", "The way there"), facts(figures(link, this.graph)));
    const others = node.links.map(({ told }) => told).filter(({ from }) => from !== this.graph.here);
    if (others.length > 0) parts.push(element("h3", many(others.length, "other link", "other links")), this.linkTable(others, node.id));
    put(this.live_part, parts);
  }

  writeGroup(group) {
    const button = element("button", group.isOpen ? "Close the group" : "Show its nodes");
    button.type = "button";
    button.addEventListener("click", () => this.on.toggle(group.key));
    const members = element("div", undefined, "members");
    const nodes = [...group.nodes].sort((a, b) => b.level - a.level || byName(a, b));
    members.append(...nodes.slice(0, 2 * LINES).map((node) => this.nodeButton(node.id)));
    const macs = group.nodes.reduce((sum, node) => sum + node.macs, 0);
    if (nodes.length > 2 * LINES) members.append(element("span", `and ${nodes.length - 2 * LINES} more: see the table`, "soft"));
    put(this.live_part, [element("h2", group.name), element("p", `${many(group.nodes.length, "node", "nodes")}: ${tally(levelsOf(group.nodes))}`),
      facts([["MACs", String(macs)]]), button, members]);
  }

  writeEdge(edge) {
    const names = `${edge.a.name} \u2013 ${edge.b.name}`;
    put(this.live_part, [element("h2", names), element("p", many(edge.links.length, "link", "links")), this.linkTable(edge.links.map(({ told }) => told))]);
  }

  nodeButton(id) {
    const node = this.graph.nodes.get(id);
    const button = element("button", node?.name ?? id, node ? `mark ${LEVELS[node.level]}` : undefined);
    button.type = "button";
    button.dataset.id = id;
    button.addEventListener("click", () => this.on.choose(id));
    return button;
  }

  /** Links, the worst first; of those of one node only the other end is named. */
  linkTable(links, node) {
    const worst = [...links].sort((a, b) => level(b.state) - level(a.state) || (b.rtt_us ?? 0) - (a.rtt_us ?? 0));
    const ends = ({ from, to }) => (node === undefined ? [from, to] : [from === node ? to : from]).map((id) => this.graph.name(id));
    const titles = [...(node === undefined ? ["From", "To"] : ["With"]), "Path", "Round trip", "Wrong"];
    const table = tableOf(titles, worst.slice(0, LINES).map((link) => [
      ...ends(link), link.state, time(link.rtt_us), link.degraded.join(", "),
    ]));
    if (worst.length > LINES) table.append(element("caption", `the worst ${LINES} of ${worst.length}`));
    return table;
  }

  /** Asks for what does not come with the stream. */
  async ask() {
    const node = this.shown?.node !== undefined && this.graph.nodes.get(this.shown.node);
    if (!node) return;
    const [turn, here] = [this.turn, node.id === this.graph.here];
    // By id, which is unique: names need not be.
    const name = encodeURIComponent(node.id);
    const part = async (path, write) => {
      try {
        return write(await this.live.ask(path));
      } catch (error) {
        return [element("p", error.message, "soft")];
      }
    };
    const parts = here
      ? [part("status", troubles), part("ports", ports), part("drops", drops)]
      : isPrefix(node) ? [[element("p", "Datagrams from there are taken, and none is ever sent there.")]]
        : hasPath(node, this.graph) ? [part(`peer/${name}`, path)] : [];
    const written = await Promise.all([...parts, part(`fdb/${name}`, (fdb) => entries(fdb, here))]);
    if (turn === this.turn && !this.isSelected()) put(this.asked_part, written.flat());
  }
}

/** Writes parts into an element, unless it has them already: what is pressed or read stays. */
function put(into, parts) {
  const fresh = into.cloneNode(false);
  fresh.append(...parts);
  if (!fresh.isEqualNode(into)) into.replaceChildren(...fresh.childNodes);
}

/** Whether a static peer is a whole network, which frames come from and never go to. */
const isPrefix = (node) => node.kind === "static" && node.id.includes("/");

/** Whether the node that is asked watches the path to another: one that gossip holds down has none. */
function hasPath(node, graph) {
  return node.state !== "down" || (graph.linkTo(node.id)?.degraded.length ?? 0) > 0;
}

/** How many nodes are of each level. */
function levelsOf(nodes) {
  return LEVELS.map((_, level) => nodes.filter((node) => node.level === level).length);
}

function tableOf(titles, rows) {
  const table = document.createElement("table");
  const head = document.createElement("tr");
  for (const title of titles) {
    const cell = element("th", title);
    cell.scope = "col";
    head.append(cell);
  }
  table.append(head, ...rows.map((row) => {
    const line = document.createElement("tr");
    line.append(...row.map((text) => element("td", text)));
    return line;
  }));
  return table;
}

function listOf(texts) {
  const list = document.createElement("ul");
  list.append(...texts.map((text) => element("li", text)));
  return list;
}

function troubles({ degraded }) {
  if (degraded.length === 0) return [];
  const text = ({ subject, cause, since_s }) => `${subject}: ${cause} (${age(since_s)})`;
  return [element("h3", "What is wrong"), listOf(degraded.slice(0, LINES).map(text))];
}

function ports({ entries: all }) {
  if (all.length === 0) return [element("h3", "Ports"), element("p", "none", "soft")];
  const row = (port) => [port.name, port.network, port.state, or(port.mac), port.addresses.join(", ") || or(), String(port.mtu)];
  return [element("h3", many(all.length, "port", "ports")),
    tableOf(["Port", "Network", "State", "MAC", "Addresses", "MTU"], all.slice(0, LINES).map(row)), rest(all.length)].filter(Boolean);
}

function rest(count) {
  return count > LINES ? element("p", `and ${count - LINES} more`, "soft") : null;
}

function drops(ledger) {
  const all = Object.entries(ledger.drops).filter(([, { inbound, outbound }]) => inbound + outbound > 0)
    .sort(([, a], [, b]) => b.inbound + b.outbound - a.inbound - a.outbound);
  const number = (value) => value.toLocaleString("en");
  const frames = facts([["Received", number(ledger.received)], ["Delivered", number(ledger.delivered)],
    ["Copies", number(ledger.copies)], ["Answered here", number(ledger.answered)]]);
  const heads = [element("h3", "Frames"), frames, element("h3", "Drops")];
  if (all.length === 0) return [...heads, element("p", "none", "soft")];
  return [...heads, tableOf(["Reason", "Inbound", "Outbound"],
    all.map(([reason, { inbound, outbound }]) => [reason, number(inbound), number(outbound)]))];
}

function path({ entries: [found] }) {
  if (!found) return [];
  const parts = [];
  const { probes, terms } = found;
  if (probes) {
    parts.push(facts([
      ["Half within", time(probes.rtt_p50_us)], ["99 % within", time(probes.rtt_p99_us)],
      ["Overtaken", probes.overtaken.count ? share(probes.overtaken) : ""],
      ["Dead source ports", probes.dead_source_ports.join(", ")],
    ]));
  }
  if (found.path_mtu && found.mtu) {
    const sum = terms.map(({ what, octets: size }) => `${what} ${size}`).join(" \u2212 ");
    parts.push(facts([["Pods\u2019 MTU", `${found.path_mtu} \u2212 ${sum} = ${found.mtu}`]]));
  }
  if (found.degraded.length > 0) {
    parts.push(element("h3", "What is wrong"), listOf(found.degraded.map(({ cause, since_s }) => `${cause} (${age(since_s)})`)));
  }
  return parts;
}

function entries({ entries: all, more = 0 }, here) {
  const count = all.length + more;
  const title = element("h3", `FDB: ${many(count, "address", "addresses")}`);
  if (count === 0) return [title];
  const row = (entry) => [entry.mac, entry.network || String(entry.vni), here ? or(entry.port) : entry.state,
    entry.frozen_s === undefined ? age(entry.age_s) : `frozen for ${age(entry.frozen_s)}`];
  return [title, tableOf(["MAC", "Network", here ? "Port" : "State", "Age"], all.slice(0, LINES).map(row)), rest(count)].filter(Boolean);
}
