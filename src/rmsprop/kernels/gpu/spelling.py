"""Functions whose operators are spelled as calls, for a compiler whose own operators round less well."""

import ast
import inspect
import linecache
import textwrap
from collections.abc import Mapping
from typing import Any


class _Spelling(ast.NodeTransformer):
    """Writes each operator and each attribute that has a name as a call, and leaves annotations out: Triton would look them up."""

    def __init__(self, names: Mapping[Any, str]) -> None:
        self.names = names

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Drop what the function says that it returns."""
        node.returns = None
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        """Drop what an argument is said to be."""
        node.annotation = None
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Rewrite the operands, then the operation."""
        self.generic_visit(node)
        called = self.names.get(type(node.op))
        if called is None:
            return node
        return ast.Call(ast.Name(called, ast.Load()), [node.left, node.right], [])

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        """Rewrite what has the attribute, then the attribute."""
        self.generic_visit(node)
        called = self.names.get(node.attr)
        return node if called is None else ast.Call(ast.Name(called, ast.Load()), [node.value], [])


def spelled(function: Any, names: Mapping[Any, str]) -> Any:
    """Return the same function with some operators and attributes as calls: a / b as divide(a, b), z.real as real(z).

    Triton compiles a function's source. Its `/` on float32 is an approximation, and it has neither powers nor complex numbers. The
    source of what is returned is that of the function but for the calls and the annotations, kept where Python looks for sources.

    Args:
        function: a plain function.
        names: for each class of operator in `ast`, and each name of an attribute, the global that is called in its place.

    Example:
        >>> from rmsprop.rule import modulus_square
        >>> print(inspect.getsource(spelled(modulus_square, {"real": "first", ast.Add: "plus"})).splitlines()[-1].strip())
        return plus(first(z) * first(z), z.imag * z.imag)
    """
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    source = ast.unparse(ast.fix_missing_locations(_Spelling(names).visit(tree))) + "\n"
    called = ", ".join(f"{getattr(what, '__name__', what)} as {name}" for what, name in names.items())
    filename = f"<{function.__module__}.{function.__qualname__} with {called}>"
    # Without a time of change the entry stays, whatever becomes of files.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    found: dict[str, Any] = {"__name__": function.__module__}
    exec(compile(source, filename, "exec"), function.__globals__ | found, found)
    return found[function.__name__]
