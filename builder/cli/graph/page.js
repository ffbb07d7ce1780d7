"use strict";
// The page of one drawing. Texts of steps are put in as text, never as markup.
(() => {
  const drawing = JSON.parse(document.getElementById("drawing").textContent);
  const $ = (id) => document.getElementById(id);
  const steps = new Map(drawing.steps.map((step) => [step.id, step]));
  const users = new Map(drawing.steps.map((step) => [step.id, []]));
  for (const step of drawing.steps) {
    step.inputs = step.inputs.filter((id) => steps.has(id));
    for (const id of step.inputs) users.get(id).push(step.id);
  }
  const STATES = {
    done: "ran", cached: "from the cache", unneeded: "not needed", failed: "failed",
    cancelled: "cancelled", unreached: "not reached", image: "of the image",
  };
  const colourOf = (state) => (state === "image" ? "done" : state);

  // -- words ------------------------------------------------------------------------------------------------

  function bytes(count) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let unit = 0;
    while (count >= 1000 && unit < units.length - 1) { count /= 1000; unit += 1; }
    return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
  }
  function seconds(count) {
    if (count >= 60) return `${Math.floor(count / 60)} min ${Math.round(count % 60)} s`;
    return `${count.toFixed(count < 10 ? 2 : 1)} s`;
  }
  function clip(text, length) {
    const line = text.replace(/\s+/g, " ");
    return line.length > length ? `${line.slice(0, length - 1)}…` : line;
  }
  function brief(step) {
    const facts = [];
    if (step.seconds !== null) facts.push(seconds(step.seconds));
    if (step.layers.length) facts.push(bytes(step.layers.reduce((sum, layer) => sum + layer.size, 0)));
    else if (step.written !== null) facts.push(bytes(step.written));
    if (step.savedSeconds !== null) facts.push(`${seconds(step.savedSeconds)} saved`);
    return facts.join(" · ");
  }
  function add(parent, tag, text, attributes) {
    const made = document.createElement(tag);
    if (text !== undefined && text !== null) made.textContent = text;
    Object.assign(made, attributes || {});
    parent.append(made);
    return made;
  }

  // -- the head ---------------------------------------------------------------------------------------------

  $("title").textContent = $("title").title = drawing.title;
  function fact(name, value) {
    const item = add($("facts"), "li", name ? `${name} ` : "");
    add(item, "b", value);
  }
  const build = drawing.build;
  if (build) {
    fact("build", build.id.slice(0, 12));
    fact("", build.status);
    fact("took", seconds(build.seconds));
    const saved = drawing.steps.filter((step) => step.status === "cached" || step.status === "unneeded").length;
    fact("cache", `${saved} of ${drawing.steps.length} steps`);
    if (drawing.savedSeconds) fact("saved", seconds(drawing.savedSeconds));
    fact("", new Date(build.startedAt * 1000).toLocaleString());
  } else fact("", `${drawing.steps.length} entries of the image's history`);

  // -- the graph --------------------------------------------------------------------------------------------

  const stages = [...new Set(drawing.steps.map((step) => step.stage))].filter((stage) => stage);
  const elements = stages.map((stage, index) => ({ data: { id: `stage-${index}`, stage }, classes: "stage" }));
  for (const step of drawing.steps) {
    const state = colourOf(step.status);
    const title = clip(`${step.number} ${step.name}`.trim(), 42);
    const data = { id: step.id, title: [title, brief(step)].filter((line) => line).join("\n") };
    if (step.stage) data.parent = `stage-${stages.indexOf(step.stage)}`;
    elements.push({ data, classes: `step ${state}${step.isCritical ? " critical" : ""}` });
  }
  for (const step of drawing.steps)
    for (const id of step.inputs)
      elements.push({
        data: { id: `${id}>${step.id}`, source: id, target: step.id },
        classes: step.isCritical && steps.get(id).isCritical ? "critical" : "",
      });

  function look() {
    const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    const style = [
      { selector: "node.step", style: {
        shape: "round-rectangle", width: 290, height: 42, label: "data(title)", "text-wrap": "wrap",
        "text-max-width": 400, "text-valign": "center", "font-size": 11, "line-height": 1.25,
        "font-family": "system-ui, sans-serif", color: colour("ink"), "border-width": 1,
      } },
      { selector: "node.stage", style: {
        shape: "round-rectangle", label: "data(stage)", "text-valign": "top", "text-halign": "center",
        "font-size": 13, "font-weight": "bold", "text-margin-y": -4, color: colour("faint"),
        "text-background-color": colour("ground"), "text-background-opacity": 0.85, "text-background-padding": 2,
        "font-family": "system-ui, sans-serif", "background-color": colour("panel"), "border-width": 1,
        "border-color": colour("line"), padding: 14, events: "no",
      } },
      { selector: "edge", style: {
        width: 1.4, "curve-style": "bezier", "line-color": colour("edge"), "target-arrow-shape": "triangle",
        "target-arrow-color": colour("edge"), "arrow-scale": 0.8,
      } },
    ];
    for (const state of ["done", "cached", "unneeded", "failed", "cancelled", "unreached"])
      style.push({ selector: `node.${state}`, style: {
        "background-color": colour(state), "border-color": colour(`${state}-line`),
        "border-style": state === "unreached" ? "dashed" : "solid",
      } });
    style.push(
      { selector: "node.critical", style: { "border-width": 2.5 } },
      { selector: "edge.critical", style: {
        width: 2.6, "line-color": colour("done-line"), "target-arrow-color": colour("done-line"),
      } },
      { selector: ".dim", style: { opacity: 0.25 } },
      { selector: "edge.near", style: { width: 2.6, "line-color": colour("accent"), "target-arrow-color": colour("accent") } },
      { selector: "node.chosen", style: { "border-width": 4, "border-color": colour("accent") } },
    );
    return style;
  }

  // All at once leads arrows around steps, and takes a second of a processor for 200 of them. Larger graphs are
  // laid out stage by stage, and then the stages as boxes, in a fifth of that.
  function arrange() {
    const dagre = { name: "dagre", rankDir: "TB", nodeSep: 24, rankSep: 34, fit: false, animate: false };
    if (drawing.steps.length <= 60) {
      cy.layout(dagre).run();
      return;
    }
    const boxes = new Map();
    for (const stage of new Set(drawing.steps.map((step) => step.stage))) {
      const nodes = cy.nodes(".step").filter((node) => steps.get(node.id()).stage === stage);
      nodes.union(nodes.edgesWith(nodes)).layout(dagre).run();
      boxes.set(stage, { nodes, box: nodes.boundingBox({ includeLabels: false }) });
    }
    const outer = [];
    for (const [stage, { box }] of boxes)
      outer.push({ data: { id: `box-${stage}`, stage, width: box.w + 28, height: box.h + 28 } });
    const arrows = new Set();
    for (const step of drawing.steps)
      for (const id of step.inputs)
        if (steps.get(id).stage !== step.stage) arrows.add(JSON.stringify([steps.get(id).stage, step.stage]));
    for (const arrow of arrows) {
      const [source, target] = JSON.parse(arrow);
      outer.push({ data: { id: `arrow-${arrow}`, source: `box-${source}`, target: `box-${target}` } });
    }
    const plan = cytoscape({
      headless: true, styleEnabled: true, elements: outer,
      style: [{ selector: "node", style: { shape: "rectangle", width: "data(width)", height: "data(height)" } }],
    });
    plan.layout({ ...dagre, nodeSep: 44, rankSep: 58 }).run();
    cy.batch(() => {
      for (const [stage, { nodes, box }] of boxes) {
        const place = plan.getElementById(`box-${stage}`).position();
        nodes.shift({ x: place.x - box.x1 - box.w / 2, y: place.y - box.y1 - box.h / 2 });
      }
    });
    plan.destroy();
  }

  const preferred = matchMedia("(prefers-color-scheme: dark)");
  let theme = preferred.matches ? "dark" : "light";
  document.documentElement.dataset.theme = theme;
  const cy = cytoscape({
    container: $("graph"), elements, style: look(), minZoom: 0.03, maxZoom: 3,
    boxSelectionEnabled: false, autoungrabify: true,
    layout: { name: "preset" },
  });
  arrange();
  const READABLE = 0.55;
  function showAll() { cy.fit(undefined, 40); }
  showAll();
  if (cy.zoom() > 1.1) { cy.zoom(1.1); cy.center(); }
  else if (cy.zoom() < READABLE) {
    // Too much for one view: begin where the steps do.
    const { x, y } = cy.getElementById(drawing.steps[0].id).position();
    cy.zoom(READABLE * 1.3);
    cy.pan({ x: cy.width() / 2 - cy.zoom() * x, y: 70 - cy.zoom() * y });
  }

  function setTheme(name) {
    theme = name;
    document.documentElement.dataset.theme = name;
    cy.style(look());
  }
  preferred.addEventListener("change", (event) => setTheme(event.matches ? "dark" : "light"));

  // -- one step ---------------------------------------------------------------------------------------------

  let chosen = null;
  function choose(id, { zoom = false } = {}) {
    cy.elements(".chosen, .near").removeClass("chosen near");
    chosen = id;
    describe();
    if (id === null) return;
    const node = cy.getElementById(id);
    node.addClass("chosen");
    node.connectedEdges().addClass("near");
    const box = node.renderedBoundingBox();
    const isInside = box.x1 >= 0 && box.y1 >= 0 && box.x2 <= cy.width() && box.y2 <= cy.height();
    if (zoom || cy.zoom() < READABLE) cy.zoom({ level: Math.max(cy.zoom(), zoom ? 1.2 : READABLE), position: node.position() });
    if (zoom || !isInside || cy.zoom() === READABLE) cy.center(node);
  }
  function link(list, id) {
    const step = steps.get(id);
    const button = add(add(list, "li"), "button", clip(`${step.label}  ${step.label === step.name ? "" : step.name}`.trim(), 60), { type: "button" });
    button.addEventListener("click", () => choose(id));
  }
  function describe() {
    const panel = $("details");
    panel.replaceChildren();
    if (chosen === null) {
      add(panel, "h2", drawing.title);
      if (drawing.image) add(panel, "p", drawing.image, { className: "where" });
      if (build && build.error) add(panel, "div", `${build.error.code}: ${build.error.message}`, { className: "error" });
      add(panel, "p", "Choose a step, or press an arrow key. ? shows all keys.", { className: "hint" });
      return;
    }
    const step = steps.get(chosen);
    add(panel, "h2", step.name);
    const lines = step.lines ? (step.lines[0] === step.lines[1] ? `line ${step.lines[0]}` : `lines ${step.lines.join("–")}`) : "";
    add(panel, "p", [step.stage, step.number, lines].filter((part) => part).join(" · "), { className: "where" });
    const state = add(panel, "span", STATES[step.status], { className: "state" });
    const colour = colourOf(step.status);
    state.style.background = `var(--${colour})`;
    state.style.borderColor = `var(--${colour}-line)`;
    if (step.cause) add(panel, "div", step.cause, { className: "cause" });
    if (step.error) add(panel, "div", step.error, { className: "error" });
    if (step.text) add(panel, "pre", step.text);
    const table = add(panel, "table");
    const row = (name, value) => {
      if (value === null || value === undefined || value === "") return;
      const line = add(table, "tr");
      add(line, "th", name);
      add(line, "td", value);
    };
    row("took", step.seconds === null ? null : seconds(step.seconds) + (step.isCritical ? ", on the critical path" : ""));
    row("CPU time", step.cpuSeconds === null ? null : seconds(step.cpuSeconds));
    row("peak memory", step.peakMemory === null ? null : bytes(step.peakMemory));
    row("files written", step.written === null ? null : bytes(step.written));
    row("saved by the cache", step.savedSeconds === null ? null : seconds(step.savedSeconds));
    for (const layer of step.layers) row(`layer ${layer.number}`, `${bytes(layer.size)} ${layer.diffId.slice(0, 19)}`);
    row("cache key", step.key);
    for (const [name, ids] of [["Reads", step.inputs], ["Read by", users.get(chosen)]]) {
      if (!ids.length) continue;
      add(panel, "h3", name);
      const list = add(panel, "ul");
      for (const id of ids) link(list, id);
    }
  }
  cy.on("tap", (event) => {
    if (event.target === cy) choose(null);
    else if (event.target.isNode() && event.target.hasClass("step")) choose(event.target.id());
  });
  describe();

  // -- moving -----------------------------------------------------------------------------------------------

  function first() {
    const seen = drawing.steps.filter((step) => step.status === "failed");
    return (seen[0] || drawing.steps[0] || { id: null }).id;
  }
  function move(key) {
    if (chosen === null) return choose(first());
    const near = key === "ArrowUp" ? steps.get(chosen).inputs : key === "ArrowDown" ? users.get(chosen) : beside(key);
    if (near.length) choose(near[0]);
    return undefined;
  }
  function beside(key) {
    const here = cy.getElementById(chosen).position();
    const sign = key === "ArrowRight" ? 1 : -1;
    const distance = (node) => Math.abs(node.position("x") - here.x) + 9 * Math.abs(node.position("y") - here.y);
    return cy.nodes(".step").filter((node) => (node.position("x") - here.x) * sign > 1)
      .sort((one, other) => distance(one) - distance(other)).map((node) => node.id());
  }

  // -- search -----------------------------------------------------------------------------------------------

  let hits = [];
  function search() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter((word) => word);
    cy.elements().removeClass("dim");
    hits = [];
    $("found").textContent = "";
    if (!words.length) return;
    hits = drawing.steps.filter((step) => {
      const text = [step.label, step.name, step.text, step.cause, step.error, step.status, STATES[step.status]].join("\n").toLowerCase();
      return words.every((word) => text.includes(word));
    }).map((step) => step.id);
    const isHit = new Set(hits);
    cy.batch(() => {
      cy.nodes(".step").filter((node) => !isHit.has(node.id())).addClass("dim");
      cy.edges().addClass("dim");
    });
    $("found").textContent = hits.length === 1 ? "1 step" : `${hits.length} steps`;
  }
  function nextHit() {
    if (hits.length) choose(hits[(hits.indexOf(chosen) + 1) % hits.length], { zoom: true });
  }
  $("search").addEventListener("input", search);

  // -- keys -------------------------------------------------------------------------------------------------

  function critical() {
    const path = cy.nodes(".critical");
    if (path.length) { cy.fit(path, 60); choose(drawing.steps.find((step) => step.isCritical).id); }
  }
  const ACTIONS = {
    "/": () => $("search").select(), "?": () => $("keys").showModal(), f: showAll, c: critical,
    t: () => setTheme(theme === "dark" ? "light" : "dark"),
    "+": () => cy.zoom({ level: cy.zoom() * 1.25, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } }),
    "-": () => cy.zoom({ level: cy.zoom() / 1.25, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } }),
    Enter: () => choose(chosen === null ? first() : chosen, { zoom: true }),
    Escape: () => choose(null),
  };
  for (const key of ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"]) ACTIONS[key] = () => move(key);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    if (event.target === $("search")) {
      if (event.key === "Enter") nextHit();
      else if (event.key === "Escape") { $("search").value = ""; search(); $("graph").focus(); }
      else return;
    } else if (event.target.tagName === "BUTTON" && event.key === "Enter") return;
    else if (ACTIONS[event.key]) ACTIONS[event.key]();
    else return;
    event.preventDefault();
  });
  $("fit").addEventListener("click", showAll);
  $("theme").addEventListener("click", ACTIONS.t);
  $("help").addEventListener("click", ACTIONS["?"]);

  const present = new Set(drawing.steps.map((step) => step.status));
  for (const [state, name] of Object.entries(STATES)) {
    if (!present.has(state)) continue;
    const item = add($("legend"), "li");
    const box = add(item, "i");
    box.style.background = `var(--${colourOf(state)})`;
    box.style.borderColor = `var(--${colourOf(state)}-line)`;
    item.append(name);
  }
  $("graph").focus({ preventScroll: true });
  // For whoever measures or drives this page.
  document.documentElement.dataset.ready = String(drawing.steps.length);
})();
