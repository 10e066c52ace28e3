"use strict";
// Two things that a document cannot do by itself: read values off a curve, and renew while runs are under way.
const REFRESH_MILLISECONDS = 3000;

function nearest(points, x) {
  return points.reduce((best, each) => (Math.abs(each[0] - x) < Math.abs(best[0] - x) ? each : best));
}

function read(picture, x) {
  const lines = JSON.parse(picture.dataset.lines);
  const [low, high, left, right] = JSON.parse(picture.dataset.scale);
  const step = nearest(lines.map((each) => nearest(each[2], x)), x)[0];
  const place = left + ((step - low) / (high - low)) * (right - left);
  const cursor = picture.querySelector(".cursor");
  cursor.setAttribute("x1", place);
  cursor.setAttribute("x2", place);
  cursor.setAttribute("visibility", "visible");
  const values = lines.map(([name, , points]) => {
    const value = Number(nearest(points, step)[1].toPrecision(5));
    return lines.length > 1 ? `${name} ${value}` : `${value}`;
  });
  picture.dataset.at = step;
  picture.nextElementSibling.textContent = `step ${step}: ${values.join(", ")}`;
}

function pictureOf(event) {
  return event.target.closest ? event.target.closest("svg[data-lines]") : null;
}

document.addEventListener("pointermove", (event) => {
  const picture = pictureOf(event);
  if (!picture) return;
  const [low, high, left, right] = JSON.parse(picture.dataset.scale);
  const box = picture.getBoundingClientRect();
  const across = ((event.clientX - box.left) / box.width) * picture.viewBox.baseVal.width;
  read(picture, low + ((across - left) / (right - left)) * (high - low));
});

document.addEventListener("keydown", (event) => {
  const picture = pictureOf(event);
  const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!picture || !way) return;
  event.preventDefault();
  const steps = JSON.parse(picture.dataset.lines)[0][2].map((each) => each[0]);
  const here = picture.dataset.at === undefined ? -1 : steps.indexOf(Number(picture.dataset.at));
  read(picture, steps[Math.min(Math.max(here + way, 0), steps.length - 1)]);
});

async function renew() {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const busy = document.hidden || main.contains(document.activeElement) || main.querySelector("input:checked");
  if (!busy) {
    try {
      const answer = await fetch(location.href);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
      for (const each of fresh.querySelectorAll("details[id]")) {
        const before = document.getElementById(each.id);
        if (before) each.open = before.open;
      }
      main.replaceWith(fresh);
    } catch {
      // The server is away; it may come back.
    }
  }
  setTimeout(renew, REFRESH_MILLISECONDS);
}
setTimeout(renew, REFRESH_MILLISECONDS);
