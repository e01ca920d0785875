// Elements, whose texts are never read as HTML.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith("on")) {
            node.addEventListener(name.slice(2), value);
        } else if (value !== false && value !== null) {
            node.setAttribute(name, value === true ? "" : value);
        }
    }
    node.append(...children);
    return node;
}

export const element = (tag, attributes = {}, ...children) => filled(document.createElement(tag), attributes, children);

export const drawn = (tag, attributes = {}, ...children) =>
    filled(document.createElementNS(SVG, tag), attributes, children);

export const byId = (id) => document.getElementById(id);

/** A labelled slider that sets and shows a value of the state. range: [least, most, step]. */
export function slider(state, name, label, range, shown) {
    const [min, max, step] = range;
    const output = element("output");
    const input = element("input", {
        type: "range",
        "aria-label": label,
        min,
        max,
        step,
        oninput: () => state.set({ [name]: Number(input.value) }),
    });
    state.follow([name], () => {
        input.value = state.get(name);
        output.value = shown(state.get(name));
        input.setAttribute("aria-valuetext", output.value);
    });
    return element("label", { class: "slider" }, label, output, input);
}

/** A labelled choice of a value of the state. options: [[value, text], ...]; values are as the default's type. */
export function choice(state, name, label, options) {
    const of = (text) => (typeof state.defaults[name] === "number" ? Number(text) : text);
    const select = element(
        "select",
        { onchange: () => state.set({ [name]: of(select.value) }) },
        ...options.map(([value, text]) => element("option", { value }, text)),
    );
    state.follow([name], () => {
        select.value = state.get(name);
    });
    return element("label", {}, label, element("span"), select);
}

/** A table of probabilities: a row for each class, a bar and a number for each of the networks. */
export class Bars {
    constructor(place, classes, networks, caption) {
        const long = classes.some((name) => name.length > 6);
        const head = networks.map(([kind, text]) =>
            element("th", { scope: "col" }, element("b", { class: kind }, text)),
        );
        this.cells = classes.map(() => networks.map(([kind]) => this.cell(kind)));
        this.rows = classes.map((name, i) => {
            const cells = this.cells[i].map(({ root }) => element("td", {}, root));
            return element("tr", {}, element("th", { scope: "row", title: name }, name), ...cells);
        });
        this.foot = element("tfoot");
        const table = element(
            "table",
            { class: long ? "bars long" : "bars" },
            element("caption", {}, caption),
            element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "class"), ...head)),
            element("tbody", {}, ...this.rows),
            this.foot,
        );
        place.replaceChildren(table);
    }

    cell(kind) {
        const [bar, number] = [element("i"), element("span")];
        return { bar, number, root: element("div", { class: `bar ${kind}` }, bar, number) };
    }

    /** values: for each network the probabilities of the classes. label: the right class, or -1. */
    show(values, label, texts = values.map((of) => Array.from(of, (p) => p.toFixed(4)))) {
        this.rows.forEach((row, i) => {
            row.classList.toggle("label", i === label);
            this.cells[i].forEach(({ bar, number }, k) => {
                bar.style.width = `${100 * values[k][i]}%`;
                number.textContent = texts[k][i];
            });
        });
    }
}
