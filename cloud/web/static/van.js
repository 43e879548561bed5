// One van: live values and plots, history with zoom, events, board, agent, ledger. While it is open the van sends full rate.
import { captureCard } from "./captures.js";
import { drawAgent, drawBoard, drawLedger } from "./condition.js";
import { SEVERITY, WORDS, age, bytes, clock, el, emptyState, measured, number, replaced, stamp, unitOf, unknown } from "./dom.js";
import { eventTable } from "./events.js";
import { makeMap } from "./map.js";
import { makePlot } from "./plot.js";
import { AWAY, ask, fleet, lastStateOf, now, stateOf, stream, van as vanOf, watch } from "./state.js";

const LIVE_MS = 60000, PLOTS_MAX = 12, GROUP_OPEN_MAX = 14, POLL_MS = 1000, CAPTURES_MS = 5000, LIVE_GAP_MS = 12000;
const RANGES = [["Live", 0], ["10 min", 600e3], ["1 h", 3600e3], ["6 h", 21600e3], ["24 h", 86400e3], ["7 d", 604800e3]];
const WANTED = [/^Vehicle\.Speed$/, /wheel.*speed|speed.*wheel/i, /\.speed$/i, /TestBench\.Probe/, /accel/i, /temp/i];
const LIVE_WORDS = { on: "live at full rate while this page is open", asked: "asking the van for full rate", silent: "the van does not answer", refused: "the van refused", no_link: "no live view", off: "no live view" };
const CLOCKS = ["not stated", "free-running", "NTP", "PTP", "GNSS", "recording"];
const chosen = new Map();

export function vanPage(main, id) {
  const title = el("h1", {}, id), back = el("a", { href: "#/" }, "← Fleet"), live = el("span", { class: "dim", role: "status", id: "live" }), tiles = el("div", { class: "tiles" });
  const signals = el("div", { class: "card signals" }), filter = el("input", { type: "search", placeholder: "Find a signal  ( / )", "aria-label": "Find a signal", id: "search" });
  const plots = el("div", { class: "plots" }), ranges = el("div", { class: "bar" }), board = el("section", { class: "card" }), agent = el("section", { class: "card" }), ledger = el("section", { class: "card" });
  const table = eventTable(false), captures = captureCard(id, (name) => byName(name)), map = makeMap({ tileUrl: fleet.config.tile_url });
  map.node.classList.remove("grow"); map.node.style.height = "100%"; map.node.style.minHeight = "260px";
  const note = el("p", { class: "legend" });
  main.append(el("div", { class: "head-line" }, back, title, live), tiles, el("div", { class: "van" }, el("div", { class: "side" }, filter, signals),
    el("div", { class: "stack" }, ranges, plots, note, el("section", { class: "card" }, el("div", { class: "top" }, el("h2", {}, "Events")), table.node), captures.node, ledger, el("div", { class: "three" }, map.node, board, agent))));
  let info = null, values = {}, news = null, mode = { span: 0, from: 0, to: 0 }, open = new Map(), leave = null, up = null, closed = false, track = [], asking = false, again = false, awaited = false;

  async function start() {
    try { info = await ask(`api/van/${encodeURIComponent(id)}`); } catch (cause) { main.replaceChildren(el("div", { class: "head-line" }, back, title), el("div", { class: "card" }, emptyState(cause.message, cause.message === AWAY ? "The van appears here when it does." : "It appears here with its first message.", el("div", {}, el("a", { href: "#/" }, "Back to the fleet"))))); awaited = true; return; }
    if (closed) return;
    values = info.values; news = info;
    for (const event of info.events) if (!fleet.events.has(event.id)) fleet.events.set(event.id, event);
    listSignals(); pickFirst(); refresh(); events(); listen(); poll(); loadTrack(); captures.refresh();
  }
  function listen() {
    leave = stream(`api/van/${encodeURIComponent(id)}/stream`, (told) => {
      const back = up === false;
      up = true;
      if (back) poll();
      if (!told.values) return;
      news = told; values = told.values;
      const unknownIds = Object.keys(values).some((key) => !info.signals.some((s) => String(s.id) === key));
      if (unknownIds) ask(`api/van/${encodeURIComponent(id)}`).then((fresh) => { info = fresh; listSignals(); }, () => {});
      if (!chosen.has(id) && open.size < 4) pickFirst(); // a van that has just begun tells its signals one after another
      refresh();
    }, cutOff);
  }
  function cutOff() { if (up !== false) { up = false; refresh(); } }
  // Nothing that is shown may pass for what is now: one of the two streams is gone.
  const cut = () => fleet.up === false || up === false;
  const byName = (name) => info.signals.find((s) => s.name === name);
  const seen = () => info.signals.filter((s) => values[s.id]);
  const shown = (s) => { const v = values[s.id]; return v ? measured(v[1], s.unit) : null; };
  const inGroup = (name, group) => (name.toLowerCase().startsWith(`${group.toLowerCase()}.`) ? name.slice(group.length + 1) : name.replace(/^Vehicle\.(Robovan\.)?/, "") || name);

  function listSignals() {
    const text = filter.value.trim().toLowerCase(), groups = new Map();
    for (const s of info.signals) if (!text || s.name.toLowerCase().includes(text)) { if (!groups.has(s.group)) groups.set(s.group, []); groups.get(s.group).push(s); }
    const wasOpen = new Set([...signals.querySelectorAll("details[open]")].map((d) => d.dataset.group));
    const first = !signals.childElementCount;
    replaced(signals, "signal", ...[...groups].map(([group, list]) => el("details", { "data-group": group, open: Boolean(text) || wasOpen.has(group) || groups.size === 1 || (first && list.length <= GROUP_OPEN_MAX) }, el("summary", {}, group, el("span", {}, ` ${list.length}`)),
      list.map((s) => el("button", { type: "button", class: `sig${open.has(s.name) ? " on" : ""}`, title: s.name, "data-signal": s.name, "aria-pressed": String(open.has(s.name)), onclick: () => toggle(s.name) }, el("span", { class: "name" }, inGroup(s.name, group)), el("span", { class: "num", "data-id": String(s.id) }, shown(s) ?? unknown()))))));
    if (!groups.size) signals.append(info.signals.length ? emptyState("No signal matches", "No name holds this text.") : emptyState("No catalog yet", "The van tells its signals when it connects."));
  }
  function pickFirst() {
    const names = [...new Set([...open.keys(), ...(chosen.get(id)?.filter(byName) ?? [])])], before = open.size;
    const numeric = seen().filter((s) => !["STRING", "BOOL"].includes(s.type));
    for (const pattern of WANTED) for (const s of numeric) if (names.length < 4 && pattern.test(s.name) && !names.includes(s.name)) { names.push(s.name); break; }
    for (const s of numeric) if (names.length < 2 && !names.includes(s.name)) names.push(s.name);
    for (const name of names) if (!open.has(name)) addPlot(name);
    if (open.size !== before) { listSignals(); poll(); }
  }
  function addPlot(name) {
    const s = byName(name);
    if (!s || open.size >= PLOTS_MAX) return;
    const plot = makePlot({ title: name, unit: s.unit, numeric: !["STRING", "BOOL", "ENUM"].includes(s.type), onClose: () => toggle(name), onZoom: (from, to) => { mode = { span: -1, from, to }; buttons(); poll(); }, onWider: wider });
    open.set(name, { plot, points: [] });
    plots.append(plot.node);
  }
  // Twice as wide about the same middle, never past now.
  function wider() {
    const [from, to] = range(), half = to - from, end = Math.min(now(), (from + to) / 2 + half);
    mode = { span: -1, from: end - 2 * half, to: end };
    buttons(); poll();
  }
  function toggle(name) {
    if (open.has(name)) { open.get(name).plot.node.remove(); open.delete(name); } else addPlot(name);
    chosen.set(id, [...open.keys()]);
    listSignals(); poll();
  }
  function buttons() {
    replaced(ranges, "range", ...RANGES.map(([text, span]) => el("button", { type: "button", class: mode.span === span ? "on" : "", "data-range": text, onclick: () => { mode = { span, from: 0, to: 0 }; for (const item of open.values()) item.points = []; buttons(); poll(); } }, text)),
      mode.span < 0 ? el("button", { type: "button", class: "on" }, `${stamp(mode.from)} to ${clock(mode.to)}`) : "", el("span", { class: "dim hide-phone" }, "drag over a plot to zoom, double click to zoom out; by keyboard + and −"));
  }
  // The window that is shown: live follows the van by the clock of the server.
  function range() { const at = now(); return mode.span === 0 ? [at - LIVE_MS, at] : mode.span > 0 ? [at - mode.span, at] : [mode.from, mode.to]; }
  async function poll() {
    if (closed || !info || !open.size || cut()) return;
    if (asking) { again = true; return; }
    asking = true;
    const [from, to] = range(), names = [...open.keys()], isLive = mode.span === 0;
    const query = new URLSearchParams({ from: String(Math.floor(from)), to: String(Math.ceil(to)), points: "600" });
    for (const name of names) query.append("signal", name);
    try {
      const answer = await ask(`api/van/${encodeURIComponent(id)}/history?${query}`);
      for (const name of names) open.get(name)?.plot.set({ points: answer.series[name] ?? [], why: "", from, to, gaps: answer.gaps ?? [], step_ms: answer.step_ms, least: isLive ? LIVE_GAP_MS : Math.max(LIVE_GAP_MS * 2, answer.step_ms * 4) });
      note.replaceChildren(el("span", {}, "Where nothing is stored:"), ...[["signal", "only this signal is silent"], ["silence", "silence: the van was off, or had no samples"], ["waiting", "waiting: on the van, or on its way"], ["loss", "loss: see the ledger"]].map(([kind, text]) => el("span", {}, el("i", { class: `l-${kind}` }), text)), answer.cut ? el("b", {}, "more samples than can be shown; zoom in") : "");
    } catch (cause) {
      for (const name of names) open.get(name)?.plot.set({ why: cause.message });
      note.replaceChildren(el("b", {}, `No history: ${cause.message}.`), el("span", {}, el("code", {}, "vantel-cloud check"), " says what is wrong."));
    }
    asking = false;
    if (again) { again = false; poll(); }
  }
  async function loadTrack() {
    const names = ["Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude"];
    if (!names.every(byName)) return;
    const query = new URLSearchParams({ from: String(Math.floor(now() - 1800e3)), to: String(Math.ceil(now())), points: "900" });
    for (const name of names) query.append("signal", name);
    try {
      const { series } = await ask(`api/van/${encodeURIComponent(id)}/history?${query}`);
      const lons = new Map(series[names[1]].map((p) => [p[0], p[1]]));
      track = series[names[0]].filter((p) => lons.has(p[0])).map((p) => [p[1], lons.get(p[0])]);
    } catch { track = []; }
    refresh();
  }
  function tile(name, value, extra = "", size = "") { return el("div", { class: "tile" }, el("span", {}, name), el("b", { class: size }, value ?? unknown()), el("span", {}, extra || "\u00a0")); }
  function refresh() {
    if (!info) return;
    const at = now(), item = fleet.vans.get(id) ?? vanOf(info.row), state = stateOf(item, at), staleMs = cut() ? 0 : fleet.config.stale_after_s * 1000;
    live.textContent = cut() ? "no news of this van: the page's server is away" : news.live ? `${LIVE_WORDS[news.live.state]}${news.live.detail && news.live.state !== "on" ? ": " + news.live.detail : ""}` : "";
    live.dataset.state = cut() ? "cut" : news.live?.state ?? "";
    for (const { plot } of open.values()) plot.age(mode.span === 0 ? at : null, staleMs);
    const clockName = CLOCKS[news.clock?.source] ?? "unknown";
    tiles.replaceChildren(
      tile("State", el("span", {}, el("i", { class: `dot s-${state}` }), WORDS[state]), [state === "cut" ? `was ${WORDS[lastStateOf(item, at)]}` : "", item.heard ? `heard ${age(at - item.heard)} ago` : ""].filter(Boolean).join(", ")),
      tile("Worst health", el("span", { class: `sev ${SEVERITY[item.worst]}` }, item.worst ? SEVERITY[item.worst] : "good"), item.open ? `${item.open} not acknowledged` : "no open event"),
      tile("Speed", item.speed === null ? null : measured(Math.round(item.speed * 10) / 10, "km/h"), item.speed === null ? "" : "last value"),
      tile("Place", item.lat === null ? null : `${item.lat.toFixed(4)}, ${item.lon?.toFixed(4)}`, item.placed ? `${info.datum ?? "datum unknown"}, ${age(at - item.placed)} old` : "", "small"),
      tile("Received today (UTC)", bytes(item.bytes), "repeats counted"),
      tile("Clock", clockName, news.clock?.error_ns ? `within ${number(news.clock.error_ns / 1e6)} ms` : "error unknown"),
      tile("Samples", item.flags.includes("w") ? "every one" : "rollups", [item.flags.includes("r") ? "replayed recording" : "", item.flags.includes("s") ? "simulated" : ""].filter(Boolean).join(", ")));
    for (const node of signals.querySelectorAll("[data-id]")) {
      const v = values[node.dataset.id];
      if (!v) continue;
      const s = info.signals.find((x) => String(x.id) === node.dataset.id), old = at - v[0] > staleMs;
      const text = `${number(v[1])}${s.unit ? " " + unitOf(s.unit) : ""}${old ? ` (${age(at - v[0])} old)` : ""}${v[2] === 2 ? " injected" : v[2] === 1 ? " suspect" : ""}`;
      if (node.dataset.text === text) continue;
      node.dataset.text = text;
      node.replaceChildren(...shown(s), old ? ` (${age(at - v[0])} old)` : "", v[2] ? el("span", { class: "tag" }, v[2] === 2 ? "injected" : "suspect") : "");
      node.classList.toggle("dim", old);
    }
    drawBoard(board, info.signals, values, at);
    drawAgent(agent, news.gauges ?? {}, news.gauges_t, at);
    drawLedger(ledger, news.ledger ?? [], cut());
    map.set({ points: item.xy ? [{ ...item, state }] : [], tracks: [[...track, ...(fleet.tracks.get(id) ?? [])]].filter((t) => t.length) });
  }
  function events() { table.set([...fleet.events.values()].filter((e) => e.van === id).sort((a, b) => b.received - a.received).slice(0, 100), emptyState("No event", "Nothing on this van has fired a detector lately.")); }
  filter.addEventListener("input", listSignals);
  const unwatch = watch((change) => {
    if (awaited && change.rows?.some((row) => row[0] === id)) { window.dispatchEvent(new HashChangeEvent("hashchange")); return; } // its first message has come
    if (change.link) { refresh(); poll(); }
    if (change.events?.some?.((e) => e.van === id) || change.acked) events();
  });
  const timers = [setInterval(() => { if (info && !cut()) captures.refresh(); }, CAPTURES_MS), setInterval(() => { if (mode.span === 0) poll(); }, POLL_MS), setInterval(() => { if (mode.span > 0) poll(); }, 10000), setInterval(refresh, 1000)];
  const redraw = () => { map.draw(); captures.draw(); for (const { plot } of open.values()) plot.set({}); };
  window.addEventListener("resize", redraw);
  buttons(); start();
  return {
    close() { closed = true; leave?.(); unwatch(); timers.forEach(clearInterval); window.removeEventListener("resize", redraw); },
    pause() { leave?.(); leave = null; up = false; }, resume() { if (info && !leave && !closed) listen(); },
    theme: redraw, search: filter,
  };
}
