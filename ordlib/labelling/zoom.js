// Which part of the image the canvas shows: a box fills it; wheel, two fingers or a key go nearer.

const NEAREST = 12;

class Zoom {
  constructor() {
    this.fingers = new Map(); // pointer -> place on the canvas
    this.reset();
  }

  reset() {
    this.times = 1;
    this.centre = null; // image pixels; null for that of the box
  }

  // Image pixels to screen pixels: times zoom, plus x and y.
  view([left, top, right, bottom], { clientWidth: width, clientHeight: height }) {
    const zoom = this.times * Math.min(width / (right - left), height / (bottom - top));
    const [cx, cy] = this.centre ?? [(left + right) / 2, (top + bottom) / 2];
    return { zoom, x: width / 2 - cx * zoom, y: height / 2 - cy * zoom };
  }

  // Go nearer; what was at one place of the canvas is at another one then.
  go(factor, [fromX, fromY], [toX, toY], { zoom, x, y }, { clientWidth, clientHeight }) {
    const times = Math.max(1, Math.min(NEAREST, this.times * factor));
    const now = (zoom * times) / this.times;
    this.times = times;
    this.centre = times === 1 ? null : [
      (fromX - x) / zoom + (clientWidth / 2 - toX) / now,
      (fromY - y) / zoom + (clientHeight / 2 - toY) / now,
    ];
  }

  // Takes in where a finger is. Whether two of them moved the image.
  finger(event, view, canvas) {
    const before = [...this.fingers.values()];
    this.fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
    const now = [...this.fingers.values()];
    if (before.length !== 2 || now.length !== 2) return false;
    const [far, near] = [before, now].map(([p, q]) => Math.hypot(p[0] - q[0], p[1] - q[1]));
    const [from, to] = [before, now].map(([p, q]) => [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2]);
    if (far > 0) this.go(near / far, from, to, view, canvas);
    return true;
  }

  lift(event) {
    this.fingers.delete(event.pointerId);
  }
}
