"use strict";
(() => {
  const root = document.documentElement, button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const tell = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", `Change to ${isDark() ? "light" : "dark"}`);
    document.dispatchEvent(new Event("latentscan-theme"));
  };
  button.hidden = false;
  button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; tell(); });
  dark.addEventListener("change", tell);
  tell();
  const narrow = matchMedia("(max-width: 62rem)");
  if (narrow.matches) document.querySelector("nav details").open = false;
  addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("main details:not(.images)")) one.open = true; });
})();
