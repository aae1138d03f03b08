"""A fingerprint of code that does not depend on comments, docstrings, formatting or Python's version.

Print that of some files and folders:

    python -m tests.support.fingerprint imagetwins/ssim
"""

import ast
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path


def fingerprint(*paths: Path) -> str:
    """Return the fingerprint of some Python files and of all those in some folders, with their names below these."""
    found = hashlib.blake2b(digest_size=16)
    for name, file in sorted(_iter_files(paths)):
        found.update(f"{name}\n{describe(file.read_text(encoding='utf-8'))}\n".encode())
    return found.hexdigest()


def _iter_files(paths: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        if path.is_dir():
            yield from ((file.relative_to(path).as_posix(), file) for file in path.rglob("*.py"))
        else:
            yield path.name, path


def describe(source: str) -> str:
    """Return the syntax tree of `source` as text that is the same in every version of Python since 3.11."""
    return _describe(ast.parse(source))


def _describe(node: object) -> str:
    if isinstance(node, list):
        return f"[{','.join(_describe(item) for item in node if not _is_docstring(item))}]"
    if not isinstance(node, ast.AST):
        # Which characters repr() escapes depends on Python's version.
        return ascii(node)
    # Newer versions add fields, which are None or empty where the code does not use them.
    fields = ((name, getattr(node, name, None)) for name in sorted(node._fields))
    described = (f"{name}={_describe(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({','.join(described)})"


def _is_docstring(item: object) -> bool:
    """Tell a string that stands alone, of a module, a class, a function or a constant: it does nothing."""
    return isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) and isinstance(item.value.value, str)


if __name__ == "__main__":
    print(fingerprint(*map(Path, sys.argv[1:])))  # noqa: T201
