// Looks at the map with a browser, and at what the browser says of it.
//
//     node tests/map/browser.mjs CASE FOLDER [URL]
//
// FOLDER has node_modules/playwright-core, and gets pictures. Debian's chromium is used. Fails with what was expected.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { join } from "node:path";

import { serve } from "./simulated.mjs";

const [, , wanted, folder, address] = process.argv;
const { chromium } = createRequire(join(folder, "here.js"))("playwright-core");
const executablePath = execFileSync("which", ["chromium"], { encoding: "utf8" }).trim();

/** What goes wrong in a page, which must be nothing: errors, and what the policy of the page forbade. */
const complaints = [];

async function open(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1360, height: 820 }, ...options });
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  await page.addInitScript(() => {
    window.seen = { measures: [], long: [] };
    const watch = (type, into, value) => new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) into.push(value(entry));
    }).observe({ type, buffered: true });
    watch("measure", window.seen.measures, ({ name, startTime, duration }) => ({ name, startTime, duration }));
    watch("longtask", window.seen.long, ({ startTime, duration }) => ({ startTime, duration }));
  });
  await page.goto(url, { waitUntil: "load" });
  return page;
}

const text = (page, selector) => page.locator(selector).innerText();
const eventually = async (what, ask, limit = 8000) => {
  const end = Date.now() + limit;
  for (;;) {
    const got = await ask();
    if (got) return got;
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
const picture = (page, name) => page.screenshot({ path: join(folder, `${name}.png`) });

/** Puts the pointer on what stands for a node, found by looking everywhere; says what the page tells of it, and where. */
async function hover(page, name) {
  const place = await page.evaluate((title) => {
    const graph = document.getElementById("graph");
    const box = graph.getBoundingClientRect();
    for (let clientY = box.top + 6; clientY < box.bottom; clientY += 6) {
      for (let clientX = box.left + 6; clientX < box.right; clientX += 6) {
        graph.dispatchEvent(new PointerEvent("pointermove", { clientX, clientY, bubbles: true }));
        if (!document.getElementById("tip").hidden && document.querySelector("#tip b").textContent === title) return [clientX, clientY];
      }
    }
    return null;
  }, name);
  assert.ok(place, `${name} is nowhere on the graph`);
  await page.mouse.move(...place);
  return [await text(page, "#tip"), ...place];
}

/** A real cluster of three nodes with small paths, seen from n1. */
async function real(browser) {
  const page = await open(browser, address);
  await eventually("the stream", async () => (await text(page, "#live")) === "live");
  assert.equal(await text(page, "#here"), "n1");
  await eventually("paths that are not well", async () => (await text(page, "#counts")).includes("2 degraded"));
  await picture(page, "real");
  const [tip, x, y] = await hover(page, "n2");
  for (const part of ["Round trip", "Loss", "1280 underlay", "Bytes", "small_mtu"]) assert.ok(tip.includes(part), `${part}: ${tip}`);
  await page.mouse.click(x, y);
  await eventually("who lives there", async () => (await text(page, "#details")).includes("02:00:00:00:32:02"));
  const panel = await text(page, "#details");
  for (const part of ["n2", "10.99.0.2", "1280 \u2212 ", "do not arrive"]) assert.ok(panel.includes(part), `${part}: ${panel}`);
  await picture(page, "real-panel");
  await keys(page);
  await page.click("#show-table");
  const row = page.locator("#rows tr", { hasText: "n2" });
  assert.match(await row.innerText(), /degraded[^]*1280[^]*small_mtu/);
  assert.equal(await page.locator("#rows tr").count(), 3);
  await picture(page, "real-table");
}

/** Without a pointer: to the own node, its ports and drops, and away. */
async function keys(page) {
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#details").isHidden());
  await page.focus("#graph");
  await page.keyboard.press("Home");
  assert.match(await page.locator("#said").textContent(), /^n1\./);
  await page.keyboard.press("Enter");
  await eventually("ports", async () => /1 PORT[^]*pod[^]*02:00:00:00:32:01[^]*DROPS/i.test(await text(page, "#details")));
  await page.keyboard.press("Escape");
  await page.focus("#graph");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("ArrowDown");
  assert.match(await page.locator("#said").textContent(), /^n\d/);
  await page.keyboard.press("/");
  await page.keyboard.type("n3");
  await page.keyboard.press("Enter");
  await eventually("the node that was sought", async () => (await text(page, "#details h2")) === "n3");
  await page.fill("#search", "");
}

/** A node whose address is no loopback: the page asks for the token, keeps it, and does not show it. */
async function token(browser) {
  const right = "0123456789abcdef0123456789abcdef";
  const page = await open(browser, address);
  await eventually("the question for the token", () => page.locator("#ask").isVisible());
  await page.fill("#token", "wrong".repeat(8));
  await page.keyboard.press("Enter");
  await eventually("a refusal", async () => (await text(page, "#wrong")).includes("not the token"));
  await page.fill("#token", right);
  await page.keyboard.press("Enter");
  await eventually("the stream", async () => (await text(page, "#live")) === "live");
  await page.reload();
  await eventually("the stream again", async () => (await text(page, "#live")) === "live");
  const linked = await open(browser, `${address}#token=${right}`);
  await eventually("the stream by a link", async () => (await text(linked, "#live")) === "live");
  assert.equal(linked.url(), address);
  assert.deepEqual(await linked.context().cookies(), []);
  const refused = complaints.splice(0).filter((complaint) => !complaint.includes("401"));
  assert.deepEqual(refused, []);
}

/** How long a page takes to paint, and to draw the graph, in milliseconds after the browser was told to go there. */
async function paints(page) {
  const graph = await eventually("the first drawing", () => page.evaluate(() => {
    const seen = window.seen.measures;
    const told = seen.find(({ name }) => name === "weft-update");
    const draw = told && seen.find(({ name, startTime }) => name === "weft-draw" && startTime >= told.startTime);
    return draw && draw.startTime + draw.duration;
  }), 20_000);
  const first = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  console.log(`500 nodes, 5,000 links: first paint after ${first?.toFixed(0)} ms, the graph after ${graph.toFixed(0)} ms`);
  return Math.max(first, graph);
}

/** 500 nodes and 5,000 links, all of which change each second. */
async function large(browser) {
  const { url, close } = await serve("large");
  let page = await open(browser, url);
  // Of several, the best: others may have had the CPU meanwhile.
  for (let tries = 1; await paints(page) > 1000; tries += 1) {
    assert.ok(tries < 5, "the first paint is late");
    await page.context().close();
    page = await open(browser, url);
  }
  await page.waitForTimeout(1500);
  await picture(page, "large");
  await updates(page, "in groups");
  await grouped(page);
  await page.selectOption("#grouping", "none");
  await page.waitForTimeout(4000);
  await picture(page, "large-all");
  await updates(page, "each node shown");
  await page.click("#show-table");
  await page.waitForTimeout(1000);
  await updates(page, "as a table");
  await picture(page, "large-table");
  await page.context().close();
  close();
}

/** How long the main thread is busy with an update, all that the browser does for it included. */
async function updates(page, what) {
  const session = await page.context().newCDPSession(page);
  // By the clock of the thread: what else the machine does meanwhile does not count.
  await session.send("Performance.enable", { timeDomain: "threadTicks" });
  const busy = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return 1000 * metrics.find(({ name }) => name === "TaskDuration").value;
  };
  await page.evaluate(() => { window.seen.measures.length = window.seen.long.length = 0; });
  const [seconds, before] = [8, await busy()];
  await page.waitForTimeout(1000 * seconds);
  const spent = await busy() - before;
  const { measures, long } = await page.evaluate(() => window.seen);
  const median = (name) => {
    const all = measures.filter((one) => one.name === name).map(({ duration }) => duration).sort((a, b) => a - b);
    return all[Math.floor(all.length / 2)] ?? 0;
  };
  const count = measures.filter(({ name }) => name === "weft-update").length;
  const taken = median("weft-update") + median("weft-draw");
  console.log(`${what}: ${count} updates, ${(spent / count).toFixed(1)} ms of the main thread each, of which ${taken.toFixed(1)} ms are `
    + `the page's own code (median); tasks over 50 ms: ${long.length}`);
  assert.ok(count >= seconds - 2, "updates are taken in as they come");
  assert.ok(spent / count <= 50 && taken <= 50, "an update is too long");
  await session.detach();
}

/** Groups: opened by a press, found by the search, closed again. */
async function grouped(page) {
  assert.match(await text(page, "#seen"), /500 nodes in groups/);
  const [tip, x, y] = await hover(page, "rack07");
  assert.match(tip, /20: /);
  await page.mouse.click(x, y);
  await eventually("the group", async () => (await page.locator("#details .members button").count()) === 20);
  await page.waitForTimeout(300);
  await picture(page, "large-open");
  await page.click("#close-groups");
  await page.fill("#search", "rack17-node02");
  await page.keyboard.press("Enter");
  await eventually("the node that was sought", async () => (await text(page, "#details h2")) === "rack17-node02");
  await page.fill("#search", "");
  await page.click("#close-groups");
}

/** Names that are HTML are text, and break nothing. */
async function hostile(browser) {
  const { url, close } = await serve("hostile");
  const page = await open(browser, url);
  await eventually("the stream", async () => (await text(page, "#live")) === "live");
  await page.click("#show-table");
  const buttons = page.locator("#rows button");
  assert.equal(await buttons.count(), 7);
  for (let i = 0; i < 7; i += 1) {
    await buttons.nth(i).click();
    await page.waitForTimeout(150);
  }
  await page.click("#show-graph");
  await hover(page, "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>");
  await picture(page, "hostile");
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator("img, main script").count(), 0);
  complaints.splice(0).forEach((complaint) => assert.match(complaint, /404/));
  await page.context().close();
  close();
}

/** The picture of the README, in both colour schemes. */
async function pictures(browser) {
  const { url, close } = await serve("cluster");
  for (const colorScheme of ["light", "dark"]) {
    const page = await open(browser, url, { colorScheme, viewport: { width: 1280, height: 760 } });
    await eventually("the stream", async () => (await text(page, "#live")) === "live");
    await picture(page, `cluster-${colorScheme}-alone`);
    const [, x, y] = await hover(page, "ams-5");
    await page.mouse.click(x, y);
    await eventually("the path", async () => (await text(page, "#details")).includes("small_mtu: "));
    await page.mouse.move(2, 2);
    await page.waitForTimeout(300);
    await picture(page, `cluster-${colorScheme}`);
    await page.context().close();
  }
  close();
}

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  await { real, token, large, hostile, pictures }[wanted](browser);
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}
