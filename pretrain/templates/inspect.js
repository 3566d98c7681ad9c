// Opens a head: its matrix, its lines, and where the chosen piece looks.
"use strict";
{
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const { pieces, heads, layers, rtl } = facts;
  const num = pieces.length;
  const find = (id) => document.getElementById(id);
  const links = [...document.querySelectorAll(".head")];
  const cells = [...document.querySelectorAll(".cell")];
  const cellOf = new Array(num);
  for (const cell of cells) {
    cell.pieces = cell.dataset.p.split(" ").map(Number);
    for (const piece of cell.pieces) cellOf[piece] = cell;
  }
  const make = (tag, kind, ...inner) => {
    const element = document.createElement(tag);
    if (kind) element.className = kind;
    element.append(...inner);
    return element;
  };
  const percent = (share) => {
    if (share > 0 && share < 0.0005) return "< 0.1\u00a0%";
    return `${(100 * share).toFixed(share >= 0.0995 ? 0 : 1)}\u00a0%`;
  };
  const language = document.querySelector(".text").lang;
  // A piece within its word: letters keep their joined forms, as the elements change no font.
  const label = (number) => {
    const [kind, , before, shown, after, note] = pieces[number];
    const name = make("bdi", kind === "special" ? "piece special" : "piece");
    if (kind === "special") {
      name.dir = "ltr";
      name.append(shown);
      return [name];
    }
    if (language) name.lang = language;
    name.append(before, make("b", "", shown || "␣"), after);
    return note ? [name, " ", make("small", "", make("bdi", "", note))] : [name];
  };

  // The weights: a byte is 255 times the root; what is 0 shares what its row has left.
  const cache = new Map();
  const restore = (levels, window) => {
    const weights = new Float32Array(num * num);
    for (let row = 0; row < num; row++) {
      const first = window === null ? 0 : Math.max(0, row - window);
      const last = window === null ? num - 1 : Math.min(num - 1, row + window);
      let sum = 0;
      let left = 0;
      for (let key = first; key <= last; key++) {
        const level = levels[row * num + key];
        if (level === 0) left++;
        sum += weights[row * num + key] = (level / 255) ** 2;
      }
      const rest = left > 0 ? Math.max(1 - sum, 0) / left : 0;
      const total = sum + rest * left;
      for (let key = first; key <= last; key++) {
        const at = row * num + key;
        weights[at] = (levels[at] === 0 ? rest : weights[at]) / total;
      }
    }
    return weights;
  };
  const weightsOf = async (head) => {
    if (!cache.has(head)) {
      const bytes = Uint8Array.from(atob(facts.weights[head]), (one) => one.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
      const levels = new Uint8Array(await new Response(stream).arrayBuffer());
      if (cache.size > 24) cache.clear();
      cache.set(head, restore(levels, facts.windows[Math.floor(head / heads)]));
    }
    return cache.get(head);
  };

  let open = -1;
  let weights = null;
  let pinned = { piece: 0, way: "from" };
  let hovered = null;
  const now = () => hovered ?? pinned;
  const share = ({ piece, way }, other) =>
    way === "from" ? weights[piece * num + other] : weights[other * num + piece];

  // The matrix.
  const matrix = find("matrix");
  const canvas = make("canvas");
  const board = make("div", "board", canvas);
  const crossRow = make("div", "cross");
  const crossColumn = make("div", "cross");
  const tops = make("div", "tops");
  const sides = make("div", "sides");
  let size = 2;
  const named = num <= 80;
  const upright = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Bopo}\p{sc=Yiii}]/u;
  const fromRight = /[\p{sc=Arab}\p{sc=Hebr}\p{sc=Syrc}\p{sc=Thaa}\p{sc=Nkoo}\p{sc=Adlm}]/u;
  const build = () => {
    document.querySelector(".views").classList.toggle("wide-matrix", num > 40);
    board.append(crossRow, crossColumn);
    matrix.append(tops, sides, board);
    canvas.width = canvas.height = num;
    if (named) {
      for (let piece = 0; piece < num; piece++) {
        const side = make("span", "", ...label(piece));
        const top = make("span", "", ...label(piece));
        const letters = pieces[piece][3] + pieces[piece][2];
        if (upright.test(letters)) top.classList.add("upright");
        else if (fromRight.test(letters)) top.classList.add("rl");
        watch(side, () => ({ piece, way: "from" }));
        watch(top, () => ({ piece, way: "to" }));
        sides.append(side);
        tops.append(top);
      }
    }
    fit();
  };
  const fit = () => {
    const room = matrix.parentElement.clientWidth - (named ? 150 : 4);
    const fits = Math.floor(room / num);
    size = Math.max(named ? 13 : 2, Math.min(26, fits));
    canvas.style.width = canvas.style.height = `${size * num}px`;
    for (const name of [...sides.children, ...tops.children]) {
      name.style.fontSize = `${Math.min(13, size - 2)}px`;
      name.style.lineHeight = `${size}px`;
      if (name.parentElement === sides) name.style.height = `${size}px`;
      else name.style.width = `${size}px`;
    }
  };
  const drawMatrix = () => {
    const [red, green, blue] = getComputedStyle(document.documentElement)
      .getPropertyValue("--heat").split(",").map(Number);
    const image = new ImageData(num, num);
    for (let at = 0; at < num * num; at++) {
      image.data.set([red, green, blue, Math.round(255 * Math.sqrt(weights[at]))], 4 * at);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const limit = (value) => Math.max(0, Math.min(num - 1, Math.floor(value)));
    const column = limit(((event.clientX - box.left) / box.width) * num);
    return [limit(((event.clientY - box.top) / box.height) * num), rtl ? num - 1 - column : column];
  };
  const read = (row, column) => {
    const line = find("readout");
    line.replaceChildren(
      ...label(row), " → ", ...label(column), `: ${percent(weights[row * num + column])}`,
    );
  };
  board.addEventListener("pointermove", (event) => {
    if (!weights) return;
    const [row, column] = place(event);
    read(row, column);
    hover({ piece: row, way: "from", column });
  });
  board.addEventListener("pointerleave", () => hover(null));
  board.addEventListener("click", (event) => pin({ piece: place(event)[0], way: "from" }));

  // The lines.
  const lines = find("lines");
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const all = document.createElementNS(space, "g");
  const one = document.createElementNS(space, "g");
  const asks = make("div", "side asks");
  const gets = make("div", "side gets");
  const MOST = 500;
  const buildLines = () => {
    for (let piece = 0; piece < num; piece++) {
      for (const [side, way] of [[asks, "from"], [gets, "to"]]) {
        const name = make("span", "", ...label(piece));
        watch(name, () => ({ piece, way }));
        side.append(name);
      }
    }
    all.setAttribute("class", "all");
    svg.setAttribute("viewBox", `0 0 100 ${num}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    svg.style.height = `${1.6 * num}rem`;
    svg.append(all, one);
    lines.classList.toggle("long", num > 48);
    lines.append(asks, svg, gets);
  };
  const path = (from, to, weight) => {
    const [start, end] = [from + 0.5, to + 0.5];
    const element = document.createElementNS(space, "path");
    element.setAttribute("d", `M0 ${start}C50 ${start} 50 ${end} 100 ${end}`);
    element.setAttribute("stroke-width", (0.6 + 5 * weight).toFixed(2));
    element.setAttribute("stroke-opacity", Math.min(1, 0.08 + Math.sqrt(weight)).toFixed(2));
    return element;
  };
  const drawLines = () => {
    const strong = [];
    const least = Math.max(0.03, 1.5 / num);
    for (let at = 0; at < num * num; at++) if (weights[at] >= least) strong.push(at);
    strong.sort((a, b) => weights[b] - weights[a]);
    const shown = strong.slice(0, MOST);
    all.replaceChildren(
      ...shown.map((at) => path(Math.floor(at / num), at % num, weights[at])),
    );
    find("some-lines").textContent = ` Weights from ${percent(
      shown.length === MOST ? weights[shown[MOST - 1]] : least,
    )} on; all of the chosen piece's from 1 %.`;
  };

  // What the chosen piece attends to, in words, in the text, in the matrix and in the lines.
  const SHOWN = 8;
  const rank = (state) => {
    const order = [...Array(num).keys()].sort((a, b) => share(state, b) - share(state, a));
    const to = state.way === "from";
    find("chosen").replaceChildren(
      "Piece ", String(state.piece), ", ", ...label(state.piece),
      to ? ", attends to:" : ", is attended to; of each piece's attention it gets:",
    );
    find("ranking").replaceChildren(
      ...order.slice(0, SHOWN).map((other) => {
        const bar = make("i");
        bar.style.width = `${100 * share(state, other)}%`;
        const line = make(
          "li", "", make("span", "n", percent(share(state, other))), make("span", "share", bar),
          make("span", "name", ...label(other)),
        );
        watch(line.lastChild, () => ({ piece: other, way: state.way }), true);
        return line;
      }),
    );
  };
  const tint = (state) => {
    const tints = new Map(cells.map((cell) => [cell, 0]));
    for (let other = 0; other < num; other++) {
      const cell = cellOf[other];
      // Of several pieces in the same letters, their sum; of what attends, their strongest.
      const before = tints.get(cell);
      const own = share(state, other);
      tints.set(cell, state.way === "from" ? before + own : Math.max(before, own));
    }
    for (const [cell, weight] of tints) {
      const strength = weight < 0.002 ? 0 : Math.min(0.62, 0.75 * Math.sqrt(weight));
      cell.style.backgroundColor = strength ? `rgba(var(--heat),${strength.toFixed(3)})` : "";
      cell.classList.toggle("chosen", cell === cellOf[state.piece]);
    }
  };
  const mark = (state) => {
    const to = state.way === "from";
    [asks, gets].forEach((side, number) => {
      [...side.children].forEach((name, piece) => {
        const isChosen = piece === state.piece && (number === 0) === to;
        const weight = (number === 1) === to ? share(state, piece) : 0;
        name.classList.toggle("on", isChosen);
        name.style.backgroundColor =
          weight > 0.01 ? `rgba(var(--heat),${(0.6 * Math.sqrt(weight)).toFixed(3)})` : "";
      });
    });
    const own = [];
    for (let other = 0; other < num; other++) {
      const weight = share(state, other);
      if (weight < 0.01) continue;
      own.push(to ? path(state.piece, other, weight) : path(other, state.piece, weight));
    }
    one.replaceChildren(...own);
    lines.classList.add("has-one");
    const put = (cross, at, isRow) => {
      cross.hidden = at === undefined;
      if (cross.hidden) return;
      cross.style.inset = "auto";
      cross.style[isRow ? "top" : "insetInlineStart"] = `${at * size}px`;
      cross.style[isRow ? "insetInlineStart" : "top"] = "0";
      cross.style.width = `${isRow ? num * size : size}px`;
      cross.style.height = `${isRow ? size : num * size}px`;
    };
    put(crossRow, to ? state.piece : undefined, true);
    put(crossColumn, to ? state.column : state.piece, false);
  };
  let asked = 0;
  const show = () => {
    if (!weights) return;
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(() => {
      const state = now();
      rank(state);
      tint(state);
      mark(state);
    });
  };
  const hover = (state) => {
    hovered = state;
    show();
  };
  const pin = (state) => {
    pinned = state;
    hovered = null;
    for (const input of document.querySelectorAll("[name=way]")) {
      input.checked = input.value === state.way;
    }
    for (const cell of cells) cell.tabIndex = cell === cellOf[state.piece] ? 0 : -1;
    const name = (state.way === "from" ? asks : gets).children[state.piece];
    const above = name.offsetTop - lines.scrollTop;
    if (above < 0 || above > lines.clientHeight - 30) {
      lines.scrollTop = name.offsetTop - lines.clientHeight / 2;
    }
    show();
  };
  function watch(element, state, isStill = false) {
    if (!isStill) {
      element.addEventListener("pointerenter", () => hover(state()));
      element.addEventListener("pointerleave", () => hover(null));
    }
    element.addEventListener("click", () => pin(state()));
  }
  for (const input of document.querySelectorAll("[name=way]")) {
    input.addEventListener("change", () => pin({ piece: pinned.piece, way: input.value }));
  }

  // The text: one stop of the tab key, arrows within; in letters of several pieces, one by one.
  cells.forEach((cell) => {
    cell.setAttribute("role", "button");
    cell.addEventListener("pointerenter", () => {
      const piece = cellOf[pinned.piece] === cell ? pinned.piece : cell.pieces[0];
      hover({ piece, way: pinned.way });
    });
    cell.addEventListener("pointerleave", () => hover(null));
    cell.addEventListener("click", () => {
      const at = cell.pieces.indexOf(pinned.piece);
      pin({ piece: cell.pieces[(at + 1) % cell.pieces.length], way: pinned.way });
    });
    cell.addEventListener("keydown", (event) => {
      const ahead = rtl ? "ArrowLeft" : "ArrowRight";
      const back = rtl ? "ArrowRight" : "ArrowLeft";
      const step = { [ahead]: 1, [back]: -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const piece = Math.max(0, Math.min(num - 1, pinned.piece + step));
      pin({ piece, way: pinned.way });
      cellOf[piece].focus();
    });
  });

  // The heads.
  const choose = async (head, focus = false) => {
    open = head;
    const [layer, within] = [Math.floor(head / heads), head % heads];
    links.forEach((link, number) => {
      link.tabIndex = number === head ? 0 : -1;
      if (number === head) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    });
    if (focus) links[head].focus();
    const [kind, score] = facts.kinds[head];
    const window = facts.windows[layer];
    find("opened").textContent =
      `Layer ${layer + 1}, head ${within + 1}: ${kind} (${score.toFixed(2)})` +
      (window === null ? "" : `; sees ${window} pieces on either side`);
    for (const row of document.querySelectorAll("#kinds tr.current")) row.classList.remove("current");
    find(`h-${layer + 1}-${within + 1}`).classList.add("current");
    const found = await weightsOf(head);
    if (open !== head) return;
    weights = found;
    drawMatrix();
    drawLines();
    show();
    history.replaceState(null, "", `#${layer + 1}.${within + 1}`);
  };
  links.forEach((link, head) => {
    link.setAttribute("role", "button");
    link.addEventListener("click", (event) => {
      event.preventDefault();
      choose(head);
    });
    link.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: heads, ArrowUp: -heads }[event.key];
      if (event.key === " ") event.preventDefault();
      if (!step) return;
      event.preventDefault();
      const next = head + step;
      if (next >= 0 && next < heads * layers) choose(next, true);
    });
  });
  const buttons = [...document.querySelectorAll(".kinds button")];
  for (const button of buttons) {
    button.disabled = false;
    button.addEventListener("click", () => {
      const wanted = button.getAttribute("aria-pressed") === "true" ? null : button.dataset.kind;
      for (const other of buttons) {
        other.setAttribute("aria-pressed", String(other.dataset.kind === wanted));
      }
      for (const link of links) {
        link.classList.toggle("dim", wanted !== null && link.dataset.kind !== wanted);
      }
    });
  }

  for (const element of document.querySelectorAll(".js")) element.hidden = false;
  document.body.classList.add("live");
  if (typeof DecompressionStream === "undefined") {
    find("opened").textContent = "This browser is too old to open a head; all else is here.";
  } else {
    build();
    buildLines();
    const masked = pieces.findIndex(([kind, source]) => kind === "special" && source >= 0);
    const first = pieces.findIndex(([kind]) => kind === "text");
    pin({ piece: masked >= 0 ? masked : Math.max(first, 0), way: "from" });
    const asking = /^#(\d+)\.(\d+)$/.exec(location.hash);
    const wanted = asking ? (asking[1] - 1) * heads + (asking[2] - 1) : -1;
    const scores = facts.kinds.map(([, score, kind]) =>
      kind === "broad" || kind === "mixed" ? 0 : score);
    const best = scores.indexOf(Math.max(...scores));
    choose(wanted >= 0 && wanted < heads * layers ? wanted : best);
    addEventListener("resize", () => {
      fit();
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawMatrix);
  }
}
