"""A digest of what a module's code is, whatever its layout, comments and docstrings are; for tests that guard a version.

`python -m tests.support.fingerprint FILE ...` prints that of the files together.
"""

import ast
import hashlib
import sys
from pathlib import Path


def fingerprint(*files: Path) -> str:
    """Return 16 hexadecimal digits that change with the code of `files`; the same on every Python from 3.11 to 3.14."""
    described = "\n".join(_describe(ast.parse(file.read_text("utf-8"))) for file in files)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _describe(value: object) -> str:
    """Return a node of the syntax tree as text, without docstrings, and without fields that are None or empty.

    Newer Pythons add fields to nodes, which are None or empty where a module does not use what is new.
    """
    if isinstance(value, ast.AST):
        fields = [(name, _describe(field)) for name, field in ast.iter_fields(value) if field is not None]
        return f"{type(value).__name__}({', '.join(f'{name}={text}' for name, text in fields if text)})"
    if isinstance(value, list):
        return ", ".join(f"[{_describe(element)}]" for element in value if not _is_docstring(element))
    return repr(value)


def _is_docstring(node: object) -> bool:
    """Whether `node` is a string that stands alone: a docstring, or one below a constant."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


if __name__ == "__main__":
    sys.stdout.write(fingerprint(*map(Path, sys.argv[1:])) + "\n")
