// What the page's worker does: it trains in short slices, so that it hears at once what it is told.

import { sha256 } from "./sha256.mjs";
import { Training } from "./training.mjs";

const SLICE = 40; // milliseconds

/** scope: of a worker. It hears {start: {recipe, data}}, {run: steps}, {pause: true} and {rewind: true}. */
export function serve(scope) {
    let [started, training, until, waiting, measured] = [null, null, 0, false, []];

    const report = (rewound = false) => {
        const { step, steps, stepsOfEpoch, done } = training;
        const digest = step >= until ? sha256(training.bytes()) : null;
        scope.postMessage({
            step,
            steps,
            stepsOfEpoch,
            done,
            digest,
            rewound,
            measured,
            parameters: training.parameters,
        });
        measured = [];
    };

    const slice = () => {
        const end = performance.now() + SLICE;
        waiting = false;
        while (training.step < until && performance.now() < end) {
            const found = training.next();
            if (found) {
                measured.push(found);
            }
        }
        report();
        go();
    };

    const go = () => {
        if (training.step < until && !waiting) {
            waiting = true;
            setTimeout(slice, 0);
        }
    };

    scope.onmessage = ({ data: message }) => {
        if (message.start || message.rewind) {
            started = message.start ?? started;
            [training, until, measured] = [new Training(started.recipe, started.data), 0, []];
            report(true);
        }
        if (message.pause) {
            until = training.step;
            report();
        }
        if (message.run) {
            until = Math.min(training.step + message.run, training.steps);
            go();
        }
    };
}
