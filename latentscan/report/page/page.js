"use strict";
window.latentscan = (() => {
  const data = JSON.parse(document.getElementById("latentscan-data").textContent);
  const find = (id) => document.getElementById(id);
  const FIRST = 60, NONE = 0x8a8f98ff, hint = find("count").textContent;
  const state = { source: null, plots: [], colour: 0, shown: FIRST, order: [] };
  const pointer = { x: 0, y: 0 };

  // a name shows as text, and what a screen would obey or hide shows as its code
  const plain = (text) => String(text).replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu,
    (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
  const add = (parent, name, text, className) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = plain(text);
    if (className) made.className = className;
    parent.append(made);
    return made;
  };
  const number = (value) => !Number.isFinite(value) ? "–"
    : Number.isInteger(value) ? value.toLocaleString("en")
    : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(2) : value.toPrecision(4);
  const title = (column) => column.group === "attributes" ? column.title : `${column.title}, ${column.group}`;
  const valuesOf = (at) => state.source.data[`c${at}`];
  const text = (at, row) => {
    const value = valuesOf(at)[row], names = data.columns[at].names;
    return names.length ? (value < 0 ? "–" : names[value]) : number(value);
  };
  const isDark = () => {
    const theme = document.documentElement.dataset.theme;
    return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const css = (colour) => `#${(colour >>> 8).toString(16).padStart(6, "0")}`;

  function thumbnail(parent, row, className) {
    const place = state.source.data.thumbnail[row], made = add(parent, "span", undefined, "thumb");
    if (place < 0) {
      made.classList.add("none");
    } else {
      const cell = place % data.cells;
      made.classList.add(`sheet-${Math.floor(place / data.cells)}`);
      made.style.setProperty("--x", cell % data.across);
      made.style.setProperty("--y", Math.floor(cell / data.across));
      made.setAttribute("role", "img");
      made.setAttribute("aria-label", `image ${plain(state.source.data.path[row])}`);
      made.dataset.thumbnail = place;
    }
    if (className) made.classList.add(className);
  }

  function extent(values) {
    const finite = Float64Array.from(values.filter(Number.isFinite)).sort();
    if (!finite.length) return [0, 1];
    const low = finite[Math.floor(0.01 * (finite.length - 1))], high = finite[Math.ceil(0.99 * (finite.length - 1))];
    return low < high ? [low, high] : [finite[0], finite[finite.length - 1] > finite[0] ? finite[finite.length - 1] : finite[0] + 1];
  }

  function ramp() {
    const [from, to] = isDark() ? [40, 255] : [0, 232];
    return Array.from({ length: 256 }, (_, at) => data.ramp[Math.round(from + (to - from) * at / 255)]);
  }

  function paint() {
    const column = data.columns[state.colour], values = valuesOf(state.colour), colours = state.source.data.colour;
    const legend = find("legend");
    legend.replaceChildren();
    if (column.names.length) {
      const counts = new Array(column.names.length).fill(0);
      for (let row = 0; row < colours.length; row++) {
        const value = values[row];
        colours[row] = value < 0 ? NONE : data.palette[value % data.palette.length];
        if (value >= 0) counts[value]++;
      }
      column.names.forEach((name, value) => {
        if (!counts[value]) return;
        const button = add(legend, "button");
        button.type = "button";
        add(button, "span", undefined, "swatch").style.background = css(data.palette[value % data.palette.length]);
        button.append(`${plain(name)} (${counts[value].toLocaleString("en")})`);
        button.addEventListener("click", () => choose((row) => values[row] === value));
      });
    } else {
      const [low, high] = extent(values), colour = ramp();
      for (let row = 0; row < colours.length; row++) {
        const value = values[row];
        colours[row] = Number.isFinite(value) ? colour[Math.max(0, Math.min(255, Math.floor(256 * (value - low) / (high - low))))] : NONE;
      }
      add(legend, "span", `${number(low)} or less`);
      add(legend, "span", undefined, "ramp").style.background =
        `linear-gradient(to right, ${[0, 51, 102, 153, 204, 255].map((at) => css(colour[at])).join(",")})`;
      add(legend, "span", `${number(high)} or more`);
      for (const [label, sign] of [["24 largest", -1], ["24 smallest", 1]]) {
        const button = add(legend, "button", label);
        button.type = "button";
        button.addEventListener("click", () => {
          const rows = Array.from(values.keys()).filter((row) => Number.isFinite(values[row]));
          rows.sort((one, other) => sign * (values[one] - values[other]));
          select(rows.slice(0, 24));
        });
      }
    }
    state.source.change.emit();
    listSelected();
  }

  function choose(wanted) {
    const rows = [];
    for (let row = 0; row < state.source.data.row.length; row++) if (wanted(row)) rows.push(row);
    select(rows);
  }

  function select(rows) {
    state.order = rows;
    state.shown = FIRST;
    state.source.selected.indices = rows.slice();
  }

  function selected() {
    state.shown = FIRST;
    const rows = state.source.selected.indices;
    const same = rows.length === state.order.length && rows.every((row, at) => row === state.order[at]);
    if (!same) state.order = Array.from(rows);
    listSelected();
    countSelected();
  }

  function listSelected() {
    const rows = state.order, sheet = find("sheet");
    sheet.replaceChildren();
    for (const row of rows.slice(0, state.shown)) {
      const tile = add(sheet, "li", undefined, "tile");
      tile.dataset.row = state.source.data.row[row];
      thumbnail(tile, row);
      add(tile, "span", state.source.data.path[row], "path");
      const figure = data.columns.length ? `, ${text(state.colour, row)}` : "";
      add(tile, "span", `row ${number(state.source.data.row[row])}${figure}`, "figure");
    }
    find("count").textContent = !rows.length ? hint
      : (rows.length === 1 ? "1 image is selected" : `${rows.length.toLocaleString("en")} images are selected`)
      + (data.columns.length ? `, each with its ${plain(title(data.columns[state.colour]))}` : "");
    find("save").disabled = find("clear").disabled = !rows.length;
    find("more").hidden = rows.length <= state.shown;
  }

  function countSelected() {
    for (const at of data.histograms) {
      const bars = state.bars[at], left = bars.data.left, count = left.length, values = valuesOf(at);
      const start = left[0], width = (bars.data.right[count - 1] - start) / count || 1;
      const chosen = new Int32Array(count);
      for (const row of state.source.selected.indices) {
        if (Number.isFinite(values[row])) chosen[Math.max(0, Math.min(count - 1, Math.floor((values[row] - start) / width)))]++;
      }
      bars.data = { ...bars.data, chosen: Array.from(chosen) };
    }
  }

  function range(event, at) {
    if (event.final === false || event.geometry.type !== "rect") return;
    const values = valuesOf(at), { x0, x1 } = event.geometry;
    const bars = state.bars[at].data, low = Math.min(x0, x1), high = Math.max(x0, x1);
    const from = low <= bars.left[0] ? -Infinity : low; // the last bars hold what lies beyond them
    const to = high >= bars.right[bars.right.length - 1] ? Infinity : high;
    choose((row) => values[row] >= from && values[row] <= to);
  }

  function hover(found, at) {
    const rows = found.index.indices, box = find("hover");
    if (!state.source || !rows.length) { box.hidden = true; return; }
    const { x, y } = found.geometry, xs = state.source.data[`x${at}`], ys = state.source.data[`y${at}`];
    let nearest = rows[0], best = Infinity;
    for (const row of rows) {
      const apart = (xs[row] - x) ** 2 + (ys[row] - y) ** 2;
      if (apart < best) { best = apart; nearest = row; }
    }
    if (box.hidden || box.dataset.place !== String(nearest)) describe(box, nearest);
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    box.style.left = `${Math.max(4, pointer.x + width + 24 > innerWidth ? pointer.x - width - 16 : pointer.x + 16)}px`;
    box.style.top = `${Math.max(4, Math.min(pointer.y + 16, innerHeight - height - 8))}px`;
  }

  function describe(box, row) {
    box.replaceChildren();
    box.dataset.place = row;
    box.dataset.row = state.source.data.row[row];
    thumbnail(box, row, "large");
    add(box, "div", state.source.data.path[row], "path");
    add(box, "div", `row ${number(state.source.data.row[row])}`, "figure");
    const list = add(box, "dl"), yes = [];
    data.columns.forEach((column, at) => {
      const isFlag = column.names.length === 2 && column.names[1] === "yes";
      if (isFlag && at !== state.colour) {
        if (valuesOf(at)[row] === 1) yes.push(column.title);
      } else if (list.childElementCount < 28 && text(at, row) !== "–") {
        add(list, "dt", title(column));
        add(list, "dd", text(at, row));
      }
    });
    if (yes.length) add(box, "p", yes.join(", "), "yes");
  }

  function save() {
    const quote = (value) => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
    const lines = [["row", "path", ...data.columns.map(title)]];
    for (const row of state.order) {
      const cells = data.columns.map((column, at) => {
        const value = valuesOf(at)[row];
        return column.names.length ? (value < 0 ? "" : column.names[value]) : Number.isFinite(value) ? String(value) : "";
      });
      lines.push([String(state.source.data.row[row]), state.source.data.path[row], ...cells]);
    }
    const content = lines.map((line) => line.map(quote).join(",")).join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
    link.download = "latentscan-selection.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    return content;
  }

  function move(event) {
    const plot = state.plots[Number(event.currentTarget.dataset.map)];
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const factor = { "+": 0.8, "=": 0.8, "-": 1.25 }[event.key];
    if (!steps[event.key] && !factor && event.key !== "0") return;
    event.preventDefault();
    if (event.key === "0") { plot.x_range.reset(); plot.y_range.reset(); return; }
    [plot.x_range, plot.y_range].forEach((one, axis) => {
      const middle = (one.start + one.end) / 2, half = (one.end - one.start) / 2;
      const by = steps[event.key] ? steps[event.key][axis] * half * 0.2 : 0;
      one.setv({ start: middle + by - half * (factor || 1), end: middle + by + half * (factor || 1) });
    });
  }

  function offer() {
    const menu = find("colour"), groups = new Map();
    data.columns.forEach((column, at) => {
      if (!groups.has(column.group)) {
        const group = add(menu, "optgroup");
        group.label = plain(column.group);
        groups.set(column.group, group);
      }
      add(groups.get(column.group), "option", column.title).value = at;
    });
    state.colour = data.colour;
    menu.value = data.colour;
    menu.addEventListener("change", () => { state.colour = Number(menu.value); paint(); });
  }

  function begin(found) {
    state.source = found.get_model_by_name("points");
    state.plots = data.maps.map((_, at) => found.get_model_by_name(`map${at}`));
    state.bars = Object.fromEntries(data.histograms.map((at) => [at, found.get_model_by_name(`bars${at}`)]));
    if (matchMedia("(pointer: coarse)").matches) { // a finger that moves over a map scrolls the page
      for (const plot of state.plots) for (const tool of plot.toolbar.tools) if (tool.active && tool.event_type !== "move") tool.active = false;
    }
    state.source.selected.change.connect(selected);
    for (const map of document.querySelectorAll("[data-map]")) {
      map.addEventListener("keydown", move);
      map.addEventListener("pointerleave", () => { find("hover").hidden = true; });
    }
    if (data.columns.length) { offer(); paint(); }
    find("save").addEventListener("click", save);
    find("clear").addEventListener("click", () => select([]));
    find("more").addEventListener("click", () => { state.shown += 4 * FIRST; listSelected(); });
    document.addEventListener("latentscan-theme", () => { if (data.columns.length) paint(); });
    document.documentElement.dataset.ready = "yes";
  }

  addEventListener("pointermove", (event) => { pointer.x = event.clientX; pointer.y = event.clientY; }, true);
  const wait = () => {
    const found = (window.Bokeh?.documents ?? []).find((one) => one.get_model_by_name("points"));
    if (found) begin(found); else setTimeout(wait, 20);
  };
  addEventListener("DOMContentLoaded", wait);
  return { hover, range, select, save, state, data };
})();
