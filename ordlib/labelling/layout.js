// The elements of the page, and those of its parts that show counts.

function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function key(name) {
  return element("kbd", {}, name);
}

function keys(...names) {
  return element("div", {}, ...names.map(key));
}

function button(action, className, ...children) {
  return element("button", { type: "button", className, "data-action": action }, ...children);
}

// All elements of the page, once; `part` names those that change.
function layout(root) {
  const part = {
    bar: element("div", { className: "fill" }),
    left: element("span", { className: "left" }),
    title: element("h1", { "aria-live": "polite" }),
    place: element("span", { className: "place" }),
    name: element("span", { className: "name" }),
    canvas: element("canvas", { "aria-label": "the photograph with the joints marked" }),
    message: element("p", { className: "message", role: "alert", hidden: true }),
    names: [element("b"), element("b")],
    back: button("back", "small", key("⌫"), " back"),
    near: element("span"),
    done: element("section", { className: "done" }),
    exported: element("pre", { className: "exported", hidden: true }),
    help: help(),
  };
  part.answers = element("div", { className: "answers" },
    button("closer", "first", element("i", { className: "circle" }, "1"), part.names[0],
      element("span", {}, " is closer"), keys("1", "←")),
    button("ambiguous", "same", element("b", {}, "same or hard to tell"), keys("3", "↓")),
    button("farther", "second", element("i", { className: "square" }, "2"), part.names[1],
      element("span", {}, " is closer"), keys("2", "→")));
  root.classList.add("ordlib-annotate");
  root.tabIndex = 0;
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // keys are ours, not JupyterLab's
  root.replaceChildren(
    element("div", { className: "bar", role: "progressbar", "aria-label": "progress" }, part.bar),
    element("header", {}, part.title, part.place, part.left),
    part.message,
    element("div", { className: "stage" }, part.canvas, part.name,
      element("span", { className: "hint" }, "left and right are the person's own")),
    part.done,
    part.exported,
    element("footer", {}, part.answers,
      element("div", { className: "clicking" },
        button("absent", "", element("b", {}, "not in the image"), " ", key("N"))),
      element("div", { className: "others" }, part.back,
        button("skip", "small", key("S"), " put aside"),
        button("whole", "small", key("Z"), part.near),
        button("export", "small", "export"),
        button("help", "small", key("?"), " help"))),
    part.help);
  return part;
}

function help() {
  const line = (names, text) =>
    element("tr", {}, element("td", {}, ...names.map(key)), element("td", {}, text));
  return element("section", { className: "help", hidden: true, role: "dialog" },
    element("h2", {}, "How it works"),
    element("p", {}, "Say which of the two marked joints is closer to the camera, as far as you" +
      " can see. Left and right are the person's own. About the same, or hidden and hard to" +
      " tell, is an answer too. The same pair comes for many images in a row. Every answer is" +
      " saved at once; close the window whenever you like."),
    element("table", {},
      line(["1", "←", "C"], "the left one (circle) is closer; or click its marker"),
      line(["2", "→", "F"], "the left one is farther, so the right one (square) is closer"),
      line(["3", "↓", "A"], "about the same, ambiguous, hard to tell"),
      line(["⌫", "B"], "back: take the last answer back, as often as you like"),
      line(["S"], "put the image aside; the last page takes all of these up again"),
      line(["Z"], "whole image, or the person alone; while clicking joints: nearer, as with the" +
        " wheel or two fingers"),
      line(["N"], "while clicking joints: this joint is not in the image"),
      line(["?"], "this help")),
    button("help", "", "close"));
}

function showProgress(part, { progress, annotator, phase }) {
  const { images, placed, complete } = progress;
  const clicking = phase === "joint";
  const share = Math.round(100 * (clicking ? placed / images : progress.share));
  part.bar.style.width = `${share}%`;
  part.bar.parentElement.setAttribute("aria-valuenow", share);
  const done = clicking ? `${placed} of ${images} images clicked`
    : `${complete} of ${images} images done`;
  part.left.textContent = `${done} · ${annotator}`;
}

function showDone(part, { progress, answers, aside, notes }) {
  const counts = [
    [progress.complete, "images complete"],
    [progress.aside, "images put aside"],
    ...(progress.unusable ? [[progress.unusable, "images with too few joints"]] : []),
    [progress.answers, "answers"],
  ];
  part.title.textContent = progress.aside ? "Done, but for what was put aside" : "All done";
  part.place.textContent = "";
  const list = counts.map(([count, what]) =>
    element("li", {}, element("b", {}, String(count)), ` ${what}`));
  part.done.replaceChildren(
    element("ul", {}, ...list),
    element("p", {}, "Your answers: ", element("code", {}, answers)),
    element("p", {}, "Export writes the data set with the answers of all annotators."),
    button("export", "main", "Export"),
    ...(aside.length ? [" ", button("again", "", "Take up what was put aside")] : []),
    part.exported,
    ...(aside.length ? [element("p", {}, `Put aside: ${aside.join(", ")}`)] : []),
    ...notes.map((note) => element("p", { className: "note" }, note)));
}
