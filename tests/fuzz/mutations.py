"""Damaged and crafted content: functions of (content, random) to another content."""

import io
import json
import re
import zipfile

import numpy as np

from kdlib.io import artifacts

NUMBERS = (0, -1, 1, 255, 256, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 10**12, 10**30)
TEXTS = (
    "", " ", "\x1b[31m", "\0", "\x07", "é", "𝕏", "\u202e", "=1+1", "@a", "-", "</script><script>x", "<b>&amp;", '"',
    "'", "a" * 5000, "nan", "inf", "-0.0", "1e999", "1_0", "0x1F", "null", "[]", "{}", "[" * 2000, '{"a":' * 500,
    "\ufeff", "\n", "\r", ",", ";", "\ud800",
)  # fmt: skip
SPECIAL = (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e100, 1e38, -1e38, 1e-300, 0.0, -0.0, 1.0, -1.0, 2.0**24)


def damaged(content, random):  # noqa: C901 - ten kinds of damage
    """One to four damages of the kinds that disks and networks make, and of those that fuzzers make."""
    data = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        size = len(data)
        at, length = random.randrange(size + 1), random.choice((1, 2, 4, 8, 64, 512))
        kind = random.randrange(10)
        if kind == 0 and size:
            data[random.randrange(size)] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[at : at + length] = random.randbytes(length)
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            del data[at : at + length]
        elif kind == 4:
            data[at:at] = random.randbytes(length)
        elif kind == 5:
            data[at : at + length] = bytes(length)
        elif kind == 6:
            data[at : at + length] = b"\xff" * length
        elif kind == 7:
            start = random.randrange(size + 1)
            data[at : at + length] = data[start : start + length]
        elif kind == 8:
            width = random.choice((1, 2, 4, 8))
            value = random.choice(NUMBERS) % (1 << 8 * width)
            data[at : at + width] = value.to_bytes(width, random.choice(("little", "big")))
        else:
            data += data[at : at + length * 8]
    return bytes(data)


def _reshaped(array, random):
    size = array.size
    choices = [
        lambda: array[:0], lambda: array[..., :0], lambda: array[None], lambda: array[..., None], lambda: array.T,
        lambda: array.reshape(-1), lambda: array[:1], lambda: array[..., :1], lambda: array[:-1],
        lambda: array[..., :-1], lambda: np.concatenate([array, array]) if array.ndim else array, lambda: np.zeros(()),
        lambda: np.array(array.flat[0]) if size else array, lambda: np.repeat(array[None], 3, axis=0),
        lambda: array[::-1],
    ]  # fmt: skip
    return random.choice(choices)()


def _filled(array, random):
    array = array.copy()
    if not array.size:
        return array
    value = random.choice(SPECIAL if array.dtype.kind == "f" else NUMBERS)
    if array.dtype.kind in "iu":
        bounds = np.iinfo(array.dtype)
        value = min(max(value, bounds.min), bounds.max)
    if array.dtype.kind not in "fiu":
        return array
    at = random.choice((slice(None), 0, -1, random.randrange(len(array)) if array.ndim else ...))
    if array.ndim == 0:
        at = ...
    with np.errstate(over="ignore"):
        array[at] = value
    return array


def _retyped(array, random):
    if array.dtype.kind in "US":
        return np.array(random.choice(TEXTS)) if array.ndim == 0 or random.random() < 0.3 else _retold(array, random)
    kind = random.choice(("f2", "f4", "f8", ">f4", ">f8", "i1", "i8", ">i8", "u1", "u8", "?", "c8", "U3", "S2"))
    with np.errstate(all="ignore"):
        return (array.real if array.dtype.kind == "c" else array).astype(kind)


def _retold(array, random):
    names = [str(name) for name in array.reshape(-1)]
    for _ in range(random.choice((1, len(names)))):
        names[random.randrange(len(names))] = random.choice(TEXTS)
    return np.array(names).reshape(array.shape)


def crafted(arrays, random, others=()):
    """{name: array} that someone made of these with NumPy. others: arrays to put in their place."""
    arrays = dict(arrays)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not arrays:
            break
        name = random.choice(sorted(arrays))
        kind = random.randrange(8)
        if kind == 0:
            del arrays[name]
        elif kind == 1:
            arrays[random.choice((*TEXTS[1:9], *(f"weights_{k}" for k in range(3)), "x", "logits"))] = arrays[name]
        elif kind == 2 and others:
            arrays[name] = random.choice(others)
        elif kind == 3:
            arrays[name] = _retyped(arrays[name], random)
        elif kind == 4:
            arrays[name] = np.array(random.choice(TEXTS))
        elif kind == 5 and arrays[name].ndim:
            order = list(range(len(arrays[name])))
            random.shuffle(order)
            arrays[name] = arrays[name][order]
        elif kind == 6 and arrays[name].ndim:
            arrays[name] = _reshaped(arrays[name], random)
        else:
            arrays[name] = _filled(arrays[name], random)
    return arrays


def packed(arrays, random):
    """The bytes of an `.npz`, stored or deflated, with names that a ZIP can hold."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            archive.writestr(f"{name}.npy".encode(errors="replace").decode().replace("\0", "0"), member.getvalue())
    return file.getvalue()


def headed(content, random):
    """An archive with right checksums, whose arrays' headers lie, or whose members unpack to very much."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
    name = random.choice(sorted(members))
    data = members[name]
    kind = random.randrange(5)
    if kind < 3:
        end = 10 + int.from_bytes(data[8:10], "little")
        header = data[10:end].decode("latin1")
        if kind == 0:
            numbers = list(re.finditer(r"\d+", header))
            chosen = random.choice(numbers)
            header = header[: chosen.start()] + str(random.choice(NUMBERS)) + header[chosen.end() :]
        elif kind == 1:
            dtypes = (
                "<f8",
                "<f4",
                "|O",
                "<U0",
                "<U4",
                "|V8",
                "<M8[s]",
                "<f16",
                "|b1",
                "<i8",
                "|S0",
                "<c16",
                "{}",
                "<x9",
            )
            header = re.sub(r"'descr': '[^']*'", f"'descr': '{random.choice(dtypes)}'", header)
        else:
            header = damaged(header.encode("latin1"), random).decode("latin1")
        header = header.rstrip().ljust(end - 11) + "\n"
        members[name] = data[:8] + len(header).to_bytes(2, "little") + header.encode("latin1") + data[end:]
    elif kind == 3:
        shape = (random.choice((10**6, 3 * 10**7)),)
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
        members[name] = head.getvalue() + bytes(shape[0])
    else:
        members[name] = damaged(data, random)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if kind == 3 else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def rewritten(content, random):
    """A text with values, words and lines in other places, and with what no text should have."""
    lines = content.decode().splitlines()
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(lines))
        kind, text = random.randrange(8), random.choice(TEXTS)
        if kind == 0:
            lines.insert(at, random.choice(lines))
        elif kind == 1:
            del lines[at]
            lines = lines or [""]
        elif kind == 2:
            lines[at] = lines[at] + text
        elif kind == 3:
            lines[at] = text + lines[at]
        elif kind == 4:
            parts = re.split(r"([ :,])", lines[at])
            parts[random.randrange(len(parts))] = text
            lines[at] = "".join(parts)
        elif kind == 5:
            number = str(random.choice((*NUMBERS, *SPECIAL)))
            lines[at] = re.sub(r"-?\d+(\.\d+)?", number, lines[at], count=1)
        elif kind == 6:
            lines[at] = lines[at] * random.choice((2, 50))
        else:
            lines[at] = lines[at].replace(random.choice(" :,-"), text)
    return "\n".join(lines).encode(errors="surrogatepass")


YAML_VALUES = (
    "!!int ''", "!!bool x", "!!timestamp x", '"\\UFFFFFFFF"', "[" * 300, "2024-13-45", "&a [*a]", "*b", "!!binary x",
    "~", "{a: 1, a: 2}", "!!set {a}", "1e3", "1.0e+999", "0x" + "F" * 5000, "9" * 400, "[1, 2, 3]", "[[1]]", "yes", "'",
    "|", ">", "[a, b]", "-1", "0", "0.5", "1.0", "1000", "10", "[0.1, 0.2]", "{shift: 1}", "kd", "mse", "ls", "dkd",
    "iris", "wine",
)  # fmt: skip


def valued(content, random):
    """YAML with other values, and with anchors and aliases."""
    lines = content.decode().splitlines()
    keys = [k for k, line in enumerate(lines) if ":" in line]
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.choice(keys)
        if random.random() < 0.5 and (number := re.search(r"\d+(\.\d+)?", lines[at])):
            near = float(number[0]) * random.choice((0, 0.1, 0.5, 0.9, 2, 3, 10, 1000))
            near = round(near) if "." not in number[0] and near < 1e18 else near
            lines[at] = lines[at][: number.start()] + str(near) + lines[at][number.end() :]
            continue
        value = random.choice((*YAML_VALUES, *map(str, NUMBERS), *map(str, SPECIAL), *map(json.dumps, TEXTS)))
        lines[at] = lines[at].split(":")[0] + ": " + value
    if random.random() < 0.1:
        depth, width = random.randrange(2, 12), random.randrange(2, 12)
        laughs = ["l0: &l0 [" + ", ".join(["x"] * width) + "]"]
        laughs += [f"l{k + 1}: &l{k + 1} [{', '.join([f'*l{k}'] * width)}]" for k in range(depth)]
        lines = laughs + lines
    return "\n".join(lines).encode(errors="surrogatepass")


def sealed(arrays, name):
    """{name: array} with its digest made anew, under this name."""
    rest = {key: array for key, array in arrays.items() if key != name}
    return rest | {name: np.array(artifacts.array_digest(rest))}
