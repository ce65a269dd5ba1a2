// What is drawn over the photograph: the two joints, places that were clicked, a lens.

const COLOURS = ["#e69f00", "#0072b2"]; // told apart with every kind of colour vision
const SMALL = 420; // side of a canvas on which markers are smaller
const INKS = ["#000000", "#ffffff"];

function outlined(context, path, colour, width) {
  for (const [stroke, extra] of [["#000000", 5], ["#ffffff", 2.5], [colour, 0]]) {
    context.strokeStyle = stroke;
    context.lineWidth = width + extra;
    context.stroke(path);
  }
}

// Both joints, the left one first: a circle with 1 and a square with 2, named on the outer side.
function drawPair(context, joints, width, height) {
  const [[x1, y1], [x2, y2]] = joints.map((joint) => joint.at);
  const largest = Math.min(width, height) < SMALL ? 10 : 14;
  const radius = Math.max(largest - 4, Math.min(largest, Math.hypot(x2 - x1, y2 - y1) / 2));
  joints.forEach(({ at: [x, y] }, i) => {
    const ring = new Path2D();
    if (i === 0) ring.arc(x, y, radius, 0, 2 * Math.PI);
    else ring.rect(x - radius, y - radius, 2 * radius, 2 * radius);
    outlined(context, ring, COLOURS[i], 3.5);
    const dot = new Path2D();
    dot.arc(x, y, 1.5, 0, 2 * Math.PI);
    outlined(context, dot, COLOURS[i], 2);
  });
  joints.forEach(({ at: [x, y], name }, i) => {
    const side = i === 0 ? -1 : 1;
    drawLabel(context, `${i + 1}  ${name}`, x, y, side * (radius + 12), i, width, height);
  });
}

// A label left or right of a place, on the other side where the canvas ends.
function drawLabel(context, text, x, y, gap, i, width, height) {
  context.font = `600 ${Math.min(width, height) < SMALL ? 13 : 15}px system-ui, sans-serif`;
  const wide = context.measureText(text).width + 18;
  const space = Math.abs(gap);
  const fits = gap < 0 ? x - space - wide > 4 : x + space + wide < width - 4;
  const left = (gap < 0) === fits ? x - space - wide : x + space;
  const top = Math.max(4, Math.min(height - 28, y - 13));
  const chip = new Path2D();
  chip.roundRect(left, top, wide, 26, i === 0 ? 13 : 3);
  context.fillStyle = COLOURS[i];
  context.strokeStyle = "#ffffff";
  context.lineWidth = 3;
  context.stroke(chip);
  context.fill(chip);
  context.fillStyle = INKS[i];
  context.textBaseline = "middle";
  context.fillText(text, left + 9, top + 14);
}

function drawLimb(context, from, to) {
  const limb = new Path2D(`M${from}L${to}`);
  context.strokeStyle = "#0008";
  context.lineWidth = 4;
  context.stroke(limb);
  context.strokeStyle = COLOURS[0];
  context.lineWidth = 1.5;
  context.stroke(limb);
}

function short(name) {
  return name.replace("top of the ", "").replace(/^(left|right) /, (side) => `${side[0]} `);
}

function drawDot(context, [x, y], name) {
  const dot = new Path2D();
  dot.arc(x, y, 4, 0, 2 * Math.PI);
  outlined(context, dot, COLOURS[0], 2);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.strokeStyle = "#000000";
  context.lineWidth = 3;
  const text = short(name);
  const left = name.startsWith("right ") ? x - 9 - context.measureText(text).width : x + 9;
  context.strokeText(text, left, y);
  context.fillStyle = "#ffffff";
  context.fillText(text, left, y);
}

// A round magnifying glass beside the pointer, for joints of a few pixels.
function drawLens(context, image, [px, py], { zoom, x, y }, state, width) {
  const radius = 70;
  const times = 3;
  const cx = px + (px + 2.5 * radius > width ? -1.4 : 1.4) * radius;
  const cy = Math.max(radius + 4, py - radius);
  const [wide, high] = state.image.size;
  const rim = new Path2D();
  rim.arc(cx, cy, radius, 0, 2 * Math.PI);
  context.save();
  context.clip(rim);
  context.fillStyle = "#16181b";
  context.fill(rim);
  const large = zoom * times;
  context.drawImage(
    image, cx - (px - x) * times, cy - (py - y) * times, wide * large, high * large);
  context.restore();
  outlined(context, rim, "#16181b", 1);
  const cross = new Path2D(
    `M${cx - 9} ${cy}H${cx - 3}M${cx + 3} ${cy}H${cx + 9}M${cx} ${cy - 9}V${cy - 3}M${cx} ${cy + 3}V${cy + 9}`);
  outlined(context, cross, COLOURS[0], 1.5);
}
