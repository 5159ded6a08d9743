/**
 * The page's only script: shows the value under the pointer. Everything it shows stands in the page's tables or curves
 * already, so a page without scripts loses nothing. It keeps to a strict content security policy: no `eval`, no style
 * attributes, no requests. It also takes the place of the browser's own tooltips on figures, which would cover the curves.
 */
export const readoutScript = `
"use strict";
const tip = document.createElement("div");
tip.className = "tip";
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);
for (const title of document.querySelectorAll("svg > title")) {
  title.parentNode.setAttribute("aria-label", title.textContent);
  title.parentNode.removeAttribute("aria-labelledby");
  title.remove();
}
const format = (value) => new Intl.NumberFormat("en-US", { maximumSignificantDigits: Math.abs(value) >= 1000 ? 7 : 4 }).format(value);
const hide = () => { tip.classList.remove("on"); for (const dot of document.querySelectorAll(".cursor")) dot.remove(); };
const show = (event, text) => {
  tip.textContent = text;
  tip.classList.add("on");
  const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = Math.max(8, Math.min(room, event.clientX + 14)) + "px";
  tip.style.top = Math.max(8, event.clientY - tip.offsetHeight - 12) + "px";
};
const readLines = (event, group) => {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(group.getScreenCTM().inverse());
  const { x, y } = JSON.parse(group.dataset.scales);
  const value = (scale, pixel) => scale[2] + ((pixel - scale[0]) / (scale[1] - scale[0])) * (scale[3] - scale[2]);
  const rows = [];
  hide();
  for (const line of group.querySelectorAll("polyline")) {
    let best = line.points[0];
    for (const point of line.points) if (Math.abs(point.x - at.x) < Math.abs(best.x - at.x)) best = point;
    const dot = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    dot.setAttribute("class", "cursor");
    dot.setAttribute("cx", best.x);
    dot.setAttribute("cy", best.y);
    dot.setAttribute("r", "4");
    group.append(dot);
    if (rows.length === 0) rows.push(group.dataset.axis + " " + format(Math.round(value(x, best.x))));
    rows.push(line.dataset.name + " " + format(value(y, best.y)));
  }
  if (rows.length > 0) show(event, rows.join("\\n"));
};
document.addEventListener("pointermove", (event) => {
  const mark = event.target.closest("[data-tip]");
  const lines = event.target.closest(".lines");
  if (mark !== null) { hide(); show(event, mark.dataset.tip); }
  else if (lines !== null && lines.querySelector("polyline") !== null) readLines(event, lines);
  else hide();
});
document.addEventListener("scroll", hide, { passive: true });
`;
