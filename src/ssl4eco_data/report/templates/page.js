"use strict";
(() => {
  const select = document.getElementById("curve-select");
  if (select) {
    const curves = document.querySelectorAll(".curve");
    const show = () => curves.forEach((curve) => { curve.hidden = curve.id !== select.value; });
    select.closest(".controls").hidden = false;
    select.addEventListener("change", show);
    show();
  }
  const biome = document.getElementById("biome-select");
  if (biome) {
    const places = [...document.querySelectorAll(".place")];
    const count = document.getElementById("gallery-count");
    const show = () => {
      places.forEach((place) => { place.hidden = biome.value !== "" && place.dataset.biome !== biome.value; });
      const shown = places.filter((place) => !place.hidden).length;
      count.textContent = `${shown} location${shown === 1 ? "" : "s"}`;
    };
    document.getElementById("biome-filter").hidden = false;
    biome.addEventListener("change", show);
    show();
  }
})();
