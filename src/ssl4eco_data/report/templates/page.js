"use strict";
(() => {
  const on = (id, show) => {
    const select = document.getElementById(id);
    if (select) {
      select.addEventListener("change", () => show(select.value));
      show(select.value);
    }
  };
  const all = (selector) => [...document.querySelectorAll(selector)];
  const chosen = (value, element) => value === "" || element.dataset.biome === value;
  const marks = all("#map [data-biome]");
  on("map-select", (value) => {
    marks.forEach((mark) => { mark.classList.toggle("dimmed", !chosen(value, mark)); });
  });
  const curves = all(".curve");
  on("curve-select", (value) => {
    curves.forEach((curve) => { curve.hidden = curve.id !== value; });
  });
  const places = all(".place");
  on("biome-select", (value) => {
    places.forEach((place) => { place.hidden = !chosen(value, place); });
    const shown = places.filter((place) => !place.hidden).length;
    document.getElementById("gallery-count").textContent = `${shown} location${shown === 1 ? "" : "s"}`;
  });
  all(".needs-script").forEach((control) => { control.hidden = false; });
})();
