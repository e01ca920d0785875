// What is drawn becomes an image like those of the dataset.

const FINE = 4; // dots of the drawing along a pixel's side
const LENGTH = 1.8; // of a drawing's strokes together, in its heights, as it is of digits

/**
 * {top, bottom, left, right} of what is above a quarter of the highest value, as shares of the frame, on average, and
 * the radius of a pen that leaves as much ink as the images have, as a share of the height.
 */
export function usualBox(rows, [height, width], highest) {
    const box = { top: 0, bottom: 0, left: 0, right: 0 };
    let ink = 0;
    for (const row of rows) {
        const dots = Array.from(row.keys()).filter((i) => row[i] > highest / 4);
        const [down, across] = [dots.map((i) => Math.floor(i / width)), dots.map((i) => i % width)];
        box.top += Math.min(height - 1, ...down) / height / rows.length;
        box.bottom += (Math.max(0, ...down) + 1) / height / rows.length;
        box.left += Math.min(width - 1, ...across) / width / rows.length;
        box.right += (Math.max(0, ...across) + 1) / width / rows.length;
        ink += row.reduce((total, value) => total + value, 0) / (highest * row.length * rows.length);
    }
    const pen = (ink * (width / height)) / (2 * LENGTH * (box.bottom - box.top));
    return { ...box, pen: Math.min(Math.max(pen, 0.02), 0.12) };
}

/** Strokes, lists of [x, y], moved and enlarged into the box: as high as it, or less if they are too wide. */
function fitted(strokes, box, aspect) {
    const xs = strokes.flat().map(([x]) => x * aspect);
    const ys = strokes.flat().map(([, y]) => y);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const [high, wide] = [box.bottom - box.top - 2 * box.pen, aspect - 2 * box.pen];
    const factor = Math.min(high / Math.max(bottom - top, 0.1), wide / Math.max(right - left, 0.1));
    const [middle, centre] = [(box.top + box.bottom) / 2, ((box.left + box.right) / 2) * aspect];
    const half = ((right - left) * factor) / 2 + box.pen;
    const moved = Math.min(Math.max(centre, half), aspect - half);
    const place = ([x, y]) => [
        (x * aspect - (left + right) / 2) * factor + moved,
        (y - (top + bottom) / 2) * factor + middle,
    ];
    return strokes.map((stroke) => stroke.map(place));
}

function distance([x, y], [ax, ay], [bx, by]) {
    const [dx, dy] = [bx - ax, by - ay];
    const square = dx * dx + dy * dy;
    const along = square ? Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / square, 0), 1) : 0;
    return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}

/** The image of strokes: of the FINE x FINE dots of a pixel the share that is inked, times the highest value. */
export function image(strokes, [height, width], highest, box) {
    const row = new Float64Array(height * width);
    const aspect = width / height;
    const lines = fitted(strokes, box, aspect).map((points) => (points.length > 1 ? points : [points[0], points[0]]));
    for (let i = 0; i < height * FINE; i++) {
        for (let j = 0; j < width * FINE; j++) {
            const dot = [((j + 0.5) / (width * FINE)) * aspect, (i + 0.5) / (height * FINE)];
            if (
                lines.some((points) =>
                    points.some((point, k) => k > 0 && distance(dot, points[k - 1], point) <= box.pen),
                )
            ) {
                row[Math.floor(i / FINE) * width + Math.floor(j / FINE)] += 1 / (FINE * FINE);
            }
        }
    }
    return row.map((share) => Math.round(share * highest));
}
