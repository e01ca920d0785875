// A pad for mouse, finger, pen and keyboard.

import { paint } from "./model.mjs";
import { image } from "./strokes.mjs";

const MOVE = 1 / 24;

/** The pad: `row` is the image, and `changed` is called when it is another. */
export class Pad {
    constructor(canvas, content, box, changed) {
        Object.assign(this, { canvas, content, box, changed, strokes: [], pen: [0.5, 0.5], down: false, row: null });
        const [height, width] = content.image;
        [canvas.width, canvas.height] = [2 * 280, Math.round((2 * 280 * height) / width)];
        canvas.addEventListener("pointerdown", (event) => this.begin(event));
        canvas.addEventListener("pointermove", (event) => this.go(event));
        canvas.addEventListener("pointerup", () => this.lift());
        canvas.addEventListener("pointercancel", () => this.lift());
        canvas.addEventListener("keydown", (event) => this.key(event));
        canvas.addEventListener("blur", () => this.lift());
        this.copy(new Float64Array(height * width));
    }

    at(event) {
        const box = this.canvas.getBoundingClientRect();
        return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    }

    begin(event) {
        this.canvas.setPointerCapture(event.pointerId);
        this.pen = this.at(event);
        this.press();
    }

    press() {
        this.down = true;
        this.strokes.push([this.pen]);
        this.drawn();
    }

    lift() {
        this.down = false;
    }

    go(event) {
        if (this.down) {
            this.moveTo(this.at(event));
        }
    }

    moveTo(pen) {
        this.pen = pen.map((value) => Math.min(Math.max(value, 0), 1));
        if (this.down) {
            this.strokes[this.strokes.length - 1].push(this.pen);
            this.drawn();
        } else {
            this.show();
        }
    }

    key(event) {
        const moves = { ArrowLeft: [-MOVE, 0], ArrowRight: [MOVE, 0], ArrowUp: [0, -MOVE], ArrowDown: [0, MOVE] };
        if (moves[event.key]) {
            this.moveTo(this.pen.map((value, k) => value + moves[event.key][k]));
        } else if (event.key === " ") {
            this.down ? this.lift() : this.press();
        } else if (event.key === "Escape") {
            this.clear();
        } else {
            return;
        }
        event.preventDefault();
    }

    drawn() {
        this.row = image(this.strokes, this.content.image, this.content.highest, this.box);
        this.show();
        this.changed(this.row);
    }

    /** An image in place of strokes. */
    copy(row) {
        [this.strokes, this.row, this.down] = [[], Float64Array.from(row), false];
        this.show();
        this.changed(this.row);
    }

    clear() {
        this.copy(new Float64Array(this.row.length));
    }

    /** What the networks see, and over it the strokes as they were drawn. */
    show() {
        const context = this.canvas.getContext("2d");
        const { width, height } = this.canvas;
        const seen = document.createElement("canvas");
        paint(seen, this.row, this.content.image, this.content.highest);
        context.clearRect(0, 0, width, height);
        context.imageSmoothingEnabled = false;
        context.globalAlpha = this.strokes.length ? 0.35 : 1;
        context.drawImage(seen, 0, 0, width, height);
        context.globalAlpha = 1;
        Object.assign(context, {
            lineWidth: 2 * this.box.pen * height * 0.6,
            lineCap: "round",
            lineJoin: "round",
            strokeStyle: "#1b1b1b",
        });
        for (const [first, ...rest] of this.strokes) {
            context.beginPath();
            context.moveTo(first[0] * width, first[1] * height);
            for (const [x, y] of rest.length ? rest : [first]) {
                context.lineTo(x * width, y * height);
            }
            context.stroke();
        }
        if (document.activeElement === this.canvas) {
            context.beginPath();
            context.arc(this.pen[0] * width, this.pen[1] * height, 9, 0, 7);
            Object.assign(context, { strokeStyle: "#0072b2", lineWidth: 3 });
            context.stroke();
        }
    }
}
