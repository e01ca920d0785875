// Part 5: the report's table, its verdicts and pictures.

import { byId, element } from "./dom.mjs";

const TEXTS = {
    "summary.svg": "Accuracy on the test split of teacher, baseline and student, with their sizes",
    "sweep.svg": "Validation loss of the student against the temperature",
};

export function worth(content) {
    const [head, ...rows] = content.worth.rows;
    const columns = head.map((name) => element("th", { scope: "col" }, name));
    const body = rows.map(([name, ...cells]) =>
        element(
            "tr",
            {},
            element("th", { scope: "row" }, name.replace(/^test /, "")),
            ...cells.map((cell) => element("td", {}, cell)),
        ),
    );
    byId("worth-table").replaceChildren(
        element(
            "table",
            {},
            element("caption", {}, "On the examples that each split tests on: mean ± std"),
            element("thead", {}, element("tr", {}, ...columns)),
            element("tbody", {}, ...body),
        ),
    );
    byId("worth-lines").replaceChildren(...content.worth.lines.map((line) => element("li", {}, line)));
    byId("worth-pictures").replaceChildren(
        ...Object.entries(content.worth.pictures).map(([name, src]) =>
            element("img", { src, alt: TEXTS[name] ?? name }),
        ),
    );
}
