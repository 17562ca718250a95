// All nodes as a table: the same as the graph, for who reads or uses a keyboard.

import { LEVELS, MARKS, bits, element, octets, or, share, time } from "./words.js";
import { byName } from "./graph.js";

/** So many rows are a page of the table: each costs the browser time with all news. */
const ROWS = 50;
/** How long rows stay in their order, whatever the news. */
const ORDER_MS = 5000;

const lost = (link) => link ? 100 * Math.max(ratio(link.lost_there), ratio(link.lost_back)) : -1;
const ratio = ({ count, of }) => of ? count / of : 0;
const total = (link) => link ? link.received.octets + link.sent.octets : -1;

/** Title, width in pixels, text of a node and its link from here, and what it is sorted by if that is not the text. */
const COLUMNS = [
  { title: "Node", width: 210, name: "name", text: (node) => node.name, compare: byName },
  { title: "State", width: 110, text: (node) => `${MARKS[node.level]} ${LEVELS[node.level]}`, by: (node) => -node.level },
  { title: "Round trip", width: 112, number: true, text: (_, link) => time(link?.rtt_us), by: (_, link) => link?.rtt_us ?? -1 },
  {
    title: "Loss there / back", width: 166, number: true, by: (_, link) => lost(link),
    text: (_, link) => link ? `${share(link.lost_there)} / ${share(link.lost_back)}` : or(),
  },
  { title: "Path MTU", width: 104, number: true, text: (_, link) => or(link?.path_mtu), by: (_, link) => link?.path_mtu ?? -1 },
  { title: "Pods\u2019 MTU", width: 114, number: true, text: (_, link) => or(link?.mtu), by: (_, link) => link?.mtu ?? -1 },
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
    [this.sorted, this.downwards, this.from] = [COLUMNS[0], false, 0];
    // Rows stay where they are, and show other nodes when the order changes: moving them would cost the browser more.
    this.rows = [];
    // By the ids of nodes: their places in the order.
    this.ranks = new Map();
    // Only rows that can be seen are written when there is news.
    this.seen = new Set();
    this.watch = new IntersectionObserver((entries) => this.scrolled(entries), { root: document.getElementById("table-view") });
    this.isDim = () => false;
    for (const column of COLUMNS) this.addColumn(column);
    this.told = document.createTextNode("");
    [this.before, this.after] = [this.pageButton(`The ${ROWS} before`, -ROWS), this.pageButton(`The next ${ROWS}`, ROWS)];
    this.caption.append(this.told, this.before, this.after);
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

  /** Shows the first rows anew, in their order. */
  rebuild() {
    this.from = 0;
    for (const column of COLUMNS) {
      if (column === this.sorted) column.head.setAttribute("aria-sort", this.downwards ? "descending" : "ascending");
      else column.head.removeAttribute("aria-sort");
    }
    this.sort();
    this.arrange();
    this.rows.forEach((row) => this.fill(row));
  }

  /** Takes news of some nodes; `levels`: whether how bad one is, by which nodes are found, is among them. */
  update(touched, levels) {
    // A row that is pressed stays what it is.
    const isOld = performance.now() - this.sortedAt >= ORDER_MS && !this.body.matches(":active");
    if (isOld) this.sort();
    if (isOld || levels) this.arrange();
    for (const row of this.seen) if (touched.has(row.id)) this.fill(row);
  }

  sort() {
    const { compare, by, text } = this.sorted;
    const sign = this.downwards ? -1 : 1;
    const valued = [...this.graph.nodes.values()]
      .map((node) => ({ node, value: compare ? 0 : (by ?? text)(node, this.graph.linkTo(node.id), this.graph) }));
    const order = (a, b) => sign * (a.value < b.value ? -1 : a.value > b.value ? 1 : 0) || (compare ? sign : 1) * byName(a.node, b.node);
    valued.sort(order).forEach(({ node }, rank) => this.ranks.set(node.id, rank));
    for (const id of this.ranks.keys()) if (!this.graph.nodes.has(id)) this.ranks.delete(id);
    this.sortedAt = performance.now();
  }

  /** The nodes that are looked for, by the last order; one that came since is the last. */
  found() {
    const rank = ({ id }) => this.ranks.get(id) ?? Infinity;
    return [...this.graph.nodes.values()].filter((node) => !this.isDim(node)).sort((a, b) => rank(a) - rank(b) || 0);
  }

  /** Goes to the page that has a node. */
  reveal(id) {
    const at = this.found().findIndex((node) => node.id === id);
    if (at < 0) return;
    this.from = at - at % ROWS;
    this.arrange();
  }

  /** Gives each row its node. */
  arrange() {
    const all = this.found();
    this.from = Math.max(0, Math.min(this.from, Math.ceil(all.length / ROWS) * ROWS - ROWS));
    const shown = all.slice(this.from, this.from + ROWS);
    const focused = this.rows.find((row) => row.cells[0] === document.activeElement)?.id;
    while (this.rows.length < shown.length) this.addRow();
    while (this.rows.length > shown.length) this.dropRow();
    shown.forEach((node, i) => {
      const row = this.rows[i];
      if (row.id === node.id) return;
      row.id = node.id;
      row.element.classList.toggle("chosen", node.id === this.chosen);
      this.fill(row);
      if (node.id === focused) row.cells[0].focus({ preventScroll: true });
    });
    this.writeCaption(shown.length, all.length);
  }

  writeCaption(shown, found) {
    const which = shown < found ? `${this.from + 1} to ${this.from + shown} of ${found}` : `${found}`;
    const of = found < this.graph.nodes.size ? `${which} found of ${this.graph.nodes.size}` : which;
    this.told.data = `${of} nodes, as ${this.graph.name(this.graph.here)} sees them`;
    this.before.hidden = this.after.hidden = shown === found;
    // Not truly disabled, which would take the focus from it.
    this.before.ariaDisabled = String(this.from === 0);
    this.after.ariaDisabled = String(this.from + shown >= found);
  }

  /** A button that leads to other rows. */
  pageButton(title, rows) {
    const button = element("button", title);
    button.type = "button";
    button.addEventListener("click", () => {
      this.from += rows;
      this.arrange();
    });
    return button;
  }

  addRow() {
    const row = { element: document.createElement("tr"), id: undefined, texts: [] };
    row.cells = COLUMNS.map((column) => {
      const cell = element("td", undefined, column.name ?? (column.number ? "number" : undefined));
      row.element.append(cell);
      return cell;
    });
    const button = document.createElement("button");
    button.type = "button";
    button.addEventListener("click", () => this.choose(row.id));
    row.cells[0].append(button);
    row.cells[0] = button;
    for (const cell of row.cells) cell.append("");
    row.element.row = row;
    this.body.append(row.element);
    this.watch.observe(row.element);
    this.rows.push(row);
  }

  dropRow() {
    const row = this.rows.pop();
    this.watch.unobserve(row.element);
    this.seen.delete(row);
    row.element.remove();
  }

  scrolled(entries) {
    for (const { isIntersecting, target: { row } } of entries) {
      if (!isIntersecting) {
        this.seen.delete(row);
      } else if (this.graph.nodes.has(row.id) && row.element.isConnected) {
        this.seen.add(row);
        this.fill(row);
      }
    }
  }

  /** Writes what is other in a row: text that stays is not touched. */
  fill(row) {
    const node = this.graph.nodes.get(row.id);
    if (!node) return;
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
    this.chosen = id;
    for (const row of this.rows) row.element.classList.toggle("chosen", row.id === id);
  }
}
