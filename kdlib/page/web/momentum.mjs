// Stochastic gradient descent with momentum: kdlib/learning/optimizers.py, and the rate of kdlib/learning/recipe.py.

const FLUSH = 1.5 * 2 ** -77;

/** The factor of the learning rate after a share of the steps. */
const SCHEDULES = new Map([
    ["constant", () => 1],
    ["linear", (share) => 1 - share],
]);

/** Learning rate of a step, of `steps` in all. */
export function rateAt(recipe, step, steps) {
    if (!SCHEDULES.has(recipe.schedule)) {
        throw new Error(`schedule: got ${recipe.schedule}; needs one of ${[...SCHEDULES.keys()].join(", ")}`);
    }
    const rate = recipe.rate * SCHEDULES.get(recipe.schedule)(step / steps);
    const rising = recipe.warmup * steps;
    return step + 1 < rising ? rate * ((step + 1) / rising) : rate;
}

/** How many steps go between two calls of `flush`, so that a running mean stays above the subnormal numbers. */
function flushPeriod(decay) {
    let [period, power] = [1, decay];
    while (power * decay > 2 ** -26 && period < 1024) {
        [period, power] = [period + 1, power * decay];
    }
    return period;
}

/** v <- momentum v + g; p <- p - rate v, or with Nesterov p <- p - rate (g + momentum v), each step in float32. */
export class Momentum {
    constructor(parameters, { momentum, nesterov }) {
        this.parameters = parameters;
        this.velocity = new Float32Array(parameters.length);
        [this.momentum, this.nesterov] = [Math.fround(momentum), nesterov];
        [this.period, this.steps] = [flushPeriod(momentum), 0];
    }

    step(gradient, learningRate) {
        const { fround } = Math;
        const { parameters, velocity, momentum, nesterov } = this;
        const rate = fround(learningRate);
        const flush = ++this.steps % this.period === 0;
        for (let i = 0; i < parameters.length; i++) {
            velocity[i] = fround(velocity[i] * momentum) + gradient[i];
            const direction = nesterov ? fround(gradient[i] + fround(velocity[i] * momentum)) : velocity[i];
            parameters[i] -= fround(direction * rate);
            if (flush) {
                velocity[i] = fround(velocity[i] + FLUSH) - FLUSH;
            }
        }
    }
}
