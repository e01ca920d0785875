"""Load YAML with limits: what is small in a file stays small in memory, and in an error message."""

import re

import yaml

MAX_BYTES = 1 << 16  # of a file, at most
MAX_LEVELS = 20  # of nesting
MAX_NODES = 10_000  # values; an alias counts as what it stands for
MAX_INTEGER = 1 << 64  # all magnitudes are below it


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what expands or nests beyond the limits, and a key that occurs twice."""

    def __init__(self, text):
        super().__init__(text)
        self._depth = 0
        self._sizes = {}

    def compose_node(self, parent, index):
        alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > MAX_LEVELS:
            raise yaml.YAMLError(f"more than {MAX_LEVELS} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not alias:
            pairs = node.value if isinstance(node.value, list) else []
            children = [child for pair in pairs for child in (pair if isinstance(pair, tuple) else (pair,))]
            self._sizes[id(node)] = 1 + sum(self._sizes[id(child)] for child in children)  # lint: integer sum
        if self._sizes.get(id(node), MAX_NODES + 1) > MAX_NODES:  # an alias inside of what it stands for has no size
            raise yaml.YAMLError(f"more than {MAX_NODES} values, aliases written out")
        return node

    def construct_mapping(self, node, deep=False):
        own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]  # a merged key may be overridden
        result = super().construct_mapping(node, deep)
        keys = [self.construct_object(key, deep=True) for key in own]
        if twice := [key for k, key in enumerate(keys) if key in keys[:k]]:
            raise yaml.YAMLError(f"the key {twice[0]!r} stands there twice")
        return result

    def construct_yaml_int(self, node):
        value = super().construct_yaml_int(node)
        if abs(value) >= MAX_INTEGER:
            raise yaml.YAMLError("an integer of more than 64 bits")
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
# Floats of YAML 1.2: PyYAML implements 1.1 and reads 1e-05 as text, but DVC writes 0.00001 like this.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def load(text: str | bytes) -> object:
    """Load a YAML document.

    Parameters
    ----------
    text : str or bytes
        Bytes are UTF-8.

    Returns
    -------
    object
        Nested dicts, lists and plain values.

    Raises
    ------
    yaml.YAMLError
        If the text is not plain YAML or exceeds a limit.
    """
    if len(text) > MAX_BYTES:
        raise yaml.YAMLError(f"more than {MAX_BYTES} bytes")
    try:
        loader = _Loader(text.decode() if isinstance(text, bytes) else text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, MemoryError):
        raise
    except Exception as error:  # PyYAML raises half a dozen kinds for malformed numbers, dates and escapes
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from None
