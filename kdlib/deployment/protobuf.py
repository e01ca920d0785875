"""Messages of Protocol Buffers, as far as ONNX needs them. The same content gives the same bytes.

A message is the bytes of its fields. Reference: protobuf.dev/programming-guides/encoding.
"""

# Wire types.
VARINT = 0
BYTES = 2


def _varint(value):
    """Encode an integer of 64 bits, seven bits at a time, the lowest first; a negative one as its two's complement."""
    value = value & (2**64 - 1)
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])


def message(*fields: tuple[int, int | bytes | str | list | None]) -> bytes:
    """Encode a message.

    Parameters
    ----------
    *fields : (number, value)
        In the order of the result. A value is an integer, a text, or bytes (of a message or of anything else). A value
        of None is left out. A list repeats the field, once for each item.
    """
    result = b""
    for number, value in fields:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, int):
                result += _varint(number << 3 | VARINT) + _varint(item)
            elif item is not None:
                content = item.encode() if isinstance(item, str) else item
                result += _varint(number << 3 | BYTES) + _varint(len(content)) + content
    return result
