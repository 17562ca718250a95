// What is known: nodes and links, as they were told; and what is shown of them: items, which are nodes or groups of nodes,
// and edges, which are all links between two items.
//
// A link stays the same object as long as it is there, and has what was told of it last as `told`: thousands of links may
// have news each second.

import { level } from "./words.js";

/** From so many nodes on they are shown in groups, unless somebody says otherwise. */
export const GROUP_FROM = 100;
/** A view with more items than this says nothing any more. */
const MOST_GROUPS = 60;
/** A group by name with more nodes than this is split into ranges of names. */
const LARGE_GROUP = 60;

const collator = new Intl.Collator("en", { numeric: true });
export const byName = (a, b) => collator.compare(a.name, b.name) || (a.id < b.id ? -1 : 1);
const keyOf = (from, to) => `${from}\n${to}`;

export class Graph {
  constructor() {
    this.here = "";
    this.nodes = new Map();
    this.links = new Map();
  }

  /** Takes a snapshot in place of all before. */
  reset(map) {
    this.here = map.here;
    this.nodes = new Map(map.nodes.map((told) => [told.id, nodeOf(told)]));
    this.links = new Map();
    for (const link of map.links) this.addLink(link);
    for (const node of this.nodes.values()) this.judge(node);
  }

  /** Takes changes. Says what they did to the `shape` of the graph, and how bad its `links` and `nodes` are; and to which nodes. */
  apply(changes) {
    let shape = changes.gone_nodes.length + changes.gone_links.length > 0;
    let [links, nodes] = [false, false];
    const touched = new Set();
    for (const [from, to] of changes.gone_links) this.dropLink(keyOf(from, to));
    for (const id of changes.gone_nodes) this.dropNode(id);
    for (const told of changes.nodes) {
      const [node, known] = [nodeOf(told), this.nodes.get(told.id)];
      if (known) {
        // What moves a node to another group is a change of shape.
        shape ||= known.name !== node.name || known.networks.join() !== node.networks.join() || known.kind !== node.kind;
        Object.assign(known, node, { links: known.links, level: known.level });
      } else {
        this.nodes.set(node.id, node);
        shape = true;
      }
      touched.add(node.id);
    }
    for (const link of changes.links) {
      const known = this.links.get(keyOf(link.from, link.to));
      if (known) {
        shape ||= known.told.via !== link.via;
        links ||= known.told.state !== link.state;
        known.told = link;
      } else {
        this.addLink(link);
        shape = true;
      }
      touched.add(link.from).add(link.to);
    }
    for (const id of touched) {
      const node = this.nodes.get(id);
      if (node) nodes = this.judge(node) || nodes;
    }
    return { shape, links, nodes, touched };
  }

  addLink(told) {
    const link = { told };
    this.links.set(keyOf(told.from, told.to), link);
    this.nodes.get(told.from)?.links.push(link);
    this.nodes.get(told.to)?.links.push(link);
  }

  dropLink(key) {
    const link = this.links.get(key);
    if (!link) return;
    this.links.delete(key);
    for (const id of [link.told.from, link.told.to]) {
      const node = this.nodes.get(id);
      if (node) node.links = node.links.filter((other) => other !== link);
    }
  }

  dropNode(id) {
    for (const { told } of this.nodes.get(id)?.links ?? []) this.dropLink(keyOf(told.from, told.to));
    this.nodes.delete(id);
  }

  /** How a node is: as bad as its own state, or the way to it from here. Says whether that is news. */
  judge(node) {
    const before = node.level;
    const link = this.linkTo(node.id);
    node.level = Math.max(level(node.state), link ? level(link.state) : 0);
    return node.level !== before;
  }

  /** What was told of the link from this node to another. */
  linkTo(id) {
    return this.links.get(keyOf(this.here, id))?.told;
  }

  name(id) {
    return this.nodes.get(id)?.name ?? id;
  }

  /** Whether a node has such a text in what is known of it. */
  matches(node, text) {
    const link = this.linkTo(node.id);
    const words = [node.name, node.address, node.id, node.version, ...node.networks, ...(link?.degraded ?? [])];
    return words.some((word) => word && word.toLowerCase().includes(text));
  }
}

/** A node as it was told, with a name that can be read: none is empty, or turns the writing around. */
function nodeOf({ id, name, kind, state, address, version, networks, macs }) {
  const readable = name.replace(/[\p{Cc}\p{Cf}]/gu, "\ufffd").trim() || id;
  return { id, name: readable, kind, state, address, version, networks, macs, links: [], level: undefined };
}

/**
 * What is shown. `by` is how nodes are grouped, `open` the keys of groups whose nodes are shown.
 * An item: `key`, `name`, `nodes`, `level`, `levels` (how many nodes of each), `group` (the key of the open group it is of).
 */
export function viewOf(graph, by, open) {
  const items = [];
  const itemOf = new Map();
  const add = (key, name, nodes, group) => {
    const item = { key, name, nodes, group, at: items.length, isGroup: key.startsWith("group\n"), isHere: false };
    items.push(item);
    for (const node of nodes) itemOf.set(node.id, item);
    return item;
  };
  const here = graph.nodes.get(graph.here);
  if (here) add(here.id, here.name, [here]).isHere = true;
  const others = [...graph.nodes.values()].filter((node) => node !== here).sort(byName);
  for (const [name, nodes] of groupsOf(others, by, graph.nodes.size)) {
    const key = `group\n${name}`;
    if (name !== null && nodes.length > 1 && !open.has(key)) {
      add(key, name, nodes);
    } else {
      for (const node of nodes) add(node.id, node.name, [node], nodes.length > 1 && name !== null ? key : undefined);
    }
  }
  const edges = edgesOf(graph, itemOf);
  const view = { items, edges, itemOf, grouped: items.some((item) => item.isGroup || item.group) };
  judgeView(view);
  return view;
}

/** One edge for each two items that have links, whichever way; a relayed link goes from the relay. */
function edgesOf(graph, itemOf) {
  const edges = new Map();
  for (const link of graph.links.values()) {
    const { told } = link;
    const to = itemOf.get(told.to);
    const via = told.via && itemOf.get(told.via);
    const from = via && via !== to ? via : itemOf.get(told.from);
    if (!from || !to || from === to) continue;
    const [a, b] = from.at < to.at ? [from, to] : [to, from];
    const relayed = Boolean(via && via !== to);
    const key = `${a.at} ${b.at} ${relayed}`;
    let edge = edges.get(key);
    if (!edge) edges.set(key, edge = { a, b, relayed, links: [], level: 0 });
    edge.links.push(link);
  }
  return [...edges.values()];
}

/** Works out how items and edges are: as bad as the worst in them. */
export function judgeView(view) {
  for (const item of view.items) {
    item.levels = [0, 0, 0];
    for (const node of item.nodes) item.levels[node.level] += 1;
    item.level = item.levels[2] ? 2 : item.levels[1] ? 1 : 0;
  }
  for (const edge of view.edges) {
    edge.level = 0;
    for (const { told } of edge.links) edge.level = Math.max(edge.level, level(told.state));
  }
}

/** Pairs of a group's name and its nodes; a null name for nodes that stay alone. */
function groupsOf(nodes, by, all) {
  if (by === "none" || (by === "automatic" && all < GROUP_FROM)) return [[null, nodes]];
  if (by === "network") return collect(nodes, (node) => node.networks.join(", ") || "no common network");
  if (by === "state") return collect(nodes, (node) => ["up", "degraded", "down"][node.level]);
  const groups = collect(nodes, stem);
  if (groups.length > MOST_GROUPS) return ranges(nodes);
  return groups.flatMap(([name, members]) => members.length > LARGE_GROUP ? ranges(members) : [[name, members]]);
}

function collect(nodes, nameOf) {
  const groups = new Map();
  for (const node of nodes) {
    const name = nameOf(node);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(node);
  }
  return [...groups];
}

/** What names of a kind share: `rack-a` of `rack-a-17`, `10.0.0` of `10.0.0.9`, `eu.example` of `web.eu.example`. */
function stem({ name }) {
  const numbered = /^(.+?)[-_.:/]+[^-_.:/]*\d[^-_.:/]*$/.exec(name);
  if (numbered) return numbered[1];
  return name.includes(".") ? name.slice(name.indexOf(".") + 1) || name : name.replace(/\d+$/, "") || name;
}

/** Some twenty-five names at a time. */
function ranges(nodes) {
  const size = Math.ceil(nodes.length / Math.ceil(nodes.length / Math.max(25, Math.sqrt(nodes.length))));
  const groups = [];
  for (let at = 0; at < nodes.length; at += size) {
    const some = nodes.slice(at, at + size);
    groups.push([`${some[0].name} \u2026 ${some[some.length - 1].name}`, some]);
  }
  return groups;
}
