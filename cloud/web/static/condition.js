// What a van says of itself, as cards: the board, the agent, and the ledger of its envelopes.
import { age, bytes, el, emptyState, measured, plural, short } from "./dom.js";

const BOARD = /(^|\.)(Board|Agent|Host|Cpu|Gpu|Memory|Disk)(\.|$)|^board\./i;
const ROWS_MAX = 60;
const GAUGES = { cpu_s: "Processor time", rss_bytes_max: "Memory, highest", disk_free_bytes: "Disk, free", spool_bytes: "Spool", samples_produced: "Samples taken", certificate_left_s: "Certificate ends in", uplink_connected: "Connected" };
const PARTS = [["stored", "stored"], ["waiting", "waiting on the van"], ["loss", "lost: given up or refused"], ["missing", "on its way, or missing"]];

function gauge(name, value) {
  if (name === "uplink_connected") return value ? "yes" : "no";
  if (/_bytes(_|$)|bytes_/.test(name)) return bytes(value);
  if (/_s$/.test(name)) return value >= 7200 ? age(value * 1000) : measured(value, "s");
  return value >= 1e4 ? Math.round(value).toLocaleString("en") : short(value);
}
const title = (name) => GAUGES[name] ?? name.replace(/^uplink_/, "uplink: ").replaceAll("_", " ");

// One table in the place of the one before, so that it does not jump back to its top.
function fill(card, heading, note, body) {
  const scrolled = card.querySelector(".scroll")?.scrollTop ?? 0;
  card.replaceChildren(el("div", { class: "top" }, el("h2", {}, heading), el("span", { class: "dim" }, note)), body);
  const box = card.querySelector(".scroll");
  if (box) box.scrollTop = scrolled;
}
const table = (rows) => el("div", { class: "scroll" }, el("table", {}, el("tbody", {}, rows)));

export function drawBoard(card, signals, values, at) {
  const rows = signals.filter((s) => BOARD.test(s.name) && values[s.id]).slice(0, ROWS_MAX), newest = Math.max(...rows.map((s) => values[s.id][0]));
  fill(card, "Board", rows.length ? `${age(at - newest)} old` : "", rows.length ? table(rows.map((s) => el("tr", { title: s.name }, el("td", { class: "wide" }, s.name.replace(/^Vehicle\.(Robovan\.)?(Board\.)?/, "").replaceAll(".", " ")), el("td", { class: "n" }, measured(values[s.id][1], s.unit))))) : emptyState("Nothing heard of the board", "Temperatures, loads and rails appear here once a source of this van tells them."));
}
export function drawAgent(card, gauges, gaugesAt, at) {
  const names = Object.keys(gauges), rank = (name) => (name in GAUGES ? 0 : gauges[name] ? 1 : 2);
  names.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  fill(card, "Agent", names.length ? `${age(at - gaugesAt)} old` : "", names.length ? table(names.slice(0, ROWS_MAX).map((name) => el("tr", { class: gauges[name] ? "" : "zero", title: name }, el("td", { class: "wide" }, title(name)), el("td", { class: "n" }, gauge(name, gauges[name]))))) : emptyState("Nothing heard of the agent", "It reports its health about once a minute while it is connected."));
}
function strip(stream) {
  const svg = (name, props, ...kids) => { const node = document.createElementNS("http://www.w3.org/2000/svg", name); for (const [k, v] of Object.entries(props)) node.setAttribute(k, v); node.append(...kids); return node; };
  const node = svg("svg", { class: "strip", viewBox: `0 0 ${Math.max(1, stream.produced)} 1`, preserveAspectRatio: "none", role: "img", "aria-label": `${stream.stored} of ${stream.produced} stored` });
  for (const [a, b, kind] of stream.parts) node.append(svg("rect", { x: a, y: 0, width: b - a + 1, height: 1, class: kind }, (() => { const t = svg("title", {}); t.textContent = `${kind} ${a} to ${b}`; return t; })()));
  return node;
}
export function drawLedger(card, streams, cut) {
  const busy = streams.filter((s) => s.produced), sum = (of) => busy.reduce((all, s) => all + of(s), 0), count = (n) => n.toLocaleString("en");
  const lost = sum((s) => s.evicted + s.rejected), waiting = sum((s) => s.spooled), away = sum((s) => s.residual);
  const said = [cut ? "as last heard" : "", lost ? `${plural(lost, "envelope")} lost` : "no loss", waiting ? `${count(waiting)} waiting on the van` : "", away ? `${count(away)} on their way, or missing` : ""].filter(Boolean).join(", ");
  if (!busy.length) { fill(card, "Ledger", "", emptyState("No account yet", "The ledger begins with the van's first report of its health.")); return; }
  const rows = busy.map((s) => {
    const reasons = Object.entries(s.reasons).map(([why, n]) => `${why} ${n}`).join(", ");
    return el("tr", {}, el("td", {}, s.class.toUpperCase(), el("span", { class: "tag", title: "one start of the agent" }, s.epoch)), el("td", { class: "n" }, count(s.produced)), el("td", { class: "n" }, count(s.stored)), el("td", { class: "n" }, count(s.spooled)), el("td", { class: "n", title: reasons }, count(s.evicted + s.rejected), reasons ? el("span", { class: "dim" }, ` ${reasons}`) : null), el("td", { class: "by-number" }, strip(s)));
  });
  const heads = ["Class, epoch", "Produced", "Stored", "Waiting", "Lost", "By number"].map((text, i) => el("th", { scope: "col", class: i > 0 && i < 5 ? "n" : "" }, text));
  fill(card, "Ledger: every envelope of this van", said, el("div", {}, el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, heads)), el("tbody", {}, rows))), el("p", { class: "legend" }, PARTS.map(([kind, text]) => el("span", {}, el("i", { class: `l-${kind}` }), text)))));
}
