// The page of the annotation tool. `mount` draws it into an element and talks through a transport:
// HTTP to the server, or messages of a notebook widget (both at the end of this file). All state is
// the session's; this file shows it and sends what was pressed. It is one module with drawing.js,
// zoom.js and layout.js, joined by `ordlib.labelling.messages`.

const KEYS = {
  pair: {
    1: "closer", ArrowLeft: "closer", c: "closer",
    2: "farther", ArrowRight: "farther", f: "farther",
    3: "ambiguous", ArrowDown: "ambiguous", a: "ambiguous", " ": "ambiguous",
  },
  joint: { n: "absent", Delete: "absent" },
  every: { Backspace: "back", b: "back", s: "skip", z: "whole", "?": "help", h: "help" },
};
const ANSWERS = ["closer", "farther", "ambiguous"];
const IMAGES_KEPT = 12;
const LENS_BELOW = 3; // screen pixels for one of the image: where they are larger, it shows a blur
const REACH = 34; // how near to a marker a click must be to mean its joint, screen pixels

// Seconds that a question was in sight: a window in the background does not count.
class Clock {
  restart() {
    this.passed = 0;
    this.since = document.hidden ? null : performance.now();
  }
  toggle(hidden) {
    if (hidden && this.since !== null) this.passed += performance.now() - this.since;
    this.since = hidden ? null : performance.now();
  }
  seconds() {
    const running = this.since === null ? 0 : performance.now() - this.since;
    return Math.round(this.passed + running) / 1000;
  }
}

export function mount(root, transport) {
  const images = new Map(); // id -> promise of a decoded image, the latest used last
  const clock = new Clock();
  const part = layout(root);
  const zoom = new Zoom();
  const context = part.canvas.getContext("2d");
  let state = null;
  let image = null;
  let whole = false;
  let busy = false;
  let shown = false; // the image of the question is on the screen
  let pointer = null;
  let failed = null; // message that was not answered
  let pair = "";

  function load(id) {
    const known = images.get(id);
    images.delete(id);
    const loading = known ?? transport.image(id).then(async (address) => {
      const picture = new Image();
      picture.src = address;
      await picture.decode().finally(() => URL.revokeObjectURL(address));
      return picture;
    });
    images.set(id, loading);
    loading.catch(() => images.delete(id));
    while (images.size > IMAGES_KEPT) images.delete(images.keys().next().value);
    return loading;
  }

  async function send(message) {
    if (busy) return;
    busy = true;
    root.dataset.busy = "true";
    try {
      const reply = await transport.send({ token: state?.token, ...message });
      failed = null;
      await show(reply);
    } catch (error) {
      failed = message;
      tell(`This was not saved: ${error.message} All earlier answers are. Start the tool again if` +
        " it has ended, and open the address that it prints; or:", "error", true);
    } finally {
      busy = false;
      root.dataset.busy = "false";
    }
  }

  async function show(reply) {
    const same = reply.phase === "joint" && state?.phase === "joint" &&
      reply.image.id === state.image.id;
    if (!same) zoom.reset();
    state = reply;
    shown = false;
    image = null;
    root.dataset.phase = state.phase;
    tell(state.error ?? state.notice ?? "", state.error ? "error" : "notice");
    part.back.disabled = !state.can_go_back;
    showProgress(part, state);
    if (state.phase === "done") {
      showDone(part, state);
    } else {
      showQuestion();
      try {
        image = await load(state.image.id);
      } catch {
        tell(`The image ${state.image.name} cannot be shown; put it aside with S.`, "error");
      }
    }
    if (state.exported) part.exported.textContent = state.exported;
    part.exported.hidden = !state.exported;
    draw();
    shown = true;
    clock.restart();
    root.dataset.token = state.token; // set last: says that the question can be answered
    for (const next of state.upcoming) load(next).catch(() => {});
  }

  function showQuestion() {
    part.done.after(part.exported);
    part.near.textContent = state.phase === "joint" ? " zoom" : " whole image";
    part.name.textContent = state.image.name;
    if (state.phase === "joint") {
      const { name, place, size } = state.joint;
      part.title.replaceChildren("Click the ", element("b", {}, name));
      const own = /^(left|right) /.exec(name);
      part.place.textContent =
        `${own ? `the person's own ${own[1]} · ` : ""}joint ${place} of ${size}`;
      return;
    }
    part.title.textContent = "Which is closer to the camera?";
    part.place.textContent =
      `image ${state.group.place} of ${state.group.size} for this pair`;
    state.joints.forEach((joint, i) => { part.names[i].textContent = joint.name; });
    const now = state.joints.map((joint) => joint.name).join("/");
    part.answers.classList.toggle("new", now !== pair);
    pair = now;
  }

  function tell(text, kind, again = false) {
    part.message.hidden = !text;
    part.message.className = `message ${kind}`;
    part.message.replaceChildren(text, ...(again ? [button("again-send", "", "Try again")] : []));
  }

  // The person's box, or all of the image, fills the canvas.
  function view() {
    const all = whole || state.phase === "joint";
    return zoom.view(all ? [0, 0, ...state.image.size] : state.image.box, part.canvas);
  }

  // In a notebook the wheel scrolls, where nothing is to be clicked.
  function turned(event) {
    if (!shown || !state.image || !(state.phase === "joint" || event.ctrlKey)) return;
    event.preventDefault();
    const at = [event.offsetX, event.offsetY];
    const speed = event.ctrlKey ? 0.01 : 0.002; // a pinch on a touchpad comes in small steps
    zoom.go(Math.exp(-speed * event.deltaY), at, at, view(), part.canvas);
    draw();
  }

  function nearer() {
    if (state?.phase === "joint") {
      const { clientWidth, clientHeight } = part.canvas;
      const at = pointer ?? [clientWidth / 2, clientHeight / 2];
      if (zoom.times > 1) zoom.reset();
      else zoom.go(3, at, at, view(), part.canvas);
    } else {
      whole = !whole;
    }
    draw();
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = part.canvas;
    part.canvas.width = width * ratio;
    part.canvas.height = height * ratio;
    if (!state?.image || !width) return;
    const { zoom: times, x, y } = view();
    const [wide, high] = state.image.size;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.imageSmoothingQuality = "high";
    if (image) context.drawImage(image, x, y, wide * times, high * times);
    const onScreen = (point) => [point[0] * times + x, point[1] * times + y];
    if (state.phase === "pair") {
      drawPair(context, state.joints.map((j) => ({ ...j, at: onScreen(j.point) })), width, height);
    } else if (state.phase === "joint") {
      for (const limb of state.limbs) drawLimb(context, ...limb.map(onScreen));
      for (const { name, point } of state.clicked) drawDot(context, onScreen(point), name);
      if (image && pointer && times < LENS_BELOW) {
        drawLens(context, image, pointer, view(), state, width);
      }
    }
  }

  function press(action) {
    if (action === "help") {
      part.help.hidden = !part.help.hidden;
    } else if (action === "again-send" && failed) {
      send(failed);
    } else if (action === "export") {
      send({ type: "export" });
    } else if (action === "whole") {
      nearer();
    } else if (!part.help.hidden) {
      part.help.hidden = true;
    } else if (busy || !shown) {
      return;
    } else if (action === "back" && state.can_go_back) {
      send({ type: "back" });
    } else if (action === "again" && state.phase === "done") {
      send({ type: "again" });
    } else if (action === "skip" && state.image) {
      send({ type: "skip" });
    } else if (action === "absent" && state.phase === "joint") {
      send({ type: "joint", point: null, seconds: clock.seconds() });
    } else if (image && state.phase === "pair" && ANSWERS.includes(action)) {
      send({ type: "answer", answer: action, seconds: clock.seconds() });
    }
  }

  function clicked(event) {
    if (busy || !shown || !image || !part.help.hidden) return;
    const { zoom: times, x, y } = view();
    const at = [event.offsetX, event.offsetY];
    if (state.phase === "joint") {
      const point = [(at[0] - x) / times, (at[1] - y) / times];
      const inside = point.every((value, k) => value >= 0 && value <= state.image.size[k]);
      if (inside) send({ type: "joint", point, seconds: clock.seconds() });
    } else if (state.phase === "pair") {
      const far = state.joints.map(({ point }) =>
        Math.hypot(point[0] * times + x - at[0], point[1] * times + y - at[1]));
      if (Math.min(...far) < REACH && far[0] !== far[1]) {
        press(far[0] < far[1] ? "closer" : "farther");
      }
    }
  }

  function keyed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const action = name === "Escape" && !part.help.hidden
      ? "help" : KEYS[state?.phase]?.[name] ?? KEYS.every[name];
    if (!action) return;
    event.preventDefault(); // no scrolling, no press of the focused button
    event.stopPropagation();
    if (!event.repeat) press(action);
  }

  function hover(event) {
    const away = event.type !== "pointermove" && event.type !== "pointerdown";
    if (away) zoom.lift(event);
    pointer = away || event.pointerType === "touch" ? null : [event.offsetX, event.offsetY];
    if (!shown || !state.image) return;
    const moved = !away && event.pointerType === "touch" && zoom.finger(event, view(), part.canvas);
    if (moved || state.phase === "joint") draw();
  }

  const listening = transport.wholePage ? document : root;
  const hidden = () => clock.toggle(document.hidden);
  const resized = new ResizeObserver(draw);
  listening.addEventListener("keydown", keyed);
  document.addEventListener("visibilitychange", hidden);
  part.canvas.addEventListener("click", clicked);
  for (const kind of ["down", "move", "up", "leave", "cancel"]) {
    part.canvas.addEventListener(`pointer${kind}`, hover);
  }
  part.canvas.addEventListener("wheel", turned, { passive: false });
  root.addEventListener("click", (event) => {
    const pressed = event.target.closest("button");
    if (pressed) press(pressed.dataset.action);
    if (pressed && event.detail) pressed.blur(); // so that Enter does not repeat a click
    if (!transport.wholePage) root.focus({ preventScroll: true });
  });
  resized.observe(part.canvas);
  send({ type: "state" });
  return () => {
    listening.removeEventListener("keydown", keyed);
    document.removeEventListener("visibilitychange", hidden);
    resized.disconnect();
  };
}

// Talks to `ordlib.labelling.server`.
function http() {
  return {
    wholePage: true,
    async send(message) {
      const answered = await fetch("/message", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(message),
      }).catch(() => { throw new Error("the tool does not answer."); });
      if (!answered.ok) throw new Error(`${await answered.text()}.`);
      return answered.json();
    },
    image: async (id) => `/image/${id}`,
  };
}

// Talks to `ordlib.labelling.widget`.
function messages(model) {
  const waiting = new Map();
  let last = 0;
  const receive = ({ id, reply }, buffers) => {
    const resolve = waiting.get(id);
    waiting.delete(id);
    resolve?.(reply ?? buffers[0]);
  };
  const ask = (message) => new Promise((resolve, reject) => {
    const id = ++last;
    waiting.set(id, resolve);
    model.send({ ...message, id });
    const seconds = message.type === "export" ? 3600 : 15;
    setTimeout(
      () => waiting.delete(id) && reject(new Error("the kernel does not answer.")), 1000 * seconds);
  });
  model.on("msg:custom", receive);
  return {
    wholePage: false,
    send: ask,
    async image(image) {
      const bytes = await ask({ type: "image", image });
      if (!bytes) throw new Error("the image file cannot be read.");
      return URL.createObjectURL(new Blob([bytes]));
    },
    close: () => model.off("msg:custom", receive),
  };
}

export default {
  render({ model, el }) {
    const root = element("div");
    el.append(root);
    const transport = messages(model);
    const unmount = mount(root, transport);
    return () => {
      unmount();
      transport.close();
    };
  },
};

const page = document.getElementById("ordlib-page");
if (page) {
  history.replaceState(null, "", "/"); // without the secret, which is in a cookie now
  mount(page, http());
}
