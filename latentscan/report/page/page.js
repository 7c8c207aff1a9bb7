"use strict";
window.latentscan = (() => {
  const data = JSON.parse(document.getElementById("latentscan-data").textContent);
  const find = (id) => document.getElementById(id);
  const FIRST = 60, NONE = 0x8a8f98ff, REACH = 6, hint = find("count").textContent;
  const state = { source: null, plots: [], rasters: [], ids: [], colours: null, chosen: null, marked: -1,
    colour: 0, shown: FIRST, order: [], waiting: false };
  const pointer = { x: 0, y: 0, adds: false };

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
    const quantile = (share) => finite[Math.round(share * (finite.length - 1))];
    const reach = 3 * (quantile(0.75) - quantile(0.25)) || Infinity; // few that lie far out leave colours to the others
    const low = Math.max(quantile(0.01), quantile(0.25) - reach), high = Math.min(quantile(0.99), quantile(0.75) + reach);
    return low < high ? [low, high] : [finite[0], finite[finite.length - 1] > finite[0] ? finite[finite.length - 1] : finite[0] + 1];
  }

  function ramp() {
    const [from, to] = isDark() ? [40, 255] : [0, 232];
    return Array.from({ length: 256 }, (_, at) => data.ramp[Math.round(from + (to - from) * at / 255)]);
  }

  function paint() {
    const column = data.columns[state.colour], values = valuesOf(state.colour), colours = state.colours;
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
    redraw();
    listSelected();
  }

  // points are drawn into a picture here: 140,000 of them in some ms, with or without a graphics card
  function disc(size) {
    const width = Math.max(1, Math.ceil(size)), middle = (width - 1) / 2, cover = new Float32Array(width * width);
    for (let at = 0; at < cover.length; at++) {
      const apart = Math.hypot(at % width - middle, Math.floor(at / width) - middle);
      cover[at] = Math.max(0, Math.min(1, size / 2 + 0.5 - apart));
    }
    return { width, cover };
  }

  function draw(at) {
    const plot = state.plots[at], ratio = window.devicePixelRatio || 1, one = data.maps[at];
    const width = Math.round(plot.inner_width * ratio), height = Math.round(plot.inner_height * ratio);
    if (!width || !height) return;
    const { start: left, end: right } = plot.x_range, { start: low, end: high } = plot.y_range;
    const xs = state.source.data[`x${at}`], ys = state.source.data[`y${at}`], colours = state.colours;
    const pixels = new Uint8ClampedArray(4 * width * height), ids = new Int32Array(width * height).fill(-1);
    const across = width / (right - left), up = height / (high - low);
    const zoom = Math.sqrt(Math.max(1, one.extent / (right - left)));
    const small = disc(ratio * Math.min(10, one.size * zoom)), large = disc(ratio * Math.min(10, Math.max(4, one.size * zoom)));

    const put = (row, stamp, opacity, id) => {
      const x = Math.round((xs[row] - left) * across - stamp.width / 2), y = Math.round((ys[row] - low) * up - stamp.width / 2);
      if (!(x > -stamp.width && x < width && y > -stamp.width && y < height)) return;
      const colour = colours[row], red = colour >>> 24, green = colour >>> 16 & 255, blue = colour >>> 8 & 255;
      for (let down = 0, cell = 0; down < stamp.width; down++) {
        for (let over = 0; over < stamp.width; over++, cell++) {
          const px = x + over, py = y + down, alpha = stamp.cover[cell] * opacity;
          if (alpha === 0 || px < 0 || py < 0 || px >= width || py >= height) continue;
          const place = py * width + px, to = 4 * place, under = pixels[to + 3] / 255 * (1 - alpha), whole = alpha + under;
          pixels[to] = (red * alpha + pixels[to] * under) / whole;
          pixels[to + 1] = (green * alpha + pixels[to + 1] * under) / whole;
          pixels[to + 2] = (blue * alpha + pixels[to + 2] * under) / whole;
          pixels[to + 3] = 255 * whole;
          ids[place] = id;
        }
      }
    };
    const some = state.order.length > 0, opacity = some ? 0.12 : one.opacity;
    for (let row = 0; row < xs.length; row++) if (!some || !state.chosen[row]) put(row, small, opacity, row);
    if (some) for (let row = 0; row < xs.length; row++) if (state.chosen[row]) put(row, large, 1, row);
    if (state.marked >= 0) ring(pixels, width, height, (xs[state.marked] - left) * across, (ys[state.marked] - low) * up, 9 * ratio);
    state.ids[at] = { ids, width, height };
    const raster = state.rasters[at], Kind = raster.data.picture[0].constructor;
    raster.data = { picture: [new Kind(pixels.buffer, [height, width])], x: [left], y: [low], width: [right - left], height: [high - low] };
  }

  function ring(pixels, width, height, x, y, radius) {
    const shade = isDark() ? 255 : 0;
    for (let py = Math.floor(y - radius - 2); py <= y + radius + 2; py++) {
      for (let px = Math.floor(x - radius - 2); px <= x + radius + 2; px++) {
        const off = Math.abs(Math.hypot(px - x, py - y) - radius);
        if (off < 1.6 && px >= 0 && py >= 0 && px < width && py < height) pixels.set([shade, shade, shade, 255], 4 * (py * width + px));
      }
    }
  }

  // all of a map in its frame, with one scale along both axes
  function fit(at) {
    const plot = state.plots[at], { inner_width: width, inner_height: height } = plot, { extent, middle } = data.maps[at];
    if (!width || !height) return;
    [[plot.x_range, width / height], [plot.y_range, height / width]].forEach(([one, shape], axis) => {
      const half = extent / 2 * Math.max(1, shape), ends = [middle[axis] - half, middle[axis] + half];
      one.setv({ start: ends[0], end: ends[1], reset_start: ends[0], reset_end: ends[1] });
    });
    redraw(at);
  }

  function redraw(at) {
    state.stale ??= new Set();
    for (const one of at === undefined ? state.plots.keys() : [at]) state.stale.add(one);
    if (state.waiting) return;
    state.waiting = true;
    queueMicrotask(() => {
      state.waiting = false;
      for (const one of state.stale) draw(one);
      state.stale.clear();
    });
  }

  function choose(wanted) {
    const rows = [];
    for (let row = 0; row < state.source.data.row.length; row++) if (wanted(row)) rows.push(row);
    select(rows);
  }

  function select(rows) {
    state.order = rows;
    state.shown = FIRST;
    state.marked = -1;
    state.chosen.fill(0);
    for (const row of rows) state.chosen[row] = 1;
    redraw();
    listSelected();
    countSelected();
  }

  function within(event, at) {
    if (event.final === false) return;
    const { type, x, y, x0, x1, y0, y1 } = event.geometry;
    const xs = state.source.data[`x${at}`], ys = state.source.data[`y${at}`], kept = pointer.adds ? state.chosen.slice() : null;
    const [low, high] = type === "rect" ? [[Math.min(x0, x1), Math.min(y0, y1)], [Math.max(x0, x1), Math.max(y0, y1)]]
      : [[Math.min(...x), Math.min(...y)], [Math.max(...x), Math.max(...y)]];
    const inside = (px, py) => {
      let odd = false;
      for (let one = 0, other = x.length - 1; one < x.length; other = one++) {
        if ((y[one] > py) !== (y[other] > py) && px < (x[other] - x[one]) * (py - y[one]) / (y[other] - y[one]) + x[one]) odd = !odd;
      }
      return odd;
    };
    choose((row) => kept?.[row] || (xs[row] >= low[0] && xs[row] <= high[0] && ys[row] >= low[1] && ys[row] <= high[1]
      && (type === "rect" || inside(xs[row], ys[row]))));
  }

  function listSelected() {
    const rows = state.order, sheet = find("sheet");
    sheet.replaceChildren();
    for (const row of rows.slice(0, state.shown)) {
      const tile = add(sheet, "li", undefined, "tile");
      tile.dataset.row = state.source.data.row[row];
      tile.tabIndex = 0;
      for (const [event, marked] of [["pointerenter", row], ["focus", row], ["pointerleave", -1], ["blur", -1]]) {
        tile.addEventListener(event, () => { state.marked = marked; redraw(); });
      }
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
      for (const row of state.order) {
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

  function under(event, at) {
    const plot = state.plots[at], drawn = state.ids[at], reach = REACH * (window.devicePixelRatio || 1);
    const x = (event.x - plot.x_range.start) / (plot.x_range.end - plot.x_range.start) * drawn.width;
    const y = (event.y - plot.y_range.start) / (plot.y_range.end - plot.y_range.start) * drawn.height;
    let nearest = -1, best = reach;
    for (let py = Math.max(0, Math.ceil(y - reach)); py <= Math.min(drawn.height - 1, y + reach); py++) {
      for (let px = Math.max(0, Math.ceil(x - reach)); px <= Math.min(drawn.width - 1, x + reach); px++) {
        const id = drawn.ids[py * drawn.width + px], apart = Math.hypot(px + 0.5 - x, py + 0.5 - y);
        if (id >= 0 && apart < best) { best = apart; nearest = id; }
      }
    }
    return nearest;
  }

  function hover(event, at) {
    const box = find("hover"), nearest = state.ids[at] ? under(event, at) : -1;
    if (nearest < 0) { box.hidden = true; return; }
    if (box.hidden || box.dataset.place !== `${at} ${nearest}`) describe(box, nearest, at);
    box.hidden = false;
    const { width, height } = box.getBoundingClientRect();
    box.style.left = `${Math.max(4, pointer.x + width + 24 > innerWidth ? pointer.x - width - 16 : pointer.x + 16)}px`;
    box.style.top = `${Math.max(4, Math.min(pointer.y + 16, innerHeight - height - 8))}px`;
  }

  // an image with its attributes, and with the figures of the store that the map is of
  function describe(box, row, map) {
    box.replaceChildren();
    box.dataset.place = `${map} ${row}`;
    box.dataset.row = state.source.data.row[row];
    thumbnail(box, row, "large");
    add(box, "div", state.source.data.path[row], "path");
    add(box, "div", `row ${number(state.source.data.row[row])}`, "figure");
    const list = add(box, "dl"), yes = [];
    data.columns.forEach((column, at) => {
      const isOwn = column.group === "attributes" || column.group === data.maps[map].store;
      if (!isOwn && at !== state.colour) return;
      const isFlag = column.names.length === 2 && column.names[1] === "yes";
      if (isFlag && at !== state.colour) {
        if (valuesOf(at)[row] === 1) yes.push(column.title);
      } else if (list.childElementCount < 28 && text(at, row) !== "–") {
        add(list, "dt", isOwn ? column.title : title(column));
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
    const stores = new Set(data.columns.map((column) => column.group)).size - data.columns.some((column) => column.group === "attributes");
    data.columns.forEach((column, at) => {
      if (!groups.has(column.group)) {
        const group = add(menu, "optgroup");
        group.label = plain(column.group);
        groups.set(column.group, group);
      }
      add(groups.get(column.group), "option", stores > 1 ? title(column) : column.title).value = at;
    });
    state.colour = data.colour;
    menu.value = data.colour;
    menu.addEventListener("change", () => { state.colour = Number(menu.value); paint(); });
  }

  function begin(found) {
    state.source = found.get_model_by_name("points");
    state.plots = data.maps.map((_, at) => found.get_model_by_name(`map${at}`));
    state.rasters = data.maps.map((_, at) => found.get_model_by_name(`raster${at}`));
    state.colours = new Uint32Array(state.source.data.row.length).fill(NONE);
    state.chosen = new Uint8Array(state.source.data.row.length);
    state.bars = Object.fromEntries(data.histograms.map((at) => [at, found.get_model_by_name(`bars${at}`)]));
    if (matchMedia("(pointer: coarse)").matches) { // a finger that moves over a map scrolls the page
      for (const plot of state.plots) for (const tool of plot.toolbar.tools) if (tool.active && tool.event_type !== "move") tool.active = false;
    }
    state.plots.forEach((plot, at) => {
      for (const one of [plot.x_range, plot.y_range]) one.change.connect(() => redraw(at));
      for (const one of [plot.properties.inner_width, plot.properties.inner_height]) one.change.connect(() => fit(at));
      fit(at);
    });
    for (const map of document.querySelectorAll("[data-map]")) {
      map.addEventListener("keydown", move);
      map.addEventListener("pointerleave", () => { find("hover").hidden = true; });
    }
    if (data.columns.length) { offer(); paint(); } else redraw();
    find("save").addEventListener("click", save);
    find("clear").addEventListener("click", () => select([]));
    find("more").addEventListener("click", () => { state.shown += 4 * FIRST; listSelected(); });
    document.addEventListener("latentscan-theme", () => { if (data.columns.length) paint(); else redraw(); });
    document.documentElement.dataset.ready = "yes";
  }

  for (const name of ["pointermove", "pointerdown", "pointerup"]) {
    addEventListener(name, (event) => { Object.assign(pointer, { x: event.clientX, y: event.clientY, adds: event.shiftKey }); }, true);
  }
  const wait = () => {
    const found = (window.Bokeh?.documents ?? []).find((one) => one.get_model_by_name("points"));
    if (found) begin(found); else setTimeout(wait, 20);
  };
  addEventListener("DOMContentLoaded", wait);
  return { hover, within, range, select, save, state, data };
})();
