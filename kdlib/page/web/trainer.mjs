// The worker in which a student is trained, and what it has told.

import { lessonData } from "./lesson.mjs";

export class Trainer {
    /** kernel: the text of the worker's modules. heard: called after each message. */
    constructor(content, examples, state, kernel, heard) {
        Object.assign(this, { content, examples, state, heard, live: [], last: null, running: false, wanted: 0 });
        const source = new Blob([kernel, "\nmodules.worker.serve(self);"], { type: "text/javascript" });
        this.worker = new Worker(URL.createObjectURL(source));
        this.worker.onmessage = ({ data }) => this.hear(data);
        this.begin(state.get("step"));
    }

    /** From the state, and on to this step. */
    begin(step) {
        [this.running, this.wanted] = [false, step];
        this.worker.postMessage({ start: lessonData(this.content, this.examples, this.state) });
    }

    run() {
        this.running = true;
        this.worker.postMessage({ run: Number.MAX_SAFE_INTEGER });
    }

    pause() {
        this.running = false;
        this.worker.postMessage({ pause: true });
    }

    one() {
        this.running = false;
        this.worker.postMessage({ run: 1 });
    }

    rewind() {
        this.running = false;
        this.worker.postMessage({ rewind: true });
    }

    hear(message) {
        this.last = message;
        this.live = message.rewound ? [] : [...this.live, ...message.measured];
        if (message.rewound && this.wanted > 0) {
            this.worker.postMessage({ run: this.wanted });
            this.wanted = 0;
        } else if (message.digest && message.step !== this.state.get("step")) {
            this.state.set({ step: message.step });
        }
        this.running = this.running && !message.done;
        this.heard();
    }
}
