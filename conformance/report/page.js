"use strict";
(() => {
  const entries = [...document.querySelectorAll(".entry")];
  const tiles = [...document.querySelectorAll(".tile")];
  const buttons = [...document.querySelectorAll(".tally button[data-state]")];
  const search = document.querySelector("#search");

  function filter() {
    const shown = new Set(buttons.filter((b) => b.getAttribute("aria-pressed") === "true").map((b) => b.dataset.state));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const element of [...entries, ...tiles]) {
      const fits = words.every((word) => element.dataset.words.includes(word));
      element.hidden = !shown.has(element.dataset.state) || !fits;
    }
    for (const group of document.querySelectorAll("section.group"))
      group.hidden = !group.querySelector(".entry:not([hidden])");
  }

  function open() {
    const entry = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!entry || !entry.matches(".entry")) return;
    entry.hidden = false;
    entry.open = true;
    entry.scrollIntoView();
  }

  for (const button of buttons)
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      filter();
    });
  search.addEventListener("input", filter);
  addEventListener("hashchange", open);
  for (const tile of tiles) tile.addEventListener("click", () => setTimeout(open));
  document.querySelector("#unfold").addEventListener("click", () => {
    const close = entries.every((entry) => entry.hidden || entry.open);
    for (const entry of entries) if (!entry.hidden) entry.open = !close;
  });
  open();
})();
