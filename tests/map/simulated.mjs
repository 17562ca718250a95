// A node that there is not: serves the files of the map, and a graph of any size whose every link changes each second.
//
//     node tests/map/simulated.mjs cluster|mixed|star|large|hostile [PORT]

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const files = join(dirname(fileURLToPath(import.meta.url)), "../../switch/src/control/http/map");
const kinds = { html: "text/html", css: "text/css", js: "text/javascript" };
// As in switch/src/control/http.rs.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
  + "frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/** The same numbers at each run (mulberry32). */
function dice(seed) {
  let state = seed;
  return (most) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % most;
  };
}

/** An id as nodes have it: at random, and the same at each run. */
function id(number) {
  const roll = dice(1 + number * 7919);
  return Array.from({ length: 32 }, () => roll(16).toString(16)).join("");
}

function node(number, name, more = {}) {
  const networks = [["pods"], ["pods", "db"]][number % 3 === 0 ? 1 : 0];
  const address = `10.0.${Math.floor(number / 250)}.${number % 250 + 1}`;
  return { id: id(number), name, kind: "member", state: "up", address, version: "0.1.0", networks, macs: 8 + number % 30, ...more };
}

function link(roll, from, to, more = {}) {
  const octets = roll(1e9);
  return {
    from, to, state: "up", format: "vxlan", rtt_us: 180 + roll(900), lost_there: { count: 0, of: 200 },
    lost_back: { count: 0, of: 200 }, path_mtu: 1500, mtu: 1450, received: { count: Math.floor(octets / 900), octets },
    sent: { count: Math.floor(octets / 800), octets: octets + roll(1e8) }, rate: { received: roll(9e7), sent: roll(9e7) },
    degraded: [], ...more,
  };
}

const small = { state: "degraded", path_mtu: 1400, mtu: 1350, degraded: ["small_mtu"] };
const lossy = { state: "degraded", lost_there: { count: 11, of: 240 }, rtt_us: 48_300, degraded: ["loss"] };
const dead = { state: "down", rtt_us: undefined, path_mtu: undefined, mtu: undefined, rate: { received: 0, sent: 0 }, degraded: ["unanswered"] };

/** What a node measures of who does not run weft: nothing that needs an answer. */
const unmeasured = { rtt_us: undefined, lost_there: { count: 0, of: 0 }, lost_back: { count: 0, of: 0 } };

/** Two racks, a second site and a kernel VXLAN host: what a small cluster looks like from one node. */
function cluster() {
  const roll = dice(7);
  const names = ["ams-1", "ams-2", "ams-3", "ams-4", "ams-5", "ams-6", "fra-1", "fra-2", "fra-3", "fra-4", "edge-1"];
  const nodes = names.map((name, number) => node(number, name));
  nodes[0].kind = "here";
  nodes.push(node(90, "10.0.9.9", { id: "10.0.9.9", kind: "static", address: "10.0.9.9", version: undefined, networks: ["legacy"] }));
  const links = nodes.slice(1).map((other, i) => link(roll, nodes[0].id, other.id, i > 4 ? { rtt_us: 6_200 + roll(900) } : {}));
  Object.assign(links[3], small);
  Object.assign(links[6], lossy);
  Object.assign(links[8], { state: "degraded", via: nodes[6].id, rtt_us: 9_800, mtu: 1414, format: "geneve", degraded: ["relayed"] });
  Object.assign(links[9], dead);
  nodes[10].state = "down";
  Object.assign(links[10], unmeasured);
  return { here: nodes[0].id, nodes, links };
}

/** The same with a peer that is a whole network, and two nodes of one name. */
function mixed() {
  const map = cluster();
  const prefix = node(91, "10.7.0.0/24", { id: "10.7.0.0/24", kind: "static", address: "10.7.0.0/24", version: undefined });
  const others = [prefix, node(92, "twin"), node(93, "twin")];
  map.nodes.push(...others);
  map.links.push(...others.map((other) => link(dice(92), map.here, other.id, other === prefix ? unmeasured : {})));
  return map;
}

/** 500 nodes in 25 racks, as a node tells of them: with the links of its own. */
function star() {
  const roll = dice(500);
  const nodes = Array.from({ length: 500 }, (_, i) => {
    const rack = String(Math.floor(i / 20) + 1).padStart(2, "0");
    return node(i, `rack${rack}-node${String(i % 20 + 1).padStart(2, "0")}`);
  });
  nodes[0].kind = "here";
  const links = nodes.slice(1).map((other) => link(roll, nodes[0].id, other.id));
  for (let i = 0; i < 12; i += 1) Object.assign(links[roll(499)], [small, lossy, dead][i % 3]);
  nodes[321].state = "down";
  Object.assign(links[320], dead);
  return { here: nodes[0].id, nodes, links };
}

/** The same with 5,000 links: others at random besides. */
function large() {
  const roll = dice(501);
  const { here, nodes, links } = star();
  const there = new Set(links.map(({ from, to }) => `${from} ${to}`));
  while (links.length < 5000) {
    const [from, to] = [nodes[1 + roll(499)].id, nodes[1 + roll(499)].id];
    if (from === to || there.has(`${from} ${to}`)) continue;
    there.add(`${from} ${to}`);
    links.push(link(roll, from, to));
  }
  for (let i = 0; i < 48; i += 1) Object.assign(links[499 + roll(4501)], [small, lossy, dead][i % 3]);
  return { here, nodes, links };
}

/** Names that a node of another make could have: each would run, or break the page, if it were read as HTML. */
function hostile() {
  const script = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>";
  const nodes = [node(0, "here"), node(1, script, { address: script, version: script, networks: [script] }),
    node(2, "x".repeat(253)), node(3, "\u202egnp.exe\u0000\n\t"), node(4, "__proto__"), node(5, "constructor"), node(6, "")];
  nodes[0].kind = "here";
  const links = nodes.slice(1).map((other) => link(dice(3), nodes[0].id, other.id, { ...small, degraded: [script] }));
  return { here: nodes[0].id, nodes, links };
}

/** A moment later: all links have other figures, and a few another state. */
function moment(map, roll, at_ms) {
  for (const one of map.links) {
    if (one.state === "down") continue;
    if (one.rtt_us !== undefined) one.rtt_us = Math.max(90, one.rtt_us + roll(41) - 20);
    one.rate = { received: roll(9e7), sent: roll(9e7) };
    for (const way of ["received", "sent"]) {
      const octets = one[way].octets + Math.floor(one.rate[way] / 8);
      one[way] = { count: one[way].count + Math.floor(one.rate[way] / 8000), octets };
    }
  }
  // Of many links some are good and bad by turns: one in a hundred, a thousandth each second.
  const unsteady = map.links.filter((_, i) => i % 100 === 50);
  for (let i = 0; i * 1000 < map.links.length && unsteady.length > 0; i += 1) {
    const one = unsteady[roll(unsteady.length)];
    if (one.state !== "down") one.state = one.state === "up" ? "degraded" : "up";
  }
  return { at_ms, nodes: [], links: map.links, gone_nodes: [], gone_links: [] };
}

const mac = (number) => `02:00:00:00:${[number >> 8, number & 255].map((octet) => octet.toString(16).padStart(2, "0")).join(":")}`;
const term = (what, octets) => ({ what, octets });
const hint = "small_mtu: IP packets of more than 1400 octets do not arrive, though the link takes 1500: pods are told, and their "
  + "TCP is cut to fit; mend the MTU on the way, or give [underlay] mtu = 1400 on all nodes";

const silence = "unanswered: no probe was answered for 30 s, by no way and in no format: look whether the host is up and its ports "
  + "4789 and 6081 are open";

/** Answers for the panel. */
function answer(map, path) {
  const [what, wanted] = path.split("/").map(decodeURIComponent);
  const found = map.nodes.find((one) => one.id === wanted);
  const to = found && map.links.find((one) => one.from === map.here && one.to === found.id);
  if (what === "status") return { schema: "weft.status/1", node: "x", state: "ok", degraded: [] };
  if (what === "ports") {
    const port = (i) => ({ name: `web-${i}`, network: "pods", state: "up", mac: mac(i), addresses: [`10.32.0.${i}/12`], mtu: 1450 });
    return { schema: "weft.port/1", entries: [1, 2, 3].map(port) };
  }
  if (what === "drops") {
    const drops = { no_destination: { inbound: 0, outbound: 12 }, vlan: { inbound: 0, outbound: 3 }, runt: { inbound: 0, outbound: 0 } };
    return { schema: "weft.drops/1", received: 1_203_441, delivered: 1_203_420, answered: 6, copies: 0, drops, notices: {}, lost_before: {}, sides: {} };
  }
  if (what === "fdb") {
    const entry = (i) => ({ mac: mac(i), vni: 100, network: "pods", state: "remote", port: "web-1", owner: found.name, seq: i, mob_seq: 0, age_s: 40 * i });
    return { schema: "weft.fdb/1", entries: Array.from({ length: found?.macs ?? 0 }, (_, i) => entry(i)), more: 0 };
  }
  if (what !== "peer" || !to || wanted.includes("/")) return null;
  const terms = [term("IPv4", 20), term("UDP", 8), term("VXLAN", 8), term("Ethernet", 14)];
  const degraded = to.degraded.map((cause) => ({ cause: { small_mtu: hint, unanswered: silence }[cause] ?? cause, since_s: 74 }));
  const probes = to.rtt_us && {
    sent: 900, answered: 899, rtt_us: to.rtt_us, rtt_p50_us: to.rtt_us - 30, rtt_p99_us: to.rtt_us * 3, lost_there: to.lost_there,
    lost_back: to.lost_back, overtaken: { count: 0, of: 200 }, dead_source_ports: [], clock_ahead_ms: 0,
  };
  return { schema: "weft.path/1", entries: [{ ...to, name: found.name, terms, probes, degraded }] };
}

/**
 * Serves a kind of graph; resolves to its address, what ends it, the questions that were `asked`, and the `map`. A `silent` one
 * says nothing by itself: `tell` sends an event to all that listen.
 */
export function serve(kind, { port = 0, silent = false } = {}) {
  const make = { cluster, mixed, star, large, hostile }[kind];
  const answered = make();
  const [asked, streams] = [[], new Set()];
  const tellAll = (name, data) => streams.forEach((tell) => tell(name, data));
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    const head = { "Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store" };
    if (pathname === "/api/v1/events") {
      const map = make();
      response.writeHead(200, { ...head, "Content-Type": "text/event-stream" });
      let number = 1;
      const roll = dice(1);
      const tell = (name, data) => response.write(`id: ${number}\nevent: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
      streams.add(tell);
      response.on("close", () => streams.delete(tell));
      if (silent) return response.flushHeaders();
      tell("snapshot", { schema: "weft.map/1", at_ms: 0, ...map });
      const timer = setInterval(() => {
        number += 1;
        tell("changes", moment(map, roll, 1000 * number));
      }, 1000);
      return response.on("close", () => clearInterval(timer));
    }
    if (pathname.startsWith("/api/v1/")) {
      asked.push(pathname.slice("/api/v1/".length));
      const told = answer(answered, asked[asked.length - 1]);
      response.writeHead(told ? 200 : 404, { ...head, "Content-Type": "application/json" });
      response.end(JSON.stringify(told ?? { schema: "weft.error/1", code: "usage", message: "no such peer" }));
      return;
    }
    const name = pathname === "/" ? "index.html" : pathname.replace(/^\/map\//, "");
    if (!/^[a-z]+\.(html|css|js)$/.test(name)) {
      response.writeHead(404, head);
      response.end();
      return;
    }
    response.writeHead(200, { ...head, "Content-Type": `${kinds[name.split(".")[1]]}; charset=utf-8` });
    response.end(readFileSync(join(files, name)));
  });
  return new Promise((resolve) => {
    server.listen(port, "127.0.0.1", () => {
      const close = () => {
        server.close();
        server.closeAllConnections();
      };
      resolve({ url: `http://127.0.0.1:${server.address().port}/`, close, asked, tell: tellAll, map: answered });
    });
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serve(process.argv[2], { port: Number(process.argv[3] ?? 0) });
  console.log(url);
}
