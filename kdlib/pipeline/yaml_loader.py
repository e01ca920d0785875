"""YAML as a `params.yaml` needs it, with limits: what is small in a file stays small in memory, and in an error."""

import re

import yaml

BYTES = 1 << 16
DEPTH = 20
NODES = 10_000  # aliases count as what they stand for
INTEGER = 1 << 64


class _Loader(yaml.SafeLoader):
    """SafeLoader without what expands, nests without end, or is said twice."""

    def __init__(self, text):
        super().__init__(text)
        self._depth, self._sizes = 0, {}

    def compose_node(self, parent, index):
        alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEPTH:
            raise yaml.YAMLError(f"more than {DEPTH} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if not alias:
            pairs = node.value if isinstance(node.value, list) else []
            children = [child for pair in pairs for child in (pair if isinstance(pair, tuple) else (pair,))]
            self._sizes[id(node)] = 1 + sum(self._sizes[id(child)] for child in children)  # integers
        if self._sizes.get(id(node), NODES + 1) > NODES:  # an alias inside of what it stands for has no size
            raise yaml.YAMLError(f"more than {NODES} values, aliases written out")
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
        if abs(value) >= INTEGER:
            raise yaml.YAMLError("an integer of more than 64 bits")
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
# YAML 1.2's floats: PyYAML, of 1.1, takes 1e-05 for text, which is how DVC writes 0.00001.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def load(text):
    """The value of the YAML `text`, a string or bytes in UTF-8. Raises yaml.YAMLError for any that is not plain."""
    if len(text) > BYTES:
        raise yaml.YAMLError(f"more than {BYTES} bytes")
    try:
        loader = _Loader(text.decode() if isinstance(text, bytes) else text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, MemoryError):
        raise
    except Exception as error:  # of malformed numbers, dates and escapes PyYAML raises half a dozen kinds
        raise yaml.YAMLError(f"{type(error).__name__}: {error}") from None
