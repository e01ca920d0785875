// The state that the parts share and the address holds.

const QUIET = 300; // milliseconds before the address follows: a browser takes no more than a few a second

/** What it holds: numbers and texts. Listeners are called after each change. */
export class State {
    constructor(defaults) {
        this.defaults = defaults;
        this.values = { ...defaults };
        this.listeners = [];
        this.timer = 0;
        this.part = location.hash.slice(1).split("&")[0];
        this.part = this.part.includes("=") ? "" : this.part;
        for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
            const own = defaults[name];
            const value = typeof own === "number" ? Number(text) : text;
            if (name in defaults && text !== "" && !Number.isNaN(value)) {
                this.values[name] = value;
            }
        }
    }

    get(name) {
        return this.values[name];
    }

    set(changes) {
        Object.assign(this.values, changes);
        clearTimeout(this.timer);
        this.timer = setTimeout(() => history.replaceState(null, "", this.address()), QUIET);
        this.tell(changes);
    }

    /** Calls the listeners of these names. */
    tell(changes) {
        for (const listener of this.listeners) {
            listener(changes);
        }
    }

    /** The part, and what differs from the defaults. */
    address() {
        const differing = Object.entries(this.values).filter(([name, value]) => value !== this.defaults[name]);
        return `#${[this.part, new URLSearchParams(differing).toString()].filter(Boolean).join("&")}`;
    }

    /** Calls `listener` now, and whenever one of the names has changed. */
    follow(names, listener) {
        this.listeners.push((changes) => {
            if (names.some((name) => name in changes)) {
                listener();
            }
        });
        listener();
    }
}
