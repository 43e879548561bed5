// Elements and texts. Everything that comes from outside goes in as text, never as markup.
export function el(name, props = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else if (key in node && typeof value !== "string") node[key] = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}
export function age(ms) {
  if (ms < 0) ms = 0;
  const s = ms / 1000;
  if (s < 60) return `${Math.round(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}
export function bytes(count) {
  for (const unit of ["B", "kB", "MB", "GB"]) { if (count < 1000 || unit === "GB") return `${count < 10 && unit !== "B" ? count.toFixed(1) : Math.round(count)} ${unit}`; count /= 1000; }
}
export function number(value) {
  if (value === null || value === undefined) return "no number";
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return value.toExponential(3);
  return String(Number(value.toPrecision(6)));
}
// A measured value for reading: five digits at most; the whole number stays where it is needed, in a title.
export const short = (value) => (typeof value === "number" && Math.abs(value) < 1e7 && (value === 0 || Math.abs(value) >= 1e-4) ? String(Number(value.toPrecision(Math.abs(value) >= 1e4 ? 7 : 5))) : number(value));
const UNITS = { degrees: "°", celsius: "°C", percent: "%", "degrees/s": "°/s" };
export const unitOf = (unit) => UNITS[unit.toLowerCase()] ?? unit.replace("^2", "²").replace("^3", "³");
export function measured(value, unit) {
  if (typeof value === "number" && unit === "bytes") return [bytes(value)];
  if (typeof value === "number" && unit === "degrees") return [String(Number(value.toFixed(5))), el("span", { class: "unit" }, ` ${unitOf(unit)}`)]; // a metre, of a place
  if (typeof value === "number" && unit === "Hz" && value >= 1e6) [value, unit] = [value / 1e6, "MHz"];
  return [short(value), typeof value === "number" && unit ? el("span", { class: "unit" }, ` ${unitOf(unit)}`) : null].filter((part) => part !== null);
}
export const say = (node, text) => { if (node.textContent !== text) node.textContent = text; }; // a text that is set anew is laid out anew
// New children in the place of those before; what had the focus keeps it, by the name that it has in its data.
export function replaced(node, key, ...children) {
  const had = node.contains(document.activeElement) ? document.activeElement.dataset[key] : undefined;
  node.replaceChildren(...children);
  if (had !== undefined) node.querySelector(`[data-${key}="${CSS.escape(had)}"]`)?.focus();
}
export const emptyState = (title, ...more) => el("div", { class: "empty" }, el("b", {}, title), more);
export const plural = (count, one, many = one + "s") => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
export const WORDS = { live: "live", stale: "stale", lost: "connection lost", left: "signed off", unknown: "never heard", cut: "unknown" };
export const SEVERITY = ["none", "info", "warning", "critical"];
export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });
export const stamp = (ms) => new Date(ms).toLocaleString([], { hour12: false });
export const unknown = (text = "unknown") => el("span", { class: "unknown" }, text);
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
export function sized(canvas) {
  const ratio = window.devicePixelRatio || 1, box = canvas.getBoundingClientRect();
  const w = Math.max(1, Math.round(box.width * ratio)), h = Math.max(1, Math.round(box.height * ratio));
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, box.width, box.height);
  return [context, box.width, box.height];
}
