// All nodes as a table: the same as the graph, for who reads or uses a keyboard.

import { LEVELS, MARKS, bits, element, octets, or, share, time } from "./words.js";
import { byName } from "./graph.js";

/** Up to so many rows: more on request, as each costs the browser time with all news. */
const ROWS = 50;
/** How long rows stay in the order, and those that are found, which news would change. */
const ORDER_MS = 5000;

const lost = (link) => link ? 100 * Math.max(ratio(link.lost_there), ratio(link.lost_back)) : -1;
const ratio = ({ count, of }) => of ? count / of : 0;
const total = (link) => link ? link.received.octets + link.sent.octets : -1;

/** Title, width in pixels, text of a node and its link from here, and what it is sorted by if that is not the text. */
const COLUMNS = [
  { title: "Node", width: 210, name: "name", text: (node) => node.name, compare: byName },
  { title: "State", width: 110, text: (node) => `${MARKS[node.level]} ${LEVELS[node.level]}`, by: (node) => -node.level },
  { title: "Round trip", width: 100, number: true, text: (_, link) => time(link?.rtt_us), by: (_, link) => link?.rtt_us ?? -1 },
  {
    title: "Loss there / back", width: 150, number: true, by: (_, link) => lost(link),
    text: (_, link) => link ? `${share(link.lost_there)} / ${share(link.lost_back)}` : or(),
  },
  { title: "Path MTU", width: 90, number: true, text: (_, link) => or(link?.path_mtu), by: (_, link) => link?.path_mtu ?? -1 },
  { title: "Pods\u2019 MTU", width: 96, number: true, text: (_, link) => or(link?.mtu), by: (_, link) => link?.mtu ?? -1 },
  {
    title: "From / to", width: 190, number: true, by: (_, link) => link?.rate ? link.rate.received + link.rate.sent : -1,
    text: (_, link) => link ? `${bits(link.rate?.received)} / ${bits(link.rate?.sent)}` : or(),
  },
  { title: "Bytes", width: 96, number: true, text: (_, link) => link ? octets(total(link)) : or(), by: (_, link) => total(link) },
  { title: "MACs", width: 70, number: true, text: (node) => String(node.macs), by: (node) => node.macs },
  { title: "Address", width: 150, text: (node) => or(node.address) },
  { title: "What is wrong", name: "causes", text: (node, link, graph) => causes(node, link, graph) },
];

function causes(node, link, graph) {
  const through = link?.via ? [`through ${graph.name(link.via)}`] : [];
  return [...(node.state === "suspect" ? ["suspect"] : []), ...(link?.degraded ?? []), ...through].join(", ");
}

export class Table {
  /** `choose`: what happens with a node whose name is pressed. */
  constructor(graph, choose) {
    [this.graph, this.choose] = [graph, choose];
    [this.columns, this.body, this.caption] = ["columns", "rows", "caption"].map((id) => document.getElementById(id));
    [this.sorted, this.downwards, this.limit] = [COLUMNS[0], false, ROWS];
    this.rows = new Map();
    // Only rows that can be seen are written when there is news.
    this.seen = new Set();
    this.watch = new IntersectionObserver((entries) => this.scrolled(entries), { root: document.getElementById("table-view") });
    this.isDim = () => false;
    for (const column of COLUMNS) this.addColumn(column);
  }

  addColumn(column) {
    const head = element("th", undefined, column.number ? "number" : undefined);
    head.scope = "col";
    if (column.width) head.style.width = `${column.width}px`;
    const button = element("button", column.title);
    button.type = "button";
    button.addEventListener("click", () => {
      this.downwards = this.sorted === column && !this.downwards;
      this.sorted = column;
      this.rebuild();
    });
    head.append(button);
    this.columns.append(head);
    column.head = head;
  }

  /** Shows all rows anew, in their order. */
  rebuild() {
    for (const column of COLUMNS) {
      if (column === this.sorted) column.head.setAttribute("aria-sort", this.downwards ? "descending" : "ascending");
      else column.head.removeAttribute("aria-sort");
    }
    const all = this.ordered([...this.graph.nodes.values()].filter((node) => !this.isDim(node)));
    this.builtAt = performance.now();
    const shown = all.slice(0, this.limit);
    const known = this.rows;
    this.rows = new Map(shown.map((node) => [node.id, known.get(node.id) ?? this.makeRow(node)]));
    for (const node of shown) if (!known.has(node.id) || this.seen.has(node.id)) this.fill(node);
    for (const [id, row] of known) {
      if (this.rows.has(id)) continue;
      this.watch.unobserve(row.element);
      this.seen.delete(id);
      row.element.remove();
    }
    this.place();
    this.caption.textContent = `${shown.length} of ${this.graph.nodes.size} nodes, as ${this.graph.name(this.graph.here)} sees them`;
    if (shown.length === all.length) return;
    const more = element("button", `Show all ${all.length}`);
    more.addEventListener("click", () => {
      this.limit = Infinity;
      this.rebuild();
    });
    this.caption.append("  ", more);
  }

  /** Puts rows where they belong; one that has the focus keeps it. */
  place() {
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    let at = this.body.firstChild;
    for (const { element: row } of this.rows.values()) {
      if (row === at) at = at.nextSibling;
      else this.body.insertBefore(row, at);
    }
    focused?.focus({ preventScroll: true });
  }

  /** Whether so much may be news since that rows belong elsewhere. */
  isOld() {
    return performance.now() - this.builtAt >= ORDER_MS;
  }

  ordered(nodes) {
    const { compare, by, text } = this.sorted;
    const sign = this.downwards ? -1 : 1;
    if (compare) return nodes.sort((a, b) => sign * compare(a, b));
    const valued = nodes.map((node) => ({ node, value: (by ?? text)(node, this.graph.linkTo(node.id), this.graph) }));
    valued.sort((a, b) => sign * (a.value < b.value ? -1 : a.value > b.value ? 1 : 0) || byName(a.node, b.node));
    return valued.map(({ node }) => node);
  }

  makeRow(node) {
    const row = document.createElement("tr");
    const cells = COLUMNS.map((column) => {
      const cell = element("td", undefined, column.name ?? (column.number ? "number" : undefined));
      row.append(cell);
      return cell;
    });
    const button = document.createElement("button");
    button.type = "button";
    button.addEventListener("click", () => this.choose(node.id));
    cells[0].append(button);
    cells[0] = button;
    for (const cell of cells) cell.append("");
    row.dataset.id = node.id;
    this.watch.observe(row);
    return { element: row, cells, texts: [] };
  }

  /** Takes news of some nodes. */
  update(touched) {
    for (const id of touched) if (this.seen.has(id)) this.fill(this.graph.nodes.get(id));
  }

  scrolled(entries) {
    for (const { isIntersecting, target } of entries) {
      const { id } = target.dataset;
      if (!isIntersecting) this.seen.delete(id);
      else if (this.graph.nodes.has(id)) {
        this.seen.add(id);
        this.fill(this.graph.nodes.get(id));
      }
    }
  }

  /** Writes what is other in a row: text that stays is not touched. */
  fill(node) {
    const row = this.rows.get(node.id);
    if (!row) return;
    const link = this.graph.linkTo(node.id);
    COLUMNS.forEach((column, i) => {
      const text = column.text(node, link, this.graph);
      // The text of the node that is there: a new node would cost the browser more.
      if (row.texts[i] !== text) row.cells[i].firstChild.data = row.texts[i] = text;
    });
    const name = `mark ${LEVELS[node.level]}`;
    if (row.cells[1].className !== name) row.cells[1].className = name;
  }

  /** Marks the row of the chosen node. */
  mark(id) {
    for (const [node, row] of this.rows) row.element.classList.toggle("chosen", node === id);
  }
}
