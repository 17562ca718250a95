// Numbers and states as people read them.

/** How bad: the place of a word here. */
export const LEVELS = ["up", "degraded", "down"];
/** The sign of each level, for who does not see its colour. */
export const MARKS = ["\u2022", "!", "\u2715"];

/** The level of a path's or a node's state; a suspect is as good as degraded. */
export function level(state) {
  return state === "up" ? 0 : state === "down" ? 2 : 1;
}

/** Up to three digits that count. */
function short(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** A time of so many microseconds. */
export function time(us) {
  if (us === undefined || us === null) return "\u2013";
  if (us < 1000) return `${us} \u00b5s`;
  return us < 1e6 ? `${short(us / 1e3)} ms` : `${short(us / 1e6)} s`;
}

/** A share of what was sent. */
export function share({ count, of }) {
  if (!of) return "\u2013";
  const percent = 100 * count / of;
  return `${percent === 0 || percent >= 10 ? percent.toFixed(0) : percent.toFixed(1)} %`;
}

function scaled(value, step, units) {
  let unit = 0;
  while (value >= step && unit < units.length - 1) {
    value /= step;
    unit += 1;
  }
  return `${unit ? short(value) : value} ${units[unit]}`;
}

/** So many octets. */
export function octets(value) {
  return scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
}

/** So many bits a second. */
export function bits(value) {
  return value === undefined ? "\u2013" : scaled(value, 1000, ["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"]);
}

/** So many seconds. */
export function age(seconds) {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.floor(seconds / 3600)} h` : `${Math.floor(seconds / 86400)} d`;
}

/** What there is, or a dash. */
export function or(value) {
  return value === undefined || value === null || value === "" ? "\u2013" : String(value);
}

/** So many of something. */
export function many(count, one, more) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : more}`;
}

/** An element with text in it, which is never read as HTML: names come from other nodes. */
export function element(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

/** A list of what is called how; what there is nothing of is left out. */
export function facts(rows) {
  const list = document.createElement("dl");
  for (const [what, value] of rows) {
    if (value === undefined || value === null || value === "") continue;
    list.append(element("dt", what), element("dd", value));
  }
  return list;
}
