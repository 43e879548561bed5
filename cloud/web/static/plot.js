// One plot on a canvas: numbers as a line with its band of minimum and maximum, states as steps with their texts.
// Gaps are never bridged: they have the colour of what the ledger says of them (silence, waiting, loss), or a dashed frame
// where the van's samples are stored and only this signal is silent. Loss also marks the foot of the plot where it is short. points: [t_ms, value] or [t_ms, value, low, high], ascending; step_ms apart where they are steps, 0 for samples.
// mark: a time with a dashed line, or null. why: what kept the points from being read, empty when they were.
import { age, clock, colour, el, measured, number, short, sized, unitOf, unknown } from "./dom.js";

const LEFT = 52, BOTTOM = 18, TOP = 6, RIGHT = 6, SECOND_MS = 1000;

export function ticks(low, high, count) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const out = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) out.push(at);
  return out;
}
// Where nothing came for much longer than usual, or the ledger says why nothing came between two points: [from, to] pairs.
export function holesOf({ points, from, to, least, gaps, step_ms }) {
  if (!points.length) return [[from, to]];
  const steps = [];
  for (let i = 1; i < points.length; i++) steps.push(points[i][0] - points[i - 1][0]);
  const usual = steps.length ? [...steps].sort((a, b) => a - b)[Math.floor(steps.length * 0.9)] : 0;
  const limit = Math.max(usual * 4, least), told = Math.max(SECOND_MS, step_ms * 1.5); // the ledger's times are whole seconds
  const known = (a, b) => b - a > told && gaps.some((gap) => Math.min(b, gap.to) - Math.max(a, gap.from) > SECOND_MS / 2);
  const out = [];
  if (points[0][0] - from > limit) out.push([from, points[0][0]]);
  for (let i = 1; i < points.length; i++) if (steps[i - 1] > limit || known(points[i - 1][0], points[i][0])) out.push([points[i - 1][0], points[i][0]]);
  if (to - points[points.length - 1][0] > limit) out.push([points[points.length - 1][0], to]);
  return out;
}
export function makePlot({ title, unit, numeric, onClose, onZoom, onWider }) {
  const canvas = el("canvas", { role: "img", tabindex: "0", "aria-label": `Plot of ${title}. Plus and minus zoom, left and right move.` });
  const cut = title.lastIndexOf("."), path = cut > 0 ? title.slice(0, cut) : "", last = title.slice(cut + 1);
  const value = el("span", { class: "num now", "data-value": title });
  const node = el("section", { class: "card plot", "data-plot": title },
    el("header", {}, el("div", { title }, el("span", { class: "path" }, path || "\u00a0"), el("h3", {}, last)), value, el("button", { type: "button", title: `Close the plot of ${title}`, onclick: onClose }, "×")), canvas);
  let data = { points: [], from: 0, to: 1, least: 3000, step_ms: 0, gaps: [], mark: null, why: "" }, hover = null, drag = null, asked = 0;

  function paint() {
    asked = 0;
    const { points, from, to } = data;
    const [c, w, h] = sized(canvas);
    if (data.why && !points.length) {
      c.font = "13px system-ui, sans-serif"; c.fillStyle = colour("--soft"); c.textAlign = "center";
      c.fillText(data.why, w / 2, h / 2, w - 12);
      return;
    }
    const x = (t) => LEFT + ((t - from) / (to - from || 1)) * (w - LEFT - RIGHT);
    const soft = colour("--soft"), line = colour("--line");
    c.font = "11px system-ui, sans-serif"; c.lineWidth = 1;
    const holes = holesOf(data), tints = { silence: colour("--hatch"), waiting: colour("--wait"), loss: colour("--bad") };
    for (const [a, b] of holes) {
      c.strokeStyle = tints.silence; c.setLineDash([3, 3]); c.strokeRect(x(a) + 0.5, TOP + 0.5, Math.max(x(b) - x(a) - 1, 1), h - TOP - BOTTOM - 1); c.setLineDash([]);
      for (const gap of data.gaps) {
        const begin = Math.max(a, gap.from), end = Math.min(b, gap.to);
        if (end <= begin) continue;
        c.fillStyle = tints[gap.kind]; c.globalAlpha = 0.22; c.fillRect(x(begin), TOP, Math.max(x(end) - x(begin), 1), h - TOP - BOTTOM); c.globalAlpha = 1;
      }
    }
    c.fillStyle = tints.loss;
    for (const gap of data.gaps) if (gap.kind === "loss") c.fillRect(x(Math.max(gap.from, from)), h - BOTTOM - 3, Math.max(x(Math.min(gap.to, to)) - x(Math.max(gap.from, from)), 2), 3);
    c.globalAlpha = 1;
    c.fillStyle = soft; c.textAlign = "center";
    const span = to - from, days = span > 86400000;
    const labels = Math.max(2, Math.floor((w - LEFT) / 110));
    for (let i = 0; i <= labels; i++) {
      const t = from + (span * i) / labels;
      c.textAlign = i === 0 ? "left" : i === labels ? "right" : "center";
      c.fillText(days ? new Date(t).toLocaleDateString() : clock(t), x(t), h - 4);
    }
    if (numeric) lines(c, w, h, x, points, line, soft, holes); else states(c, h, x, points, to);
    Object.assign(canvas.dataset, { from, to });
    if (data.mark !== null && from <= data.mark && data.mark <= to) {
      c.strokeStyle = c.fillStyle = colour("--ink"); c.lineWidth = 1; c.setLineDash([5, 3]); c.beginPath(); c.moveTo(x(data.mark), TOP); c.lineTo(x(data.mark), h - BOTTOM); c.stroke(); c.setLineDash([]);
    }
    const hole = hover === null ? null : holes.find(([a, b]) => x(a) < hover && hover < x(b));
    if (hole) {
      const t = time(hover), gap = data.gaps.find((one) => one.from <= t && t <= one.to);
      c.textAlign = hover > w / 2 ? "right" : "left"; c.fillStyle = colour("--ink");
      c.fillText(`${clock(t)}  ${gap ? gap.kind : "this signal is silent"}`, hover, TOP + 12);
      canvas.title = gap ? gap.text : "";
    } else if (hover !== null && points.length) {
      let best = points[0];
      for (const p of points) if (Math.abs(x(p[0]) - hover) < Math.abs(x(best[0]) - hover)) best = p;
      c.strokeStyle = soft; c.beginPath(); c.moveTo(x(best[0]), TOP); c.lineTo(x(best[0]), h - BOTTOM); c.stroke();
      const text = `${clock(best[0])}  ${number(best[1])} ${unitOf(unit)}`;
      c.textAlign = hover > w / 2 ? "right" : "left"; c.fillStyle = colour("--ink");
      c.fillText(text, hover > w / 2 ? x(best[0]) - 5 : x(best[0]) + 5, TOP + 10);
    }
    if (drag) { c.fillStyle = colour("--accent"); c.globalAlpha = 0.2; c.fillRect(Math.min(drag[0], drag[1]), TOP, Math.abs(drag[1] - drag[0]), h - TOP - BOTTOM); c.globalAlpha = 1; }
  }
  function lines(c, w, h, x, points, line, soft, holes) {
    let low = Infinity, high = -Infinity;
    for (const p of points) { low = Math.min(low, p[2] ?? p[1]); high = Math.max(high, p[3] ?? p[1]); }
    if (low > high) { low = 0; high = 1; }
    if (low === high) { const pad = Math.abs(low) * 0.05 || 0.5; low -= pad; high += pad; }
    const pad = (high - low) * 0.06;
    low -= pad; high += pad;
    const y = (v) => TOP + ((high - v) / (high - low)) * (h - TOP - BOTTOM);
    c.textAlign = "right";
    for (const at of ticks(low, high, 4)) { c.strokeStyle = line; c.beginPath(); c.moveTo(LEFT, y(at)); c.lineTo(w - RIGHT, y(at)); c.stroke(); c.fillStyle = soft; c.fillText(number(Number(at.toPrecision(6))), LEFT - 5, y(at) + 4); }
    const breaks = new Set(holes.map((hole) => hole[1]));
    c.strokeStyle = c.fillStyle = colour("--accent");
    c.globalAlpha = 0.35;
    points.forEach((p, i) => {
      if (p.length < 4 || p[2] === p[3]) return; // of a step from its begin on, of a rollup since the one before; never too thin to be seen
      const begin = x(data.step_ms || !i || breaks.has(p[0]) ? p[0] : points[i - 1][0]), end = x(p[0] + data.step_ms);
      c.fillRect(begin, y(p[3]), Math.max(end - begin, 1), y(p[2]) - y(p[3]));
    });
    c.globalAlpha = 1;
    c.lineWidth = 1.5; c.beginPath();
    points.forEach((p, i) => { if (i === 0 || breaks.has(p[0])) c.moveTo(x(p[0]), y(p[1])); else c.lineTo(x(p[0]), y(p[1])); });
    c.stroke();
    if (points.length && points.length < 80) for (const p of points) { c.beginPath(); c.arc(x(p[0]), y(p[1]), 1.8, 0, 7); c.fill(); }
  }
  function states(c, h, x, points, to) {
    const tints = ["--accent", "--info", "--warn", "--good", "--bad"].map(colour), seen = [];
    points.forEach((p, i) => {
      const text = number(p[1]);
      let at = seen.indexOf(text);
      if (at < 0) at = seen.push(text) - 1;
      const until = i + 1 < points.length ? points[i + 1][0] : to, gap = data.gaps.find((one) => p[0] < one.from && one.from < until); // in a gap the state is not known
      const a = x(p[0]), b = x(gap ? gap.from : until);
      c.globalAlpha = 0.3; c.fillStyle = tints[at % tints.length]; c.fillRect(a, h / 2 - 24, Math.max(b - a - 1, 1), 40); c.globalAlpha = 1;
      if (b - a > 30) { c.fillStyle = colour("--ink"); c.textAlign = "left"; c.save(); c.beginPath(); c.rect(a, 0, b - a, h); c.clip(); c.fillText(text, a + 4, h / 2); c.restore(); }
    });
  }
  function draw() { if (!asked) asked = requestAnimationFrame(paint); }
  const at = (e) => e.clientX - canvas.getBoundingClientRect().left;
  const time = (px) => data.from + ((px - LEFT) / (canvas.getBoundingClientRect().width - LEFT - RIGHT)) * (data.to - data.from);
  canvas.addEventListener("pointerdown", (e) => { drag = [at(e), at(e)]; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointermove", (e) => { hover = at(e); if (drag) drag[1] = at(e); draw(); });
  canvas.addEventListener("pointerup", () => { if (drag && Math.abs(drag[1] - drag[0]) > 8) onZoom(time(Math.min(...drag)), time(Math.max(...drag))); drag = null; draw(); });
  canvas.addEventListener("pointercancel", () => { drag = hover = null; draw(); });
  canvas.addEventListener("dblclick", onWider);
  canvas.addEventListener("keydown", (e) => {
    const part = (data.to - data.from) / 4, move = { ArrowLeft: [-part, -part], ArrowRight: [part, part], "+": [part, -part], "=": [part, -part] }[e.key];
    if (move) onZoom(data.from + move[0], data.to + move[1]); else if (e.key === "-") onWider(); else return;
    e.preventDefault();
  });
  canvas.addEventListener("pointerleave", () => { hover = null; draw(); });
  let read = { at: null, old_ms: 0 };
  function tell() {
    const last = data.points[data.points.length - 1], old = last && read.at !== null && read.at - last[0] > read.old_ms;
    value.replaceChildren(...(last ? measured(last[1], unit) : [unknown(data.why ? "unknown" : "nothing here")]), old ? el("span", { class: "unit" }, ` (${age(read.at - last[0])} old)`) : "");
    value.title = last ? `${number(last[1])} ${unit}, ${clock(last[0])}` : "";
    value.classList.toggle("dim", Boolean(old));
  }
  return {
    node,
    // The newest value is told with its age when that is more than old_ms at a time; at is null where the past is looked at.
    age(at, old_ms) { read = { at, old_ms }; tell(); },
    set(next) {
      data = { ...data, ...next };
      tell();
      node.dataset.points = data.points.length;
      if (data.mark !== null) node.dataset.mark = data.mark;
      draw();
    },
  };
}
