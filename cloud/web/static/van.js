// One van: live values and plots, history with zoom, events, board, agent, ledger. While it is open the van sends full rate.
import { age, bytes, clock, el, number, stamp, unknown } from "./dom.js";
import { eventTable } from "./events.js";
import { makeMap } from "./map.js";
import { makePlot } from "./plot.js";
import { ask, fleet, now, stateOf, van as vanOf, watch } from "./state.js";

const LIVE_MS = 60000, PLOTS_MAX = 12, POLL_MS = 1000, LIVE_GAP_MS = 12000;
const RANGES = [["Live", 0], ["10 min", 600e3], ["1 h", 3600e3], ["6 h", 21600e3], ["24 h", 86400e3], ["7 d", 604800e3]];
const BOARD = /(^|\.)(Board|Agent|Host|Cpu|Gpu|Memory|Disk)(\.|$)|^board\./i;
const WANTED = [/^Vehicle\.Speed$/, /wheel.*speed|speed.*wheel/i, /\.speed$/i, /TestBench\.Probe/, /accel/i, /temp/i];
const LIVE_WORDS = { on: "live at full rate while this page is open", asked: "asking the van for full rate", silent: "the van does not answer", refused: "the van refused", no_link: "no live view", off: "no live view" };
const CLOCKS = ["not stated", "free-running", "NTP", "PTP", "GNSS", "recording"];
const chosen = new Map();

export function vanPage(main, id) {
  const title = el("h1", {}, id), live = el("span", { class: "dim", role: "status", id: "live" }), tiles = el("div", { class: "tiles" });
  const signals = el("div", { class: "card signals" }), filter = el("input", { type: "search", placeholder: "Find a signal  ( / )", "aria-label": "Find a signal", id: "search" });
  const plots = el("div", { class: "plots" }), ranges = el("div", { class: "bar" }), board = el("div", { class: "card" }), ledger = el("div", { class: "card" });
  const table = eventTable(false), map = makeMap({ tileUrl: fleet.config.tile_url });
  map.node.classList.remove("grow"); map.node.style.height = "260px";
  const note = el("p", { class: "dim" });
  main.append(el("div", { class: "bar" }, title, live), tiles, el("div", { class: "van" }, el("div", {}, el("div", { class: "bar" }, filter), signals),
    el("div", { class: "stack" }, ranges, plots, note, el("section", { class: "card" }, el("h2", {}, "Events"), table.node), el("div", { class: "two" }, map.node, board), ledger)));
  let info = null, values = {}, news = null, mode = { span: 0, from: 0, to: 0 }, open = new Map(), source = null, closed = false, track = [], asking = false, again = false;

  async function start() {
    try { info = await ask(`api/van/${encodeURIComponent(id)}`); } catch (cause) { main.replaceChildren(el("h1", {}, id), el("p", {}, cause.message), el("a", { href: "#/" }, "Back to the fleet")); return; }
    if (closed) return;
    values = info.values; news = info;
    for (const event of info.events) if (!fleet.events.has(event.id)) fleet.events.set(event.id, event);
    listSignals(); pickFirst(); refresh(); events(); listen(); poll(); loadTrack();
  }
  function listen() {
    source = new EventSource(`api/van/${encodeURIComponent(id)}/stream`);
    source.onmessage = (message) => {
      const told = JSON.parse(message.data);
      if (!told.values) return;
      news = told; values = told.values;
      const unknownIds = Object.keys(values).some((key) => !info.signals.some((s) => String(s.id) === key));
      if (unknownIds) ask(`api/van/${encodeURIComponent(id)}`).then((fresh) => { info = fresh; listSignals(); }, () => {});
      if (!chosen.has(id) && open.size < 4) pickFirst(); // a van that has just begun tells its signals one after another
      refresh();
    };
    source.onerror = () => { live.textContent = "the page's server does not answer"; };
  }
  const byName = (name) => info.signals.find((s) => s.name === name);
  const seen = () => info.signals.filter((s) => values[s.id]);
  const shown = (s) => { const v = values[s.id]; return v ? `${number(v[1])}${typeof v[1] === "number" && s.unit ? " " + s.unit : ""}` : null; };

  function listSignals() {
    const text = filter.value.trim().toLowerCase(), groups = new Map();
    for (const s of info.signals) if (!text || s.name.toLowerCase().includes(text)) { if (!groups.has(s.group)) groups.set(s.group, []); groups.get(s.group).push(s); }
    const wasOpen = new Set([...signals.querySelectorAll("details[open]")].map((d) => d.dataset.group));
    const plotted = new Set([...open.keys()].map((name) => byName(name)?.group));
    signals.replaceChildren(...[...groups].map(([group, list]) => el("details", { "data-group": group, open: Boolean(text) || wasOpen.has(group) || plotted.has(group) || groups.size === 1 }, el("summary", {}, `${group} (${list.length})`),
      list.map((s) => el("button", { type: "button", class: `sig${open.has(s.name) ? " on" : ""}`, title: s.name, "data-signal": s.name, "aria-pressed": String(open.has(s.name)), onclick: () => toggle(s.name) }, el("span", { class: "name" }, s.name), el("span", { class: "num", "data-id": String(s.id) }, shown(s) ?? unknown()))))));
    if (!groups.size) signals.append(unknown(info.signals.length ? "no signal has this in its name" : "the van has not told its catalog yet"));
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
    const plot = makePlot({ title: name, unit: s.unit, numeric: !["STRING", "BOOL", "ENUM"].includes(s.type), onClose: () => toggle(name), onZoom: (from, to) => { mode = { span: -1, from, to }; buttons(); poll(); } });
    open.set(name, { plot, points: [] });
    plots.append(plot.node);
  }
  function toggle(name) {
    if (open.has(name)) { open.get(name).plot.node.remove(); open.delete(name); } else addPlot(name);
    chosen.set(id, [...open.keys()]);
    listSignals(); poll();
  }
  function buttons() {
    ranges.replaceChildren(...RANGES.map(([text, span]) => el("button", { type: "button", class: mode.span === span ? "on" : "", "data-range": text, onclick: () => { mode = { span, from: 0, to: 0 }; for (const item of open.values()) item.points = []; buttons(); poll(); } }, text)),
      mode.span < 0 ? el("button", { type: "button", class: "on" }, `${stamp(mode.from)} to ${clock(mode.to)}`) : el("span", { class: "dim" }, "drag over a plot to zoom"));
  }
  // The window that is shown: live follows the van by the clock of the server.
  function range() { const at = now(); return mode.span === 0 ? [at - LIVE_MS, at] : mode.span > 0 ? [at - mode.span, at] : [mode.from, mode.to]; }
  async function poll() {
    if (closed || !info || !open.size) return;
    if (asking) { again = true; return; }
    asking = true;
    const [from, to] = range(), names = [...open.keys()], isLive = mode.span === 0;
    const query = new URLSearchParams({ from: String(Math.floor(from)), to: String(Math.ceil(to)), points: "600" });
    for (const name of names) query.append("signal", name);
    try {
      const answer = await ask(`api/van/${encodeURIComponent(id)}/history?${query}`);
      const lossy = (news?.ledger ?? []).some((s) => s.evicted || s.rejected);
      for (const name of names) open.get(name)?.plot.set({ points: answer.series[name] ?? [], from, to, lossy, least: isLive ? LIVE_GAP_MS : Math.max(LIVE_GAP_MS * 2, answer.step_ms * 4) });
      note.replaceChildren(el("span", { class: "legend" }, el("span", {}, el("i", { class: lossy ? "l-missing" : "l-gap" }), lossy ? "nothing in the database: silence, or one of the envelopes that the ledger below says are lost" : "nothing in the database: the van was silent (the ledger below has no loss)")), answer.cut ? "more samples than can be shown; zoom in" : "");
    } catch (cause) { note.textContent = `no history: ${cause.message}`; }
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
  function tile(name, value, extra = "") { return el("div", { class: "tile" }, el("span", {}, name), el("b", {}, value ?? unknown()), el("span", {}, extra)); }
  function refresh() {
    if (!info) return;
    const at = now(), item = fleet.vans.get(id) ?? vanOf(info.row), state = stateOf(item, at);
    live.textContent = news.live ? `${LIVE_WORDS[news.live.state]}${news.live.detail && news.live.state !== "on" ? ": " + news.live.detail : ""}` : "";
    live.dataset.state = news.live?.state ?? "";
    const clockName = CLOCKS[news.clock?.source] ?? "unknown";
    tiles.replaceChildren(
      tile("State", el("span", {}, el("i", { class: `dot s-${state}` }), { live: "live", stale: "stale", lost: "connection lost", left: "signed off", unknown: "never heard" }[state]), item.heard ? `heard ${age(at - item.heard)} ago` : ""),
      tile("Worst health", el("span", { class: `sev ${["none", "info", "warning", "critical"][item.worst]}` }, ["no open event", "info", "warning", "critical"][item.worst]), item.open ? `${item.open} not acknowledged` : ""),
      tile("Speed", item.speed === null ? null : `${number(Math.round(item.speed * 10) / 10)} km/h`),
      tile("Place", item.lat === null ? null : `${item.lat.toFixed(5)}, ${item.lon?.toFixed(5)}`, item.placed ? `${info.datum ?? "datum unknown"}, ${age(at - item.placed)} old` : ""),
      tile("Received today (UTC)", bytes(item.bytes), "messages as they came, repeats too"),
      tile("Clock", clockName, news.clock?.error_ns ? `within ${number(news.clock.error_ns / 1e6)} ms` : "error unknown"),
      tile("Samples", item.flags.includes("w") ? "every one" : "rollups", [item.flags.includes("r") ? "replayed recording" : "", item.flags.includes("s") ? "simulated" : ""].filter(Boolean).join(", ")));
    for (const node of signals.querySelectorAll("[data-id]")) {
      const v = values[node.dataset.id];
      if (!v) continue;
      const s = info.signals.find((x) => String(x.id) === node.dataset.id), old = at - v[0] > fleet.config.stale_after_s * 1000;
      const text = `${shown(s)}${old ? ` (${age(at - v[0])} old)` : ""}${v[2] === 2 ? " injected" : v[2] === 1 ? " suspect" : ""}`;
      if (node.textContent !== text) { node.textContent = text; node.classList.toggle("dim", old); }
    }
    const health = seen().filter((s) => BOARD.test(s.name)).slice(0, 40);
    const gauges = Object.entries(news.gauges ?? {}).sort().slice(0, 40);
    board.replaceChildren(el("h2", {}, "Board and agent"), el("div", { class: "scroll" }, el("table", {}, el("tbody", {},
      health.map((s) => el("tr", {}, el("td", { class: "wide" }, s.name), el("td", {}, shown(s)), el("td", { class: "dim" }, age(at - values[s.id][0])))),
      gauges.map(([name, value]) => el("tr", {}, el("td", { class: "wide" }, `agent ${name}`), el("td", {}, number(value)), el("td", { class: "dim" }, age(at - news.gauges_t)))),
      health.length + gauges.length ? null : el("tr", {}, el("td", { class: "unknown" }, "nothing heard of board or agent"))))));
    map.set({ points: item.lat === null || item.lon === null ? [] : [{ id, lat: item.lat, lon: item.lon, state }], tracks: [[...track, ...(fleet.tracks.get(id) ?? [])]].filter((t) => t.length) });
    drawLedger();
  }
  function drawLedger() {
    const svg = (name, props, ...kids) => { const node = document.createElementNS("http://www.w3.org/2000/svg", name); for (const [k, v] of Object.entries(props)) node.setAttribute(k, v); node.append(...kids); return node; };
    ledger.replaceChildren(el("h2", {}, "Ledger: every envelope of this van"), el("p", { class: "legend" }, el("span", {}, el("i", { class: "l-stored" }), "stored"), el("span", {}, el("i", { class: "l-waiting" }), "silence: waits on the van"), el("span", {}, el("i", { class: "l-lost" }), "loss: given up or refused"), el("span", {}, el("i", { class: "l-missing" }), "on its way, or missing")),
      el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, ["Epoch, class", "Produced", "Stored", "Waits", "Lost", "By number"].map((t) => el("th", {}, t)))), el("tbody", {}, (news.ledger ?? []).map((s) => {
        const total = Math.max(1, s.produced), strip = svg("svg", { class: "strip", viewBox: `0 0 ${total} 1`, preserveAspectRatio: "none", role: "img" });
        for (const [a, b, kind] of s.parts) strip.append(svg("rect", { x: a, y: 0, width: b - a + 1, height: 1, class: kind }, (() => { const t = svg("title", {}); t.textContent = `${kind} ${a} to ${b}`; return t; })()));
        const reasons = Object.entries(s.reasons).map(([why, n]) => `${why} ${n}`).join(", ");
        return el("tr", {}, el("td", {}, `${s.epoch} ${s.class}`), el("td", {}, String(s.produced)), el("td", {}, String(s.stored)), el("td", {}, String(s.spooled)), el("td", {}, String(s.evicted + s.rejected) + (reasons ? ` (${reasons})` : "")), el("td", {}, strip));
      }), (news.ledger ?? []).length ? null : el("tr", {}, el("td", { class: "unknown" }, "no account yet"))))));
  }
  function events() { table.set([...fleet.events.values()].filter((e) => e.van === id).sort((a, b) => b.received - a.received).slice(0, 100)); }
  filter.addEventListener("input", listSignals);
  const unwatch = watch((change) => { if (change.events?.some?.((e) => e.van === id) || change.acked) events(); });
  const timers = [setInterval(() => { if (mode.span === 0) poll(); }, POLL_MS), setInterval(() => { if (mode.span > 0) poll(); }, 10000), setInterval(refresh, 1000)];
  const redraw = () => { map.draw(); for (const { plot } of open.values()) plot.set({}); };
  window.addEventListener("resize", redraw);
  buttons(); start();
  return {
    close() { closed = true; source?.close(); unwatch(); timers.forEach(clearInterval); window.removeEventListener("resize", redraw); },
    pause() { source?.close(); source = null; }, resume() { if (info && !source && !closed) listen(); },
    theme: redraw, search: filter,
  };
}
