// A map in Web Mercator: a blank grid with a scale, tracks and vans; tiles only when the settings name a server.
// points: {id, state, xy}, xy of project(); tracks: lists of [latitude, longitude].
import { colour, el, say, sized } from "./dom.js";

const WORST = ["lost", "stale", "live", "left", "unknown", "cut"], DOT_PX = 4, CLUSTER_PX = 22, LABELLED_MAX = 60, R = 6378137, LAT_MAX = 85.05;
export const project = (lat, lon) => [lon / 360 + 0.5, 0.5 - Math.log(Math.tan(Math.PI / 4 + (Math.min(Math.max(lat, -LAT_MAX), LAT_MAX) * Math.PI) / 360)) / (2 * Math.PI)];
const latitude = (y) => (Math.atan(Math.sinh((0.5 - y) * 2 * Math.PI)) * 180) / Math.PI;

export function makeMap({ tileUrl = null, onPick = () => {} }) {
  const canvas = el("canvas", { tabindex: "0", role: "img", "aria-label": "Map. Arrow keys move it, plus and minus zoom, 0 shows everything." });
  const note = el("div", { class: "note" });
  const tools = el("div", { class: "tools" }, el("button", { type: "button", title: "Closer", onclick: () => zoom(1.6) }, "+"), el("button", { type: "button", title: "Farther", onclick: () => zoom(1 / 1.6) }, "−"), el("button", { type: "button", title: "Show everything", onclick: () => { view.free = false; draw(); } }, "All"));
  const node = el("div", { class: "card map grow" }, canvas, note, tools);
  const view = { x: 0.5, y: 0.5, scale: 256, free: false };
  const tiles = new Map();
  let data = { points: [], tracks: [] }, asked = 0;

  function fit(w, h) {
    let x0 = Infinity, x1 = -Infinity, y0 = Infinity, y1 = -Infinity;
    const take = ([x, y]) => { if (x < x0) x0 = x; if (x > x1) x1 = x; if (y < y0) y0 = y; if (y > y1) y1 = y; };
    for (const p of data.points) take(p.xy);
    for (const track of data.tracks) for (const p of track) take(project(p[0], p[1]));
    if (x0 > x1) return;
    view.x = (x0 + x1) / 2; view.y = (y0 + y1) / 2;
    view.scale = Math.min((w * 0.82) / Math.max(x1 - x0, 2e-6), (h * 0.78) / Math.max(y1 - y0, 2e-6));
  }
  const zoom = (factor) => { view.free = true; view.scale = Math.min(Math.max(view.scale * factor, 128), 5e9); draw(); };
  function grid(c, w, h) {
    const metres = (2 * Math.PI * R * Math.cos((latitude(view.y) * Math.PI) / 180)) / view.scale;
    const rough = metres * 90, power = 10 ** Math.floor(Math.log10(rough)), step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough) || power;
    const px = step / metres;
    c.strokeStyle = colour("--line"); c.lineWidth = 1; c.beginPath();
    const ox = (((w / 2 - view.x * view.scale) % px) + px) % px, oy = (((h / 2 - view.y * view.scale) % px) + px) % px;
    for (let x = ox; x < w; x += px) { c.moveTo(x, 0); c.lineTo(x, h); }
    for (let y = oy; y < h; y += px) { c.moveTo(0, y); c.lineTo(w, y); }
    c.stroke();
    return step >= 1000 ? `${step / 1000} km` : `${Number(step.toPrecision(2))} m`;
  }
  function drawTiles(c, w, h) {
    const z = Math.max(0, Math.min(19, Math.round(Math.log2(view.scale / 256)))), n = 2 ** z, size = view.scale / n;
    const left = view.x * view.scale - w / 2, top = view.y * view.scale - h / 2;
    for (let x = Math.floor(left / size); x * size < left + w; x++) {
      for (let y = Math.max(0, Math.floor(top / size)); y * size < top + h && y < n; y++) {
        const key = `${z}/${((x % n) + n) % n}/${y}`;
        let image = tiles.get(key);
        if (!image) {
          if (tiles.size > 400) tiles.clear();
          image = new Image();
          image.onload = draw;
          image.src = tileUrl.replace("{z}", z).replace("{x}", ((x % n) + n) % n).replace("{y}", y);
          tiles.set(key, image);
        }
        if (image.complete && image.naturalWidth) c.drawImage(image, x * size - left, y * size - top, size + 0.5, size + 0.5);
      }
    }
  }
  // Vans that stand so close that their names would cover one another are one mark with their number; closer, they part.
  function labelled(c, w, seen, tints) {
    const ink = colour("--ink"), card = colour("--card"), groups = [];
    for (const one of seen) {
      const near = groups.find((g) => Math.hypot(g.x - one.x, g.y - one.y) < CLUSTER_PX);
      if (near) near.all.push(one.p); else groups.push({ ...one, all: [one.p] });
    }
    for (const { x, y, all } of groups) {
      const worst = WORST.find((state) => all.some((p) => p.state === state)), radius = all.length > 1 ? 9 : 6;
      c.fillStyle = tints[worst]; c.strokeStyle = card; c.lineWidth = 2;
      c.beginPath(); c.arc(x, y, radius, 0, 7); c.fill(); c.stroke();
      if (all.length > 1) { c.fillStyle = card; c.textAlign = "center"; c.font = "bold 10px system-ui, sans-serif"; c.fillText(String(all.length), x, y + 3.5); c.font = "12px system-ui, sans-serif"; }
      const text = all.length > 3 ? `${all.length} vans` : all.map((p) => p.id).join(", "), right = x + radius + 6 + c.measureText(text).width > w;
      c.textAlign = right ? "right" : "left"; c.lineWidth = 3; c.strokeStyle = card;
      c.strokeText(text, right ? x - radius - 4 : x + radius + 4, y + 4); c.fillStyle = ink; c.fillText(text, right ? x - radius - 4 : x + radius + 4, y + 4);
    }
  }
  // Too many for names: one dot for each cell that has vans, in the colour of the worst of them, the worst on top.
  function dots(c, w, h, tints) {
    const across = Math.ceil(w / DOT_PX), worst = new Uint8Array(across * Math.ceil(h / DOT_PX)), cells = WORST.map(() => []);
    const left = w / 2 - view.x * view.scale, top = h / 2 - view.y * view.scale;
    for (const p of data.points) {
      const x = p.xy[0] * view.scale + left, y = p.xy[1] * view.scale + top;
      if (x < 0 || y < 0 || x >= w || y >= h) continue;
      const cell = Math.floor(y / DOT_PX) * across + Math.floor(x / DOT_PX), rank = WORST.length - WORST.indexOf(p.state);
      if (rank > worst[cell]) { worst[cell] = rank; cells[rank - 1].push(x - DOT_PX / 2, y - DOT_PX / 2); }
    }
    cells.forEach((list, i) => { c.fillStyle = tints[WORST[WORST.length - 1 - i]]; for (let at = 0; at < list.length; at += 2) c.fillRect(list[at], list[at + 1], DOT_PX, DOT_PX); });
  }
  const onto = ([x, y], w, h) => [(x - view.x) * view.scale + w / 2, (y - view.y) * view.scale + h / 2];
  function paint() {
    asked = 0;
    const [c, w, h] = sized(canvas);
    if (!view.free) fit(w, h);
    if (tileUrl) drawTiles(c, w, h);
    const step = grid(c, w, h);
    c.strokeStyle = colour("--accent"); c.lineWidth = 2; c.globalAlpha = 0.55;
    for (const track of data.tracks) {
      c.beginPath();
      track.forEach((p, i) => { const [x, y] = onto(project(p[0], p[1]), w, h); if (i) c.lineTo(x, y); else c.moveTo(x, y); });
      c.stroke();
    }
    c.globalAlpha = 1;
    c.font = "12px system-ui, sans-serif";
    const tints = { live: colour("--good"), stale: colour("--warn"), lost: colour("--bad"), left: colour("--soft"), unknown: colour("--soft"), cut: colour("--hatch") };
    const seen = [];
    for (const p of data.points) {
      const [x, y] = onto(p.xy, w, h);
      if (x > -20 && y > -20 && x < w + 20 && y < h + 20 && seen.push({ p, x, y }) > LABELLED_MAX) break;
    }
    if (seen.length > LABELLED_MAX) dots(c, w, h, tints);
    else labelled(c, w, seen, tints);
    const said = data.points.length ? `grid ${step}${tileUrl ? "" : ", no map tiles"}${data.note ? "; " + data.note : ""}` : "no van has told its place" + (data.note ? "; " + data.note : "");
    say(note, said);
  }
  function draw() { if (!asked) asked = requestAnimationFrame(paint); }
  let drag = null;
  canvas.addEventListener("pointerdown", (e) => { drag = { x: e.clientX, y: e.clientY, vx: view.x, vy: view.y, moved: false }; canvas.setPointerCapture(e.pointerId); });
  canvas.addEventListener("pointermove", (e) => {
    if (!drag) return;
    const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
    if (Math.hypot(dx, dy) > 4) drag.moved = view.free = true;
    if (drag.moved) { view.x = drag.vx - dx / view.scale; view.y = drag.vy - dy / view.scale; draw(); }
  });
  canvas.addEventListener("pointerup", (e) => {
    if (drag && !drag.moved) {
      const box = canvas.getBoundingClientRect();
      let best = null, near = 14;
      for (const p of data.points) { const [x, y] = onto(p.xy, box.width, box.height), d = Math.hypot(x - e.clientX + box.left, y - e.clientY + box.top); if (d < near) { near = d; best = p; } }
      if (best) onPick(best.id);
    }
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => { drag = null; });
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(e.deltaY < 0 ? 1.25 : 0.8); }, { passive: false });
  canvas.addEventListener("keydown", (e) => {
    const move = { ArrowLeft: [-40, 0], ArrowRight: [40, 0], ArrowUp: [0, -40], ArrowDown: [0, 40] }[e.key];
    if (move) { view.free = true; view.x += move[0] / view.scale; view.y += move[1] / view.scale; draw(); }
    else if (e.key === "+" || e.key === "=") zoom(1.6);
    else if (e.key === "-") zoom(1 / 1.6);
    else if (e.key === "0") { view.free = false; draw(); }
    else return;
    e.preventDefault();
  });
  return { node, set: (next) => { data = next; draw(); }, draw };
}
