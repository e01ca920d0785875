"""Messages of Protocol Buffers, as far as ONNX needs them: the same content gives the same bytes.

A message is the bytes of its fields. Reference: protobuf.dev/programming-guides/encoding.
"""

VARINT, BYTES = 0, 2  # wire types


def _varint(value):
    """An integer of 64 bits, seven at a time, the lowest first; a negative one as its two's complement."""
    value, result = value & (2**64 - 1), bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])


def message(*fields):
    """bytes of fields (number, value), in their order. value: an integer, bytes of a message or else, or a text.

    A field of None is left out; a list is the field repeated.
    """
    result = b""
    for number, value in fields:
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, int):
                result += _varint(number << 3 | VARINT) + _varint(one)
            elif one is not None:
                content = one.encode() if isinstance(one, str) else one
                result += _varint(number << 3 | BYTES) + _varint(len(content)) + content
    return result
