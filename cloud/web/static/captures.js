// Captures of one van: the list, and of the one that is chosen its signals over its window, with the trigger marked.
import { bytes, clock, el, emptyState, number, plural, replaced, stamp } from "./dom.js";
import { makePlot } from "./plot.js";
import { ask } from "./state.js";

const PLOTS_MAX = 12, LEAST_GAP_MS = 1000;
const STATES = { open: ["recording", "its window, or its body, has not ended"], complete: ["complete", "all of its window was recorded"], interrupted: ["interrupted", "the agent restarted in its window: a part of it is missing"] };

// byName: a signal of the van's catalog by its name, or undefined
export function captureCard(van, byName) {
  const path = `api/van/${encodeURIComponent(van)}`, note = el("span", { class: "dim", role: "status" }), said = el("p", { role: "alert", class: "dim", hidden: true });
  const body = el("tbody", {}), none = el("div", {}), detail = el("div", { id: "capture" });
  const heads = ["Trigger", "Campaign", "Window", "Samples", "Size", "State", "Download"];
  const table = el("table", { id: "captures", hidden: true }, el("thead", {}, el("tr", {}, heads.map((text) => el("th", { scope: "col", class: ["Samples", "Size"].includes(text) ? "n" : "" }, text)))), body);
  const node = el("section", { class: "card" }, el("div", { class: "top" }, el("h2", {}, "Captures"), note), said, el("div", { class: "scroll" }, table), none, detail);
  let list = [], told = "", chosen = null, first = 0, view = null, plots = new Map(), asked = 0;

  async function refresh() {
    try {
      const answer = await ask(`${path}/captures`), text = JSON.stringify(answer);
      said.hidden = true;
      if (text === told) return;
      told = text; list = answer.captures;
      note.textContent = answer.cut ? `the newest ${list.length}` : list.length ? plural(list.length, "capture") : "";
      rows();
      const fresh = list.find((item) => item.id === chosen?.id);
      if (fresh && JSON.stringify(fresh) !== JSON.stringify(chosen)) { chosen = fresh; view = null; show(); }
    } catch (cause) { said.textContent = `The captures cannot be read: ${cause.message}`; said.hidden = false; }
  }
  const campaign = (item) => item.campaign || "asked for by a command";
  function rows() {
    replaced(body, "capture", ...list.map((item) => {
      const [state, why] = STATES[item.state] ?? [item.state, ""], on = chosen?.id === item.id;
      return el("tr", {},
        el("td", {}, el("button", { type: "button", class: on ? "on" : "", "data-capture": item.id, "aria-expanded": String(on), "aria-controls": "capture", title: `capture ${item.id}`, onclick: () => choose(item) }, stamp(item.t))),
        el("td", {}, campaign(item)),
        el("td", { title: `${stamp(item.from)} to ${stamp(item.to)}` }, `${number((item.t - item.from) / 1000)} s before, ${number((item.to - item.t) / 1000)} s after`),
        el("td", { class: "n" }, item.samples.toLocaleString("en")), el("td", { class: "n" }, bytes(item.bytes)),
        el("td", { title: why }, [item.waits ? "waits for an unmetered link" : state, item.gaps ? `lacks ${item.gaps}` : ""].filter(Boolean).join(", ")),
        el("td", {}, el("a", { href: `${path}/captures/${item.id}.csv`, download: "", "data-download": item.id, title: "every stored sample of its signals in its window" }, "CSV")));
    }));
    table.hidden = !list.length;
    none.replaceChildren(...(list.length ? [] : [emptyState("No capture", "One appears here when the condition of a campaign becomes true on this van (", el("code", {}, "vantel-cloud campaign push"), "), or an operator asks for a time range (", el("code", {}, "vantel-cloud order range"), ").")]));
  }
  function choose(item) { chosen = chosen?.id === item.id ? null : item; first = 0; view = null; rows(); show(); }

  async function show() {
    const mine = ++asked, item = chosen;
    if (!item) { plots.clear(); detail.replaceChildren(); return; }
    const known = item.signals.filter(byName), names = known.slice(first, first + PLOTS_MAX), [from, to] = view ?? [item.from, item.to];
    if (!names.length) { plots.clear(); detail.replaceChildren(emptyState("Nothing to plot", item.signals.length ? "The van's catalog has none of its signals any more; the download has them." : "Its catalog is not known here.")); return; }
    const query = new URLSearchParams({ from: String(Math.floor(from)), to: String(Math.ceil(to)), points: "1200" });
    for (const name of names) query.append("signal", name);
    let answer;
    try { answer = await ask(`${path}/history?${query}`); } catch (cause) { if (mine === asked) { plots.clear(); detail.replaceChildren(el("p", { role: "alert" }, `No samples: ${cause.message}`)); } return; }
    if (mine !== asked) return;
    if (names.join("|") !== [...plots.keys()].join("|") || !detail.childElementCount) plots = new Map(names.map((name) => [name, plotOf(name)]));
    const turn = (by, text) => el("button", { type: "button", disabled: first + by < 0 || first + by >= known.length, onclick: () => { first += by; show(); } }, text);
    const missing = item.signal_count - known.length;
    detail.replaceChildren(el("div", { class: "bar capture" }, el("h3", {}, `${campaign(item)}, ${stamp(item.t)}`), el("span", { class: "dim" }, `${clock(from)} to ${clock(to)}, dashed line: the trigger`),
      view ? el("button", { type: "button", onclick: () => { view = null; show(); } }, "Whole window") : null,
      known.length > PLOTS_MAX ? [turn(-PLOTS_MAX, "Previous"), el("span", { class: "dim" }, `${first + 1} to ${first + names.length} of ${plural(known.length, "signal")}`), turn(PLOTS_MAX, "Next")] : null,
      missing > 0 ? el("span", { class: "dim" }, `${plural(missing, "signal")} more, which cannot be plotted here`) : null,
      answer.step_ms ? el("span", { class: "dim" }, `steps of ${answer.step_ms} ms with their minimum and maximum; the download has every sample`) : null),
    el("div", { class: "plots" }, [...plots.values()].map((plot) => plot.node)));
    for (const name of names) plots.get(name).set({ points: answer.series[name] ?? [], from, to, gaps: answer.gaps ?? [], step_ms: answer.step_ms, least: Math.max(LEAST_GAP_MS, answer.step_ms * 4), mark: item.t });
  }
  function plotOf(name) {
    const signal = byName(name), plot = makePlot({ title: name, unit: signal.unit, numeric: !["STRING", "BOOL", "ENUM"].includes(signal.type), onClose: () => plot.node.remove(), onZoom: (from, to) => { view = [from, to]; show(); }, onWider: () => { view = null; show(); } });
    return plot;
  }
  return { node, refresh, draw() { for (const plot of plots.values()) plot.set({}); } };
}
